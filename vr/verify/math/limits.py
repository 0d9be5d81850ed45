r"""What a formula may cost: limits on a text before sympy reads it, and on the tree before sympy computes with it.

What exceeds a limit is not shown equal to anything but the same string. Both checks are cheap: the first is linear in
the length of the text, the second in the size of the tree. They stand in for a deadline, which would depend on the
machine; the deadline of the worker pool remains as a backstop.
"""

import itertools
import math
import re
from typing import Any

import sympy

from vr.verify.math import shapes

_MAX_CHARACTERS = 400
_MAX_NESTING = 10
"""The grammar takes about 0.1 s for each level of nesting that it has not met before."""
_MAX_BARS = 8
_MAX_FACTORS = 16
"""In the argument of a function without brackets, such as `sin 2x`. The grammar takes time quadratic in them."""
_MAX_UNITED_SETS = 12
_MAX_OPERATIONS = 300
_MAX_FUNCTIONS_NESTED = 4
"""Of logarithms and the like. Nine nested logarithms take sympy 14 s, each more takes several times that."""
_MAX_PRODUCTS_NESTED = 12
"""Of products and quotients, such as 1/1/1/1. The value of each takes sympy twice the time of the one inside it."""
_MAX_BITS = 20_000
_MAX_TERMS = 1_000
_MAX_DEGREE = 10_000

_KNOWN_COMMAND = re.compile(
    r"""frac | sqrt | [dt]?binom | cdot | times | pm | mp | infty | circ | le | ge | ne | approx | [lr](?:floor|ceil)
    | log | ln | exp | min | max | (?:arc)?(?:sin|cos|tan|cot|sec|csc)h?
    | in | cup | cap | setminus | emptyset | mathbb | text | overline | bar | vec | hat | tilde | begin | end
    | [Aa]lpha | [Bb]eta | [Dd]elta | (?:var)?epsilon | [Zz]eta | [Ee]ta | (?:var)?[Tt]heta | [Ii]ota | [Kk]appa
    | [Ll]ambda | [Mm]u | [Nn]u | [Xx]i | [Pp]i | [Rr]ho | [Ss]igma | [Tt]au | [Uu]psilon | (?:var)?[Pp]hi | [Cc]hi
    | [Pp]si | [Oo]mega""",
    re.VERBOSE,
)
r"""What may reach sympy. Missing are commands that it computes with while it reads, such as `\det` and `\gamma`,
and those whose value may take for ever, such as `\sum` and `\int`."""
_FUNCTION = re.compile(r"\\(?:log|ln|exp|min|max|(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?)(?![a-zA-Z])")
_FACTOR = re.compile(r"\\[a-zA-Z]+|[a-zA-Z]|[\d.]+")
_SIGN = re.compile(r"[-+=<>,;]")
_COMMAND = re.compile(r"\\\\|\\([a-zA-Z]+)")
_ENVIRONMENT = re.compile(r"\\begin\s*(?!\{[pb]?matrix\}|\{array\})")
_LONG_EXPONENT_OF_TEN = re.compile(r"\d\s*[eE]\s*[+-]?\d{4}")
_JOINS_SETS = re.compile(r"\\(?:cup|cap|setminus)(?![a-zA-Z])")
_COMPUTED_WHILE_READING = re.compile(rf"{_JOINS_SETS.pattern}|[,;]")
_BIG_NUMBER = re.compile(r"\^\s*\{?\s*[+-]?\d{3}|!|\d{5}|\^[^^]*\^[^^]*\^")


def limit_of_text(text: str) -> str:
    """The first limit that a normalised text exceeds, as words for a verdict; empty where sympy may read it."""
    unknown = _unknown_command(text)
    is_computed = _COMPUTED_WHILE_READING.search(text) is not None
    exceeded = {
        f"longer than the {_MAX_CHARACTERS} characters of a formula": len(text) > _MAX_CHARACTERS,
        f"nested deeper than {_MAX_NESTING} levels": shapes.depth_of(text) > _MAX_NESTING,
        f"more than {_MAX_BARS} bars": text.count("|") > _MAX_BARS,
        f"a function of more than {_MAX_FACTORS} factors": _factors_in_argument(text) > _MAX_FACTORS,
        rf"not compared as a formula: \{unknown}": bool(unknown),
        "not compared as a formula: an environment that is no matrix": _ENVIRONMENT.search(text) is not None,
        f"more than {_MAX_UNITED_SETS} sets united": len(_JOINS_SETS.findall(text)) > _MAX_UNITED_SETS,
        "an exponent of ten too large to compute with": _LONG_EXPONENT_OF_TEN.search(text) is not None,
        "numbers too large to compute with": is_computed and _BIG_NUMBER.search(text) is not None,
    }
    return next((limit for limit, is_exceeded in exceeded.items() if is_exceeded), "")


def _unknown_command(text: str) -> str:
    """The first command that may not reach sympy; empty where all may."""
    names = filter(None, _COMMAND.findall(text))
    return next((name for name in names if not _KNOWN_COMMAND.fullmatch(name)), "")


def _factors_in_argument(text: str) -> int:
    """The most factors that follow a function up to the next function or sign."""
    arguments = (_SIGN.split(rest, maxsplit=1)[0] for rest in _FUNCTION.split(text)[1:])
    return max((len(_FACTOR.findall(argument)) for argument in arguments), default=0)


def limit_of_tree(value: Any) -> str:
    """The limit that a sympy value exceeds, as words for a verdict; empty where sympy may evaluate it at points."""
    if sum(1 for _ in itertools.islice(sympy.preorder_traversal(value), _MAX_OPERATIONS + 1)) > _MAX_OPERATIONS:
        return f"more than {_MAX_OPERATIONS} operations"
    if _nested(value, sympy.Function) > _MAX_FUNCTIONS_NESTED:
        return f"functions nested deeper than {_MAX_FUNCTIONS_NESTED} levels"
    if _nested(value, sympy.Mul) > _MAX_PRODUCTS_NESTED:
        return f"products nested deeper than {_MAX_PRODUCTS_NESTED} levels"
    return f"numbers of more than {_MAX_BITS:,} bits" if _bits(value) > _MAX_BITS else ""


def may_be_expanded(value: Any) -> bool:
    """Whether algebra on the value stays small: written out it has at most _MAX_TERMS terms."""
    return _terms(value) <= _MAX_TERMS


def _parts(value: Any) -> list[Any]:
    return list(value) if isinstance(value, sympy.MatrixBase) else list(getattr(value, "args", ()))


def _nested(value: Any, kind: type) -> int:
    """The depth to which operations of a kind stand in one another."""
    deepest = max((_nested(part, kind) for part in _parts(value)), default=0)
    return deepest + isinstance(value, kind)


def _bits(value: Any) -> float:
    """A bound on the bits of all numbers that come up when the value is computed, with small numbers for variables.

    Constants and variables count as one bit: the sine of their power needs as many bits as that power has.
    """
    if isinstance(value, sympy.Rational):
        return float(abs(value.p).bit_length() + (value.q - 1).bit_length())
    sizes = [_bits(part) for part in _parts(value)]
    if isinstance(value, sympy.Pow):
        return sizes[0] * _magnitude(value.exp, sizes[1]) + sizes[1]
    if isinstance(value, sympy.factorial):
        return sizes[0] * _magnitude(value.args[0], sizes[0])
    if isinstance(value, sympy.binomial):
        bits_of_factor = sizes[0] if isinstance(value.args[0], sympy.Integer) else max(64.0, sizes[0])
        return bits_of_factor * _magnitude(value.args[1], sizes[1])
    return max(1.0, sum(sizes))


def _magnitude(number: Any, bits: float) -> float:
    """A bound on the absolute value of a number of so many bits, and at least 1."""
    return float(max(1, abs(number))) if isinstance(number, sympy.Rational) and bits < 64 else 2.0 ** min(bits, 64)


def _terms(value: Any) -> float:
    """A bound on the terms of the value when its products, whole powers and binomials are written out."""
    counts = [_terms(part) for part in _parts(value)]
    if isinstance(value, sympy.Mul):
        return math.prod(counts)
    if isinstance(value, sympy.Pow) and isinstance(value.exp, sympy.Integer):
        return _terms_of_power(counts[0], abs(int(value.exp)))
    if isinstance(value, sympy.binomial) and isinstance(value.args[1], sympy.Integer):
        return _terms_of_power(counts[0] + 1, abs(int(value.args[1])))
    return max(1.0, sum(counts))


def _terms_of_power(terms: float, exponent: int) -> float:
    """A sum of t terms to the power n has as many as there are ways to choose n of t with repetition."""
    if exponent > _MAX_DEGREE or terms > _MAX_TERMS:
        return math.inf
    if terms <= 1 or exponent <= 1:
        return terms
    return float(math.comb(int(terms) + exponent - 1, exponent)) if exponent <= _MAX_TERMS else math.inf
