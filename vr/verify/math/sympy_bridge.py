"""The bridge to math-verify, sympy and latex2sympy2: reads LaTeX strings and compares their values.

The time limits of math-verify are off, because they use signal.alarm, which fails in threads and never fires inside C
code: the worker pool kills instead. Only math-verify's LaTeX reader is used, which is a grammar. Its reader for plain
expressions, which goes through Python's `eval`, is never reached. The caller has to bound memory and time.
"""

import functools
import logging
import math
from typing import Any

import math_verify.grader
import math_verify.parser
import sympy
from latex2sympy2_extended.latex2sympy2 import NormalizationConfig

for quiet in ("math_verify.parser", "math_verify.grader"):
    logging.getLogger(quiet).setLevel(logging.CRITICAL)

_SPELLING = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
)
_READER = math_verify.parser.LatexExtractionConfig(boxed_match_priority=0, normalization_config=_SPELLING)
_POINTS = (0.7312, 1.3841)
"""The points at which formulas are compared by value: positive, so that roots and logarithms are real."""


@functools.lru_cache(maxsize=64)
def read_latex(text: str) -> Any | None:
    """The sympy value of a LaTeX string; None where the grammar cannot read it."""
    values = math_verify.parser.parse(
        rf"$\boxed{{{text}}}$", [_READER], fallback_mode="no_fallback", parsing_timeout=None
    )
    if not values or isinstance(values[0], str):
        return None
    return values[0]


def warm_up() -> None:
    """Fill the grammar's tables before the workers are forked: the first strings take it a second."""
    samples = (r"\frac{x+1}{2}", r"\sqrt{3}+2\pi", r"x^2-3x", r"\sin^2 x", r"\{1,2\}", r"(1,\infty)", r"a_1", r"y=2x")
    for sample in samples:
        same_value(sample, sample + " + 1")
    read_latex.cache_clear()


def same_value(gold: str, answer: str) -> bool:
    """Whether math-verify finds two LaTeX strings equal; False where it cannot read both."""
    left, right = read_latex(gold), read_latex(answer)
    if left is None or right is None:
        return False
    if _found_equal(left, right):
        return True
    complex_left, complex_right = _with_imaginary_unit(left), _with_imaginary_unit(right)
    return (complex_left is not left or complex_right is not right) and _found_equal(complex_left, complex_right)


def _found_equal(left: Any, right: Any) -> bool:
    """The verdict of math-verify on two sympy values, unless they already differ at some point."""
    if _clearly_different(left, right):
        return False
    return bool(math_verify.grader.verify(left, right, allow_set_relation_comp=True, timeout_seconds=None))


def _clearly_different(left: Any, right: Any) -> bool:
    """Whether two formulas have different values at some point: proves that they differ without costly algebra."""
    if not (isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr)) or left.is_Symbol or right.is_Symbol:
        return False
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    for point in _POINTS:
        place = {symbol: sympy.Float(point + 0.0917 * index) for index, symbol in enumerate(symbols)}
        try:
            first, second = (complex(value.xreplace(place).evalf(15)) for value in (left, right))
        except (TypeError, ValueError, OverflowError, ArithmeticError, AttributeError, NotImplementedError):
            return False
        size = max(abs(first), abs(second))
        if math.isfinite(size) and abs(first - second) > 1e-6 * size:
            return True
    return False


def _with_imaginary_unit(value: Any) -> Any:
    """The value with the letter i, which the grammar reads as a variable, as the imaginary unit."""
    letters = [symbol for symbol in getattr(value, "free_symbols", ()) if symbol.name == "i"]
    return value.subs({letter: sympy.I for letter in letters}) if letters else value


def same_equation(gold: tuple[str, str], answer: tuple[str, str]) -> bool:
    """Whether two equations, each as (left, right), have proportional differences and so the same solutions."""
    sides = [read_latex(side) for side in (*gold, *answer)]
    if not all(isinstance(side, sympy.Expr) for side in sides):
        return False
    first, second = sides[0] - sides[1], sides[2] - sides[3]  # type: ignore[operator]
    if first.free_symbols != second.free_symbols:
        return False
    try:
        ratio = sympy.simplify(first / second)
    except (ZeroDivisionError, TypeError, ValueError, NotImplementedError):
        return False
    return bool(ratio.is_number and ratio.is_finite and ratio.is_nonzero)


def numeric_value(text: str) -> float | None:
    """The value of a constant real expression as a float; None for anything else."""
    value = read_latex(text)
    if not isinstance(value, sympy.Expr) or value.free_symbols:
        return None
    try:
        number = complex(value.evalf(25))
    except (TypeError, ValueError, OverflowError):
        return None
    return number.real if abs(number.imag) < 1e-20 else None
