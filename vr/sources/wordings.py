"""Words that training questions and benchmarks share, so that a model is asked as it was taught."""

IN_A_BOX = "Return your final response within \\boxed{}. "
"""Stands before a question with a short answer: in Bespoke-Stratos's rows of mathematics, and in the prompts of
SkyThought's benchmarks (zhouxiangxin1998/SkyThought@6454fea, skythought/evals/tasks)."""
