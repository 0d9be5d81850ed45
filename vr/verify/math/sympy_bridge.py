"""The bridge to math-verify, sympy and latex2sympy2: reads LaTeX strings and compares their values.

An answer must not be able to stop its own verdict, so this is the one place that turns whatever an answer causes in
those libraries, any exception, into "not shown equal". What an answer may cost is bounded in `limits`. Algebra is
reached only by two values that agree at several points; values that do not are different, which is proof and cheap.

Only the LaTeX grammar reads text. The libraries' readers of plain expressions, which go through Python's `eval`, are
never reached. The time limits of math-verify are off, because they use signal.alarm, which fails in threads and never
fires inside C code: the worker pool kills instead. The caller has to bound memory and time.
"""

import functools
import logging
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import math_verify.grader
import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, _Latex2Sympy, normalize_latex
from sympy.logic.boolalg import Boolean

from vr.verify.math.limits import limit_of_text, limit_of_tree, may_be_expanded

logging.getLogger("math_verify.grader").setLevel(logging.CRITICAL)

_SPELLING = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
)
_CASE_COUNTS = ConversionConfig(lowercase_symbols=False)
_POINTS = (0.7312, 1.3841)
"""The points at which formulas are compared by value: positive, so that roots and logarithms are real."""
_PLACES = (-31.4, -7.31, -2.62, -1.13, -0.47, 0.37, 1.21, 2.93, 7.77, 31.2)
"""The points at which inequalities and sets are compared: who holds there and who does not."""
_DIGITS = 40
"""Of a value at a point: enough to lose 25 where terms cancel, as they do in the expansion of (x-1)^{20}."""
_SAME_AT_A_POINT = 1e-11
"""Relative: a larger difference at a point is no rounding."""


class _Reader(_Latex2Sympy):
    """The reader of latex2sympy2, which computes nothing while it reads, made to hold to that for binomials too."""

    def convert_binom(self, binom: Any) -> Any:
        return sympy.binomial(self.convert_expr(binom.upper), self.convert_expr(binom.lower), evaluate=False)


Returned = TypeVar("Returned")


def _unless_it_raises(otherwise: Returned) -> Callable[[Callable[..., Returned]], Callable[..., Returned]]:
    """Return `otherwise` for whatever text makes the libraries raise; MemoryError and RecursionError are among it."""

    def decorate(function: Callable[..., Returned]) -> Callable[..., Returned]:
        @functools.wraps(function)
        def guarded(*texts: Any) -> Returned:
            try:
                return function(*texts)
            except Exception:
                return otherwise

        return guarded

    return decorate


def read_latex(text: str) -> Any | None:
    """The sympy value of a LaTeX string; None where the grammar cannot read it or it exceeds a limit."""
    return _read(text)[0]


def limit_met(text: str) -> str:
    """The limit for which sympy is not given the text, in words; empty where there is none."""
    return _read(text)[1]


@functools.lru_cache(maxsize=64)
@_unless_it_raises((None, ""))
def _read(text: str) -> tuple[Any | None, str]:
    """(value, limit): the value is None where the text cannot be read, or where it exceeds a limit."""
    if limit := limit_of_text(text):
        return None, limit
    value = _parsed(text)
    if not isinstance(value, sympy.Basic | sympy.MatrixBase):
        return None, ""
    if isinstance(value, sympy.FiniteSet) and len(value) == 1:
        value = value.args[0]  # `{x}` is a group
    limit = limit_of_tree(value)
    return (None, limit) if limit else (value, "")


def _parsed(text: str) -> Any:
    """What the grammar makes of a text. Primes, which it skips, become subscripts."""
    spelled = normalize_latex(re.sub(r"'+", lambda primes: f"_{{{'p' * len(primes.group())}}}", text), _SPELLING)
    is_real = not math_verify.grader.should_treat_as_complex(spelled)
    return _Reader(is_real=is_real, config=_CASE_COUNTS).parse(spelled)


def warm_up() -> None:
    """Fill the grammar's tables before the workers are forked: the first strings take it a second."""
    samples = (r"\frac{x+1}{2}", r"\sqrt{3}+2\pi", r"x^2-3x", r"\sin^2 x", r"\{1,2\}", r"(1,\infty)", r"a_1", r"y=2x")
    for sample in samples:
        same_value(sample, sample + " + 1")
    _read.cache_clear()


@_unless_it_raises(False)
def same_value(gold: str, answer: str) -> bool:
    """Whether two LaTeX strings are found equal; False where not both can be read."""
    left, right = read_latex(gold), read_latex(answer)
    if left is None or right is None:
        return False
    if _found_equal(left, right):
        return True
    complex_left, complex_right = _with_imaginary_unit(left), _with_imaginary_unit(right)
    return (complex_left is not left or complex_right is not right) and _found_equal(complex_left, complex_right)


def _found_equal(left: Any, right: Any) -> bool:
    """The same tree, or else the verdict of math-verify on two values that agree at all points tried."""
    if left in (sympy.nan, sympy.zoo) or _differ_at_points(left, right):
        return False
    if left == right or left.doit() == right.doit():
        return True
    if not (may_be_expanded(left) and may_be_expanded(right)):
        return False
    return bool(math_verify.grader.verify(left, right, allow_set_relation_comp=True, timeout_seconds=None))


def _differ_at_points(left: Any, right: Any) -> bool:
    """Whether two values of the same nature differ at some point: proves that they differ, without costly algebra."""
    if isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr):
        return not (left.is_Symbol or right.is_Symbol) and _values_differ(left, right)
    if isinstance(left, Boolean | sympy.Set) and isinstance(right, Boolean | sympy.Set):
        return any(_holds_at(left, place) is not _holds_at(right, place) for place in _PLACES)
    return isinstance(left, sympy.Expr) != isinstance(right, sympy.Expr)


def _values_differ(left: Any, right: Any) -> bool:
    """Whether two formulas have different values at a point."""
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    for point in _POINTS:
        first, second = _value_at(left, symbols, point), _value_at(right, symbols, point)
        if first is None or second is None:
            return False
        if not _same_number(first, second):
            return True
    return False


def _same_number(first: complex, second: complex) -> bool:
    """Whether two values can be the same, given the rounding of each. Infinity is no finite number."""
    size = max(abs(first), abs(second))
    return first == second or (math.isfinite(size) and abs(first - second) <= _SAME_AT_A_POINT * size)


def _value_at(formula: Any, symbols: list[Any], point: float) -> complex | None:
    """The value of a formula with a number near `point` for each symbol; None where it has none."""
    place = {symbol: sympy.Float(point + 0.0917 * index, _DIGITS) for index, symbol in enumerate(symbols)}
    try:
        return complex(formula.xreplace(place).evalf(_DIGITS))
    except (TypeError, ValueError, ArithmeticError, AttributeError, NotImplementedError):
        return None


def _holds_at(condition: Any, place: float) -> bool | None:
    """Whether an inequality holds, or a set has its member, at a place; None where that cannot be told."""
    number = sympy.Float(place)
    if isinstance(condition, sympy.Set):
        found = condition.contains(number)
    else:
        found = condition.xreplace({symbol: number for symbol in condition.free_symbols}).doit()
    return bool(found) if found in (sympy.true, sympy.false) else None


def _with_imaginary_unit(value: Any) -> Any:
    """The value with the letter i, which the grammar reads as a variable, as the imaginary unit."""
    letters = [symbol for symbol in getattr(value, "free_symbols", ()) if symbol.name == "i"]
    return value.subs({letter: sympy.I for letter in letters}) if letters else value


@_unless_it_raises(False)
def same_equation(gold: tuple[str, str], answer: tuple[str, str]) -> bool:
    """Whether two equations, each as (left, right), have proportional differences and so the same solutions."""
    sides = [read_latex(side) for side in (*gold, *answer)]
    if not all(isinstance(side, sympy.Expr) for side in sides):
        return False
    first, second = sides[0] - sides[1], sides[2] - sides[3]  # type: ignore[operator]
    if first.free_symbols != second.free_symbols or not _are_proportional_at_points(first, second):
        return False
    if not (may_be_expanded(first) and may_be_expanded(second)):
        return False
    ratio = sympy.simplify(first / second)
    return bool(ratio.is_number and ratio.is_finite and ratio.is_nonzero)


def _are_proportional_at_points(first: Any, second: Any) -> bool:
    """Whether two formulas have the same ratio at all points where both have a value."""
    symbols = sorted(first.free_symbols, key=str)
    values = [(_value_at(first, symbols, point), _value_at(second, symbols, point)) for point in _POINTS]
    ratios = [one / other for one, other in values if one is not None and other]
    return all(_same_number(ratio, ratios[0]) for ratio in ratios)


@_unless_it_raises(math.nan)
def numeric_value(text: str) -> float:
    """The value of a constant real expression; NaN for anything else."""
    value = read_latex(text)
    if not isinstance(value, sympy.Expr) or value.free_symbols:
        return math.nan
    number = complex(value.evalf(25))
    return number.real if abs(number.imag) < 1e-20 else math.nan
