"""Words that training questions and benchmarks share, so that a model is asked as it was taught."""

IN_A_BOX = "Return your final response within \\boxed{}. "
"""Stands before a question with a short answer: in Bespoke-Stratos's rows of mathematics, and in the prompts of
SkyThought's benchmarks (zhouxiangxin1998/SkyThought@6454fea, skythought/evals/tasks)."""

STDIN = (
    "Generate an executable Python function generated from the given prompt. The function should take stdin as input "
    "and print the output. Simply call the function after the definition."
)
"""Stands before a question that a program answers which reads stdin: in Bespoke-Stratos's rows, where the question
follows without a space, and in SkyThought's LiveCodeBench."""
FUNCTION_BODY = (
    "Generate an executable Python function generated from the given prompt. Return the function body without "
    "invoking it at the final solution."
)
"""The same for a program that is called."""
AS_A_NUMBER = "Give the result as your final answer. Do not include units."
"""Ends every question of reasoning_gym's gsm_symbolic."""
INSTRUCTIONS = (IN_A_BOX, IN_A_BOX.removesuffix(". "), STDIN, FUNCTION_BODY, AS_A_NUMBER)
"""What may stand before or after a question and is no part of it; AIME 2025 has the second after it."""
