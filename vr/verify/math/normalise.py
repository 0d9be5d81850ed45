r"""One spelling for an answer: unicode, spacing, fractions, thousands separators, decoration.

Every rule keeps the meaning of a mathematical string. Where a rule would have to guess, the decision is left to
`answers.py`, which sees the reference too. Nothing is evaluated. The time is linear in the length of the text: runs of
spaces become one space first, so that no two parts of a pattern can share a run between them.
"""

import re
import unicodedata

from vr.verify.extract import find_boxes

_VULGAR = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5)}
_VULGAR |= {"⅗": (3, 5), "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8)}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SYMBOLS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "π": r"\pi ", "∞": r"\infty ", "×": r"\times ", "·": r"\cdot ",
    "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ",
    "⩾": r"\ge ", "≠": r"\ne ", "°": r"^{\circ}", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ",
    "±": r"\pm ", "∓": r"\mp ", "ℝ": r"\mathbb{R}", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "γ": r"\gamma ", "λ": r"\lambda ", "μ": r"\mu ", "φ": r"\phi ", "ω": r"\omega ", "∠": r"\angle ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "“": '"', "”": '"', "‘": "'", "’": "'", "′": "'", "√": r"\sqrt",
    "∛": r"\sqrt[3]", "€": r"\$", "£": r"\$", "≈": r"\approx ",
}  # fmt: skip
"""Applied after NFKC, which turns full-width forms and ligatures into plain characters."""

_SYNONYMS = {
    r"\\[dtc]frac(?![a-zA-Z])": r"\\frac",
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)|mbox|mathrm|mathbf|mathit|mathsf|hbox)\s*(?=\{)": r"\\text",
    r"\\(?:leqslant|leqq|leq)(?![a-zA-Z])": r"\\le ",
    r"\\(?:geqslant|geqq|geq)(?![a-zA-Z])": r"\\ge ",
    r"\\neq(?![a-zA-Z])": r"\\ne ",
    r"\\(?:lt)(?![a-zA-Z])": "<",
    r"\\(?:gt)(?![a-zA-Z])": ">",
    r"\\varnothing(?![a-zA-Z])": r"\\emptyset",
    r"\\(?:R|Reals|reals)(?![a-zA-Z])": r"\\mathbb{R}",
    r"\\(?:displaystyle|textstyle|limits|left|right|middle|[bB]igg?[lrm]?)(?![a-zA-Z])\.?": "",
    r"\\(?:lbrace)(?![a-zA-Z])": r"\\{",
    r"\\(?:rbrace)(?![a-zA-Z])": r"\\}",
    r"\\(?:lvert|rvert|vert)(?![a-zA-Z])": "|",
    r"\\(?:div)(?![a-zA-Z])": "/",
    r"\\(?:ast|star)(?![a-zA-Z])": r"\\cdot ",
    r"\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\}|\\degree(?![a-zA-Z])|o(?![a-zA-Z]))": r"^{\\circ}",
    r"\\degree(?![a-zA-Z])": r"^{\\circ}",
    r"\^\s*(?:\\prime(?![a-zA-Z])|\{\s*\\prime\s*\})": "'",
    r"\\(?:colon)(?![a-zA-Z])": ":",
    r"\\mathbb\s+R(?![a-zA-Z])": r"\\mathbb{R}",
    r"\\text\s*\{\s*([-+=])\s*\}": r"\1",
    r"\\text\s*\{\s*(?:percent|per cent|percentage|\\?%)\s*\}|(?<=\d)\s*(?:percent|per cent)\b": r"\\%",
    r"(?<!\\)%": r"\\%",
}
_SYNONYM_PATTERNS = [(re.compile(pattern), replacement) for pattern, replacement in _SYNONYMS.items()]
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\u202a-\u202e]")
_THOUSANDS_SPACED = re.compile(r"(?<=\d)(?:\\,|\{,\}|\\!|,\\!|\{\\,\}|\\ |[\u2009\u202f\u00a0])(?=\d{3}(?!\d))")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_SPACED_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}( \d{3})+(\.\d+)?")
_SPACES = re.compile(r"(?<!\\)\\[,;:!> ]|\\(?:quad|qquad|newline)(?![a-zA-Z])|~|(?<!\\)\\n(?![a-zA-Z])")
_TRAILING = " \\.,;"
TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")


def normalise(answer: str) -> str:
    """The answer in one spelling. Applied twice it changes nothing but spaces; it never raises."""
    text = _THOUSANDS_SPACED.sub("", re.sub(r"\s+", " ", _plain_symbols(answer)))
    text = text.replace(r"\$", "").replace("$", "").replace(r"\(", "").replace(r"\)", "")
    text = re.sub(r"\\\[(?![^\]]{0,12}pt\])|\\\](?!\w)", "", text)
    for pattern, replacement in _SYNONYM_PATTERNS:
        text = pattern.sub(replacement, text)
    text = re.sub(r"(\\\\)\s*\[[^\]]{0,12}(?:pt|em|ex|mm)\]", r"\1", text)
    text = re.sub(r"\s+", " ", _SPACES.sub(" ", text))
    text = _braces_round_arguments(text)
    text = _unwrap(text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(_TRAILING)
    text = re.sub(r"^(?:\\approx|\\sim|≈)\s*", "", text)
    text = re.sub(r"^\\text\s*\{\s*(\(?[-+]?\d[^{}]*?)\s*\}$", r"\1", text)
    text = re.sub(r"^([-+]?\d+) (\d+)/(\d+)$", r"\1\\frac{\2}{\3}", text)
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if _SPACED_GROUPS.fullmatch(text):
        text = text.replace(" ", "")
    return text


def _plain_symbols(text: str) -> str:
    """Unicode mathematics as LaTeX: fractions, roots, superscripts, full-width forms; invisible characters removed."""
    for sign, (over, under) in _VULGAR.items():
        if sign in text:
            text = text.replace(sign, rf"\frac{{{over}}}{{{under}}}")
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = re.sub("[₀₁₂₃₄₅₆₇₈₉]+", lambda m: "_{" + m.group().translate(_SUBSCRIPTS) + "}", text)
    text = _THOUSANDS_SPACED.sub("", text)
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    text = re.sub(r"√\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"√\s*(\d+(?:\.\d+)?|[a-zA-Z])", r"\\sqrt{\1}", text)
    for sign, latex in _SYMBOLS.items():
        if sign in text:
            text = text.replace(sign, latex)
    return text


def _braces_round_arguments(text: str) -> str:
    r"""Every argument in braces: `\frac12`, `\frac ab`, `\frac{1}2`, `\sqrt2` and `x^2` are completed."""
    atom = r"([0-9a-zA-Z]|\\pi(?![a-zA-Z]))"
    text = re.sub(rf"\\frac\s*{atom}\s*{atom}", r"\\frac{\1}{\2}", text)
    text = re.sub(rf"\\frac\s*{atom}\s*(?=\{{)", r"\\frac{\1}", text)
    text = re.sub(rf"(\\frac\s*\{{[^{{}}]*\}})\s*{atom}", r"\1{\2}", text)
    text = re.sub(rf"\\sqrt\s*(\[[^\[\]]*\])?\s*{atom}", r"\\sqrt\1{\2}", text)
    text = re.sub(r"(?<![a-zA-Z\\])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"\^\s*([0-9a-zA-Z])(?![0-9a-zA-Z]*\})", r"^{\1}", text)
    return re.sub(r"_\s*([0-9a-zA-Z])(?![0-9a-zA-Z]*\})", r"_{\1}", text)


def _unwrap(text: str) -> str:
    """Remove a box or a pair of braces that encloses the whole text."""
    text = text.strip()
    for _ in range(8):
        boxes = find_boxes(text)
        if len(boxes) == 1 and boxes[0][0] == 0 and boxes[0][1] == len(text):
            text = boxes[0][2].strip()
        elif re.fullmatch(r"\{[^{}]*\}", text):
            text = text[1:-1].strip()
        else:
            break
    return text


def words(text: str) -> str:
    """The answer as words: text commands unwrapped, lower case, no punctuation at the ends."""
    text = re.sub(r"[\s\\]+", " ", TEXT.sub(r" \1 ", text)).strip(" .()!\"'{}:")
    return re.sub(r"\s+", " ", text).lower()
