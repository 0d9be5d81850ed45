r"""Exact arithmetic on short LaTeX strings of numbers: `\frac{3}{4}`, `2^{100}-1`, `\binom{5}{2}`.

A small recursive-descent reader. It evaluates only + - * / ^ !, roots and binomials of rational numbers, and bounds the
size of all intermediate results together, before each of them is computed. It is exact where floating point would find
2^2023 - 1 equal to 2^2023 + 1, and it is fast. For a text that it cannot read the value is None.
"""

import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

_MAX_BITS = 200_000
"""Of all intermediate results of one text together. To reduce a fraction takes time quadratic in its bits."""
_MAX_DIGITS = 4_000
"""Of a literal. Python refuses to read more than 4,300."""
_MAX_DEPTH = 40
_REPEATING = re.compile(r"(?<!\d)(\d*)\.(\d*)\\overline\s*\{(\d+)\}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)", re.ASCII)
_TOKEN = re.compile(
    r"\s*(\d+\.\d+|\d+\.?|\.\d+|\\frac|\\[dt]?binom|\\cdot|\\times|\\sqrt|\^|[-+*/!(){}\[\]|]|\\\{|\S)", re.ASCII
)


class _NotArithmeticError(Exception):
    """The text is not plain arithmetic."""


class TooLargeError(Exception):
    """The text is plain arithmetic, but takes more than _MAX_BITS bits."""


def exact_value(text: str) -> Fraction | None:
    """The rational number that the text denotes; None where it is not plain arithmetic.

    Raises:
        TooLargeError: the number, or what leads to it, has more than _MAX_BITS bits.
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
        self.bits_left = _MAX_BITS

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise _NotArithmeticError
        self.at += 1
        return token

    def pay(self, *parts: Fraction, times: int = 1) -> None:
        """Book the bits of a result that is about `times` as long as its parts. Raises TooLargeError at the bound."""
        self.bits_left -= times * sum(part.numerator.bit_length() + part.denominator.bit_length() for part in parts)
        if self.bits_left < 0:
            raise TooLargeError

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
            self.pay(value, other)
            value = value + other if sign == "+" else value - other
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
                value = self.multiplied(value, self.signed_power())
            elif token == "/":
                self.take()
                value = self.multiplied(value, 1 / self.signed_power())
            elif token == r"\frac":
                mixed = self.tokens[self.at - 1].isdigit() and value.denominator == 1
                part = self.power()
                if mixed and not 0 <= part < 1:
                    raise _NotArithmeticError
                value = value + part if mixed else self.multiplied(value, part)
            elif token == "(" and self.tokens[self.at - 1] in (")", "}"):
                value = self.multiplied(value, self.power())
            else:
                return sign * value

    def multiplied(self, left: Fraction, right: Fraction) -> Fraction:
        self.pay(left, right)
        return left * right

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
            value = self.factorial(value)
        if self.peek() == "^":
            self.take()
            exponent = self.group() if self.peek() in ("{", "(") else self.single_exponent()
            value = self.raised(value, exponent)
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
            return self.multiplied(over, 1 / self.group())
        if token.endswith("binom"):
            upper = self.group()
            return self.binomial(upper, self.group())
        if token == r"\sqrt":
            return _square_root(self.group())
        return _number(token)

    def raised(self, base: Fraction, exponent: Fraction) -> Fraction:
        """A power with an integer exponent; others, such as 4^{1/2}, are left to algebra."""
        if exponent.denominator != 1:
            raise _NotArithmeticError
        if abs(base) in (0, 1):
            return base ** (int(exponent) if base == 0 else int(exponent) % 2)
        self.pay(base, times=abs(exponent.numerator))
        return base ** int(exponent)

    def factorial(self, value: Fraction) -> Fraction:
        """n! for a whole n."""
        if value.denominator != 1 or value < 0:
            raise _NotArithmeticError
        self.pay(value, times=value.numerator)
        return Fraction(math.factorial(int(value)))

    def binomial(self, upper: Fraction, lower: Fraction) -> Fraction:
        """n over k for whole n and k."""
        if upper.denominator != 1 or lower.denominator != 1 or upper < 0 or lower < 0:
            raise _NotArithmeticError
        self.pay(upper, times=max(0, int(min(lower, upper - lower))))
        return Fraction(math.comb(int(upper), int(lower)))

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
    if len(token) > _MAX_DIGITS:
        raise TooLargeError
    if not re.fullmatch(r"\d+\.?\d*|\.\d+", token, re.ASCII):
        raise _NotArithmeticError
    return Fraction(token)


def _square_root(value: Fraction) -> Fraction:
    """The root of the square of a rational number; all other roots are not rational and are left to algebra."""
    if value < 0 or value.numerator.bit_length() + value.denominator.bit_length() > 10_000:
        raise _NotArithmeticError
    over, under = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if over * over != value.numerator or under * under != value.denominator:
        raise _NotArithmeticError
    return Fraction(over, under)
