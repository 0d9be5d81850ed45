r"""Exact arithmetic on short LaTeX strings of numbers: `\frac{3}{4}`, `2^{100}-1`, `\binom{5}{2}`.

A small recursive-descent reader. It evaluates only + - * / ^ !, roots and binomials of rational numbers, and bounds the
size of every intermediate result. It is exact where floating point would find 2^2023 - 1 equal to 2^2023 + 1, and it is
fast. For a text that it cannot read the value is None.
"""

import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

_MAX_BITS = 4_000_000
_MAX_DEPTH = 40
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\s*\{(\d+)\}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)", re.ASCII)
_TOKEN = re.compile(
    r"\s*(\d+\.\d+|\d+\.?|\.\d+|\\frac|\\[dt]?binom|\\cdot|\\times|\\sqrt|\^|[-+*/!(){}\[\]|]|\\\{|\S)", re.ASCII
)


class _NotArithmeticError(Exception):
    """The text is not plain arithmetic."""


class TooLargeError(Exception):
    """The value is plain arithmetic, but of more than _MAX_BITS bits."""


def exact_value(text: str) -> Fraction | None:
    """The rational number that the text denotes; None where it is not plain arithmetic.

    Raises:
        TooLargeError: the number has more than _MAX_BITS bits.
    """
    try:
        return _Reader(_REPEATING.sub(_as_fraction, text)).whole()
    except (_NotArithmeticError, ZeroDivisionError, RecursionError):
        return None


def _as_fraction(repeating: re.Match[str]) -> str:
    r"""`0.1\overline{6}` as `\frac{16-1}{90}`."""
    whole, fixed, repeated = repeating.groups()
    if max(map(len, (whole, fixed, repeated))) > 100:
        raise _NotArithmeticError
    over = int(whole + fixed + repeated) - int(whole + fixed or "0")
    return rf"\frac{{{over}}}{{{(10 ** len(repeated) - 1) * 10 ** len(fixed)}}}"


def is_decimal(text: str) -> bool:
    """Whether the text is written as a decimal fraction, such as -3.14."""
    return _DECIMAL.fullmatch(text.strip()) is not None


def decimals(text: str) -> int:
    """The number of digits after the point in a decimal."""
    return len(text.strip().partition(".")[2])


def significant_digits(text: str) -> int:
    """The number of digits of a decimal after its leading zeros."""
    return len(text.strip().lstrip("+-").replace(".", "").lstrip("0"))


def as_decimal(text: str) -> Decimal | None:
    """The text as a Decimal; None where it is not a plain number."""
    try:
        return Decimal(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text, re.ASCII) else None
    except InvalidOperation:
        return None


class _Reader:
    """Reads tokens from left to right; one method for each level of precedence."""

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.at = 0
        self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise _NotArithmeticError
        self.at += 1
        return token

    def whole(self) -> Fraction:
        value = self.total()
        if self.peek():
            raise _NotArithmeticError
        return value

    def total(self) -> Fraction:
        """A sum of products, with leading signs."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _NotArithmeticError
        value = self.product()
        while self.peek() in ("+", "-"):
            sign = self.take()
            other = self.product()
            value = _bounded(value + other if sign == "+" else value - other)
        self.depth -= 1
        return value

    def product(self) -> Fraction:
        """A product of factors, with or without signs between them. A mixed number such as 2 1/2 is a sum."""
        sign = 1
        while self.peek() in ("+", "-"):
            sign = -sign if self.take() == "-" else sign
        value = self.power()
        while True:
            token = self.peek()
            if token in (r"\cdot", r"\times", "*"):
                self.take()
                value = _bounded(value * self.signed_power())
            elif token == "/":
                self.take()
                value = value / self.signed_power()
            elif token == r"\frac":
                mixed = self.tokens[self.at - 1].isdigit() and value.denominator == 1
                part = self.power()
                if mixed and not 0 <= part < 1:
                    raise _NotArithmeticError
                value = value + part if mixed else value * part
            elif token == "(" and self.tokens[self.at - 1] in (")", "}"):
                value = _bounded(value * self.power())
            else:
                return sign * value

    def signed_power(self) -> Fraction:
        if self.peek() == "-":
            self.take()
            return -self.power()
        return self.power()

    def power(self) -> Fraction:
        """An atom with its factorials and its exponent; exponents associate to the right."""
        value = self.atom()
        while self.peek() == "!":
            self.take()
            value = _factorial(value)
        if self.peek() == "^":
            self.take()
            exponent = self.group() if self.peek() in ("{", "(") else self.single_exponent()
            value = _raise_to(value, exponent)
            if self.peek() == "^":
                raise _NotArithmeticError
        return value

    def single_exponent(self) -> Fraction:
        sign = -1 if self.peek() == "-" and self.take() else 1
        return sign * _number(self.take())

    def atom(self) -> Fraction:
        token = self.peek()
        if token in ("(", "{", "["):
            return self.group()
        self.take()
        if token == r"\frac":
            over = self.group()
            return over / self.group()
        if token.endswith("binom"):
            upper = self.group()
            return _binomial(upper, self.group())
        if token == r"\sqrt":
            return _square_root(self.group())
        return _number(token)

    def group(self) -> Fraction:
        """A sum in braces, brackets or parentheses."""
        opening = self.take()
        closing = {"{": "}", "(": ")", "[": "]"}.get(opening)
        if closing is None:
            raise _NotArithmeticError
        value = self.total()
        self.take(closing)
        return value


def _number(token: str) -> Fraction:
    """A literal of ASCII digits."""
    if not re.fullmatch(r"\d+\.?\d*|\.\d+", token, re.ASCII):
        raise _NotArithmeticError
    return Fraction(token)


def _bounded(value: Fraction) -> Fraction:
    """The value itself. Raises TooLargeError where it exceeds the bound."""
    if value.numerator.bit_length() + value.denominator.bit_length() > _MAX_BITS:
        raise TooLargeError
    return value


def _raise_to(base: Fraction, exponent: Fraction) -> Fraction:
    """A power with an integer exponent; others, such as 4^{1/2}, are left to algebra."""
    if exponent.denominator != 1:
        raise _NotArithmeticError
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) not in (0, 1) and bits * abs(exponent.numerator) > _MAX_BITS:
        raise TooLargeError
    return base ** int(exponent) if abs(exponent.numerator) <= _MAX_BITS else base ** (2 + int(exponent) % 2)


def _factorial(value: Fraction) -> Fraction:
    """n! for a whole n."""
    if value.denominator != 1 or value < 0:
        raise _NotArithmeticError
    if value > 20_000:
        raise TooLargeError
    return Fraction(math.factorial(int(value)))


def _binomial(upper: Fraction, lower: Fraction) -> Fraction:
    """n over k for whole n and k."""
    if upper.denominator != 1 or lower.denominator != 1 or upper < 0 or lower < 0:
        raise _NotArithmeticError
    if min(lower, upper - lower) > 20_000 or upper > 10**9:
        raise TooLargeError
    return _bounded(Fraction(math.comb(int(upper), int(lower))))


def _square_root(value: Fraction) -> Fraction:
    """The root of the square of a rational number; all other roots are not rational and are left to algebra."""
    if value < 0 or value.numerator.bit_length() + value.denominator.bit_length() > 10_000:
        raise _NotArithmeticError
    over, under = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if over * over != value.numerator or under * under != value.denominator:
        raise _NotArithmeticError
    return Fraction(over, under)
