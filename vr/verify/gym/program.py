"""The program that runs inside the sandbox for a task of reasoning_gym: it asks the data set's own scorer.

Some scorers hand the answer to `eval`, or to sympy's parser, which hands it to `eval`. An answer that ran as code could
write its own score, so at these places stands `evaluate`, which admits literals, arithmetic and mathematical functions.
`judge.py` sends this file as text: it imports nothing of this package.
"""

import ast
import contextlib
import functools
import json
import re
import sys
from collections.abc import Callable
from typing import Any

_NONSENSE = "?"
"""An answer that is right nowhere."""
_HARMLESS = (
    *(ast.Expression, ast.Constant, ast.Load, ast.Tuple, ast.List, ast.Set, ast.Dict),
    *(ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.Compare, ast.cmpop),
)
_FUNCTIONS = {
    *("Symbol", "Integer", "Float", "Rational"),  # what sympy's parser makes of names and numerals
    *("sqrt", "cbrt", "root", "exp", "log", "ln", "Abs", "abs", "sign", "factorial", "factorial2"),
    *("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "asec", "acsc", "atan2"),
    *("sinh", "cosh", "tanh", "coth", "sech", "csch", "asinh", "acosh", "atanh", "acoth", "asech", "acsch"),
    *("erf", "erfc", "erfi", "Ei", "Si", "Ci", "Shi", "Chi", "li", "fresnels", "fresnelc"),
    *("Piecewise", "Eq", "Ne", "Lt", "Le", "Gt", "Ge"),
}
_ARITHMETIC = re.compile(r"[\d\s+\-*/()]+", re.ASCII)

_evaluated: list[str] = []
_refused: list[str] = []
"""The texts that `evaluate` was given since the last score began, and why it refused some of them."""


def unusable(tests: str) -> str:
    """Why an entry cannot be used, found with its own answer and with nonsense; empty where it can be.

    Args:
        tests: the JSON text `{"dataset": name, "entry": {...}}`.
    """
    _FUNCTIONS.add("Integral")  # sympy left some integrals of the data sets unsolved; an answer must solve them
    try:
        task = json.loads(tests)
        _scorer(task["dataset"])
        own = task["entry"]["answer"]
        if own is not None and not is_full(score(tests, str(own))[0]):
            return "the scorer does not accept the entry's own answer"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    with contextlib.suppress(Exception):
        if is_full(score(tests, _NONSENSE)[0]):
            return "the scorer accepts any text"
    return ""


def is_full(points: float) -> bool:
    """Whether a score is the full one; a sum of fractions may miss 1 by a rounding."""
    return abs(points - 1.0) <= 1e-9


def score(tests: str, answer: str) -> tuple[float, str]:
    """The score of an answer, and why its text was not evaluated; empty where nothing was refused.

    Raises:
        Exception: whatever the scorer raises.
    """
    task = json.loads(tests)
    entry, scorer = _with_sequences(task["entry"]), _scorer(task["dataset"])
    _guard_evaluation()
    _evaluated.clear()
    _refused.clear()
    own = entry["answer"]
    points = float(scorer(answer=answer, entry=entry))
    if _evaluated and isinstance(own, str) and _ARITHMETIC.fullmatch(own) and not _same_numbers(own, answer):
        return 0.0, "not an arithmetic expression of the same numbers"
    return points, "; ".join(_refused)


@functools.cache
def _scorer(dataset: str) -> Callable[..., float]:
    """The scorer of a data set.

    Raises:
        Exception: the data set is unknown, or cannot be made without settings.
    """
    from reasoning_gym import get_score_answer_fn  # takes seconds to import; the sandbox has it loaded

    scorer: Callable[..., float] = get_score_answer_fn(dataset)
    return scorer


class _Sequence(list[Any]):
    """A list that also equals a tuple of the same items: entries hold tuples, which JSON does not know."""

    def __eq__(self, other: object) -> bool:
        return super().__eq__(list(other) if isinstance(other, tuple) else other)


def _with_sequences(value: Any) -> Any:
    """A JSON value in which every list is a `_Sequence`."""
    if isinstance(value, list):
        return _Sequence(map(_with_sequences, value))
    if isinstance(value, dict):
        return {key: _with_sequences(item) for key, item in value.items()}
    return value


def _same_numbers(own: str, answer: str) -> bool:
    """Whether an answer is plain arithmetic of the numbers of the entry's own answer, each as often as there.

    Scorers find the numbers of an expression as `\\b\\d+\\b`, and so do not see `5e2`, `pi/pi` or `x0`.
    """
    if not _ARITHMETIC.fullmatch(answer):
        return False
    used, given = (sorted(map(int, re.findall(r"\d+", text))) for text in (answer, own))
    return used == given


def _guard_evaluation() -> None:
    """Put `evaluate` in the place of `eval` in all modules that evaluate text for a scorer."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "reasoning_gym" or name == "sympy.parsing.sympy_parser":
            vars(module)["eval"] = evaluate


def evaluate(source: str, names: dict[str, Any] | None = None, local_names: Any = None) -> Any:
    """The value of an expression, as `eval` gives it, if nothing in it can do anything but compute.

    Args:
        source: the expression. What is checked is its syntax tree, and the tree is what runs.
        names: the global names; None: there are none.
        local_names: the local names.

    Raises:
        ValueError: the expression is not admitted; says why.
        SyntaxError: it is no expression.
    """
    _evaluated.append(source)
    tree = ast.parse(source.strip(), mode="eval")
    for node in ast.walk(tree):
        if not _is_harmless(node):
            _refused.append(f"{ast.unparse(node)[:40]} is not admitted")
            raise ValueError(_refused[-1])
    return eval(compile(tree, "answer", "eval"), {"__builtins__": {}} if names is None else names, local_names)


def _is_harmless(node: ast.AST) -> bool:
    """Whether a node computes only. A string may be evaluated by sympy: by `evaluate` then."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and not node.keywords
    if isinstance(node, ast.Name):
        return not node.id.startswith("_")
    return isinstance(node, _HARMLESS)
