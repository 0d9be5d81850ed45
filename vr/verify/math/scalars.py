r"""Single values: numbers and formulas, with units, percent signs, degrees, ratios and bases.

Exact arithmetic where both sides are numbers, or else math-verify on the two strings, within the limits of `limits`.
Takes normalised text; knows nothing of lists, intervals or equations.
"""

import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from vr.verify.math import shapes, sympy_bridge
from vr.verify.math.exact import TooLargeError, as_decimal, decimals, exact_value, is_decimal, significant_digits

MAX_ANSWER_CHARACTERS = 1_000
_UNIT = re.compile(r"(?<=[\d})!.\s])\s*\\text\s*\{\s*([^{}]*?)\s*\}\s*(\^\{?(-?\d)\}?)?$")
_DEGREES = re.compile(r"\s*(?:\^\{\\circ\}\s*[CFK]?|\\text\s*\{\s*degrees?\s*\}|(?<=\d)\s+degrees?)$")
_PLAIN_UNIT = re.compile(
    r"(?<=\d)\s*((?:square|cubic|sq\.?|cu\.?)?\s*(?:cm|mm|km|(?<=\s)(?:m|g|in)|ft|feet|foot|inch|inches"
    r"|min|mins|sec|hrs?|yards?|miles?|meters?"
    r"|metres?|kg|grams?|lbs?|pounds?|hours?|minutes?|seconds?|days?|weeks?|years?|mph|km/h|m/s|dollars?|cents?"
    r"|units?|units squared|liters?|litres?|ways?|people|students|points?|times))\s*(\^\{?(\d)\}?)?$"
)
_BASE = re.compile(
    r"(?:\\text\{|\()?([0-9][0-9A-Za-z]*|[A-F][0-9A-F]*)[})]?"
    r"_\{?(?:\\text\{)?(\d{1,2}|two|eight|ten|sixteen)\}?\}?",
    re.ASCII,
)
_BASE_WORDS = {"two": 2, "eight": 8, "ten": 10, "sixteen": 16}
_RATIO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*:\s*(\d+(?:\.\d+)?)\s*")
_ANGLE = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*\^\{\\circ\}")
_ROUNDED_DIGITS = 6
"""A decimal with fewer significant digits does not stand for an irrational or repeating number."""
_UNIT_WITH_NUMBER = re.compile(r"\d|^(?:and|or|if|for|when|mod|if\b)")
_UNIT_NAMES = {
    "centimeters": "cm", "centimetres": "cm", "centimeter": "cm", "meters": "m", "metres": "m", "meter": "m",
    "kilometers": "km", "kilometres": "km", "kilometer": "km", "feet": "ft", "foot": "ft", "inches": "in",
    "inch": "in", "milesperhour": "mph", "miles/hour": "mph", "kilograms": "kg", "grams": "g", "degrees": "",
    "degree": "", "units": "", "unit": "", "millimeters": "mm", "hrs": "hour", "hours": "hour",
    "mins": "minute", "min": "minute",
    "seconds": "s", "sec": "s", "minutes": "minute",
}  # fmt: skip

Rule = Callable[[str, str], "bool | None"]


def first_decision(gold: str, answer: str, rules: Sequence[Rule]) -> bool | None:
    """The verdict of the first rule that decides; None where none does."""
    return next((verdict for rule in rules if (verdict := rule(gold, answer)) is not None), None)


def squeezed(text: str) -> str:
    """The text without spaces, except those between two digits: 1 7 is not 17."""
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def equal_scalars(gold: str, answer: str) -> bool:
    """Whether two single values are equal, with their units, percent and degree signs."""
    decided = first_decision(gold, answer, (_by_ratio, _by_base))
    if decided is not None:
        return decided
    bare = _without_units(gold, answer)
    if bare is None:
        return False
    left, right = bare
    left_percent, right_percent = left.endswith(r"\%"), right.endswith(r"\%")
    left, right = left.removesuffix(r"\%").strip(), right.removesuffix(r"\%").strip()
    if left_percent == right_percent:
        return _equal_values(left, right)
    return _equal_values(left, right) or _equal_percentage(*((left, right) if left_percent else (right, left)))


def near_scalars(gold: str, answer: str, tolerance: Fraction) -> bool:
    """Whether two single values are real numbers, in the same unit, that differ by no more than the tolerance."""
    bare = _without_units(gold, answer)
    if bare is None:
        return False
    left, right = (_real_value(text.removesuffix(r"\%").strip()) for text in bare)
    return left is not None and right is not None and abs(left - right) <= tolerance


def _without_units(gold: str, answer: str) -> tuple[str, str] | None:
    """Both values without their units; None where these differ."""
    left, left_unit = _without_unit(gold)
    right, right_unit = _without_unit(answer)
    return None if left_unit and right_unit and left_unit != right_unit else (left, right)


def _real_value(text: str) -> Fraction | None:
    """The number that a text denotes, exactly where it is plain arithmetic; None for anything else."""
    if (decimal := as_decimal(text)) is not None:
        return Fraction(decimal)
    try:
        exact = exact_value(text)
    except TooLargeError:
        return None
    if exact is not None or not _plausible(text):
        return exact
    value = sympy_bridge.numeric_value(text)
    return Fraction(value) if math.isfinite(value) else None


def _equal_percentage(percentage: str, value: str) -> bool:
    """Whether the number before the percent sign is a hundred times the value."""
    try:
        hundredfold, plain = exact_value(percentage), exact_value(value)
    except TooLargeError:
        return False
    return hundredfold is not None and plain is not None and hundredfold == 100 * plain


def _without_unit(text: str) -> tuple[str, str]:
    """The value and the unit of a number with a unit after it; the unit is empty where there is none."""
    text = _DEGREES.sub("", text) if re.fullmatch(r"[-+\d./{}\\frac\s]+", _DEGREES.sub("", text)) else text
    match = _UNIT.search(text) or _PLAIN_UNIT.search(text)
    if match is None or not text[: match.start()].strip():
        return text, ""
    unit = re.sub(r"[\s.]+", "", match.group(1).lower()) + (match.group(3) or "")
    if _UNIT_WITH_NUMBER.search(match.group(1)) or r"\text" in text[: match.start()]:
        return text, ""
    return text[: match.start()].strip().rstrip(r"\ "), _canonical_unit(unit)


def _canonical_unit(unit: str) -> str:
    """One name for the spellings of a unit: plurals, and square or cubic units in words."""
    square = re.match(r"(?:square|sq)(.+)", unit)
    cubic = re.match(r"(?:cubic|cu(?=[cfim]))(.+)", unit)
    power = "2" if square else "3" if cubic else ""
    name = (square or cubic).group(1) if (square or cubic) else unit  # type: ignore[union-attr]
    name = _UNIT_NAMES.get(name, name)
    return (name.removesuffix("s") if len(name) > 3 else name) + power


def _by_ratio(gold: str, answer: str) -> bool | None:
    """Ratios: a : b equals c : d where the reduced fractions are equal."""
    left, right = _RATIO.fullmatch(gold), _RATIO.fullmatch(answer)
    if left is None or right is None:
        return None if left is None and right is None else False if left and ":" in answer else None
    a, b, c, d = (Fraction(text) for text in (*left.groups(), *right.groups()))
    return a * d == b * c and (b, d) != (0, 0)


def _by_base(gold: str, answer: str) -> bool | None:
    """Numerals with a base: the same digits in the same base. Only a base that the reference names may be left out.

    12_{10} is 12, and 12_3 is not. A reference 12_3 is met by 12, because the question then asks for base 3.
    """
    left, right = _numeral(gold), _numeral(answer)
    if left is None and right is None:
        return None
    if left is not None and right is not None:
        return left == right
    if left is None:
        return right is not None and right[1] == 10 and _equal_values(gold, right[0])
    return left[0] == squeezed(answer) or (left[1] == 10 and _equal_values(left[0], answer))


def _numeral(text: str) -> tuple[str, int] | None:
    """(digits, base) of `2102_3`; None where the text is no numeral of that base: `a_1` is a variable."""
    match = _BASE.fullmatch(squeezed(text))
    if match is None:
        return None
    digits, base = match.group(1).upper(), _BASE_WORDS.get(match.group(2)) or int(match.group(2))
    highest = max(int(digit, 36) for digit in digits)
    if not 2 <= base <= 36 or highest >= base or (digits[0].isalpha() and base != 16):
        return None
    return digits.lstrip("0") or "0", base


def _equal_values(gold: str, answer: str) -> bool:
    """Whether two values without units and signs are equal: exactly where both are arithmetic, else by math-verify."""
    if not gold or not answer:
        return False
    if squeezed(gold) == squeezed(answer):
        return True
    if squeezed(gold).lower() == squeezed(answer).lower():
        return False  # n and N are two variables, which math-verify takes for one
    left_decimal, right_decimal = as_decimal(gold), as_decimal(answer)
    if left_decimal is not None and right_decimal is not None:
        return left_decimal == right_decimal
    try:
        left, right = exact_value(gold), exact_value(answer)
    except TooLargeError:
        return False
    if left is not None and right is not None:
        return left == right or _rounds_to(gold, answer, left, right)
    if not _plausible(gold) or not _plausible(answer):
        return False
    if is_decimal(gold) != is_decimal(answer):
        return _equal_to_decimal(*((gold, answer) if is_decimal(gold) else (answer, gold)))
    return sympy_bridge.same_value(*(_ANGLE.sub(r"{(\1\\pi/180)}", text) for text in (gold, answer)))


def _rounds_to(gold: str, answer: str, left: Fraction, right: Fraction) -> bool:
    """Whether one of the two is a decimal of enough digits and the other one, rounded or cut off, gives it."""
    if is_decimal(gold) == is_decimal(answer):
        return False
    written, value, exact = (gold, left, right) if is_decimal(gold) else (answer, right, left)
    return significant_digits(written) >= _ROUNDED_DIGITS and _is_short_for(value, exact, decimals(written))


def _is_short_for(value: Fraction, exact: Fraction, digits: int) -> bool:
    """Whether `value` is `exact` rounded to so many digits after the point, or cut off there."""
    unit = Fraction(1, 10**digits)
    return abs(value - exact) <= unit / 2 or (value * exact >= 0 and 0 <= abs(exact) - abs(value) < unit)


def _equal_to_decimal(written: str, formula: str) -> bool:
    """As `_rounds_to`, for a formula that is not rational, such as 2 pi."""
    value = sympy_bridge.numeric_value(formula)
    if not math.isfinite(value) or significant_digits(written) < _ROUNDED_DIGITS:
        return False
    blur = Fraction(abs(value)) * Fraction(1, 10**15)
    near = (Fraction(value) - blur, Fraction(value), Fraction(value) + blur)
    return any(_is_short_for(Fraction(written), exact, decimals(written)) for exact in near)


def readable_value(text: str) -> bool:
    """Whether the single value of a reference can be compared by more than its spelling."""
    value = _without_unit(text)[0].removesuffix(r"\%").strip()
    if as_decimal(value) is not None or _by_ratio(value, value) or _numeral(value) or is_number(value):
        return True
    return _plausible(value) and sympy_bridge.read_latex(value) is not None


def is_number(text: str) -> bool:
    """Whether the text is plain arithmetic, of whatever size."""
    try:
        return exact_value(text) is not None
    except TooLargeError:
        return True


def _plausible(text: str) -> bool:
    """Whether the text can be a formula: balanced, no command without its arguments, no number with an index."""
    if re.search(r"\d\s+\d|\d[})]*_|\\(?:frac|sqrt|binom)\s*(?:\{\s*\}|$)|\\frac\s*\{[^{}]*\}\s*(?:\{\s*\}|$)", text):
        return False
    return shapes.balanced(text) or text.count("(") + text.count("[") != text.count(")") + text.count("]")
