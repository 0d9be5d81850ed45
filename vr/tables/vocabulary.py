"""The words that columns may contain, and the keys that rows are joined by. A leaf: it imports nothing."""

VERIFIERS = ("math", "stdin", "call", "asserts", "choice", "reasoning_gym", "none")
FINISHES = ("marker", "eos", "length", "prompt_too_long")
OUTCOMES = ("correct", "wrong", "no_answer", "timeout", "crashed", "unparsable_reference", "not_run")
JUDGED = ("correct", "wrong", "no_answer")
"""Outcomes that say something about the model. The others are the checker's own failures: never a wrong answer."""
JUDGED_PARTS = ("solution", "box", "response", "nothing")
"""The part of a response that was judged: its first complete solution, its last `\\boxed{}`, all of it, or none."""
MATCH_METHODS = ("named", "text", "order")
"""How a row's source row was found: by a set that names it, by its question's text, by its place among equal ones."""
ORIGINS = ("trace", "original", "fallback")
REASONS = ("", "empty", "truncated", "too_long", "unscored", "none_correct", "none_judged", "weak_verifier")
"""Why rho of a trace is 0 ("" where it is not); `weak_verifier`: acc was 0, the gml weight stands in."""

TRACE_KEY = ("problem_id", "seed")
"""Names one trace: its problem, and which of the K traces it is."""
ANSWER_KEY = (*TRACE_KEY, "sample")
"""Names one of the M answers to a trace."""
PROPOSALS = ("posterior", "initial")
"""The models that traces can be drawn from; also folder names."""
