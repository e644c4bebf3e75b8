"""Characters beyond ASCII, written in ASCII and in LaTeX without a package, so that their text keeps its meaning.

No digit is put beside another (`10⁻³` is `10^-3`, `5½` is `5 1/2`), and nothing is dropped: an unknown character is
written as its code point in brackets, `<U+4E2D>`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_SIGNS: dict[str, tuple[str, str]] = {
    "±": ("+/-", r"$\pm$"),
    "−": ("-", "$-$"),
    "×": ("x", r"$\times$"),
    "·": ("*", r"$\cdot$"),
    "∗": ("*", "$*$"),
    "≤": ("<=", r"$\leq$"),
    "≥": (">=", r"$\geq$"),
    "≠": ("!=", r"$\neq$"),
    "≈": ("~", r"$\approx$"),
    "∞": ("inf", r"$\infty$"),
    "√": ("sqrt ", r"$\surd$"),
    "∑": ("sum ", r"$\sum$"),
    "‖": ("||", r"$\|$"),
    "→": ("->", r"$\rightarrow$"),
    "←": ("<-", r"$\leftarrow$"),
    "°": (" deg", r"$^{\circ}$"),
    "′": ("'", "$'$"),
    "µ": ("u", r"$\mu$"),
    "–": ("-", "{--}"),
    "—": (" - ", "{---}"),
    "…": ("...", r"\ldots{}"),
    "“": ('"', "{``}"),
    "”": ('"', "{''}"),
    "‘": ("'", "{`}"),
    "’": ("'", "{'}"),
    "•": ("*", r"$\bullet$"),
    "§": ("sec. ", r"\S{}"),
    "ß": ("ss", r"\ss{}"),
    "ø": ("o", r"\o{}"),
    "Ø": ("O", r"\O{}"),
    "æ": ("ae", r"\ae{}"),
    "Æ": ("AE", r"\AE{}"),
    "ł": ("l", r"\l{}"),
    "Ł": ("L", r"\L{}"),
}
"""A character's ASCII and its LaTeX. Hyphens and quotes are in braces: LaTeX joins those that stand side by side."""
_SIGNS |= dict.fromkeys("‐‑‒⁃─﹣－", ("-", "{-}"))
_SIGNS |= dict.fromkeys("\u00a0\u1680\u2000\u2001\u2002\u2003\u2007\u3000", (" ", "~"))
_SIGNS |= dict.fromkeys("\u2004\u2005\u2006\u2008\u2009\u200a\u202f\u205f", (" ", r"\,"))

_LATIN_CAPITALS = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True))
"""Greek capitals that LaTeX has no command for, since they look like Latin ones."""
for _letter in "αβγδεζηθικλμνξοπρστυφχψω":
    _name = unicodedata.name(_letter).rpartition(" ")[2].lower().replace("lamda", "lambda")
    _capital = _letter.upper()
    _roman = _LATIN_CAPITALS.get(_capital)
    _SIGNS[_letter] = (_name, "$o$" if _name == "omicron" else rf"$\{_name}$")
    _SIGNS[_capital] = (_name.capitalize(), rf"$\mathrm{{{_roman}}}$" if _roman else rf"$\{_name.capitalize()}$")
_SIGNS["ς"] = ("sigma", r"$\varsigma$")

_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": r"\`",
    "\N{COMBINING ACUTE ACCENT}": r"\'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": r"\^",
    "\N{COMBINING TILDE}": r"\~",
    "\N{COMBINING DIAERESIS}": r"\"",
    "\N{COMBINING RING ABOVE}": r"\r",
    "\N{COMBINING CARON}": r"\v",
    "\N{COMBINING CEDILLA}": r"\c",
    "\N{COMBINING MACRON}": r"\=",
    "\N{COMBINING BREVE}": r"\u",
    "\N{COMBINING DOT ABOVE}": r"\.",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": r"\H",
    "\N{COMBINING DOT BELOW}": r"\d",
}

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀ", "0123456789+-=()niT")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢ", "0123456789+-=()ni")
_BARS = str.maketrans("▁▂▃▄▅▆▇█", "_.-:=+*#")
_FRACTIONS = {sign: unicodedata.normalize("NFKD", sign).replace("⁄", "/") for sign in "½¼¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉"}


def _class(table: dict[int, int]) -> str:
    return "".join(map(chr, table))


_PARTS = re.compile(
    rf"(?P<raised>[{_class(_RAISED)}]+)|(?P<lowered>[{_class(_LOWERED)}]+)|(?P<bars>[{_class(_BARS)}]+)"
    rf"|(?P<fraction>[{''.join(_FRACTIONS)}])|(?P<letter>[^\x00-\x7f])"
)
"""A part is replaced as a whole: all characters of `⁻³` or none, and one `^` for all of them."""


def ascii_signs(text: str, *, kept: Callable[[str], bool] = lambda _: False) -> str:
    """`text` in ASCII, except the parts that `kept` accepts.

    >>> ascii_signs("94.93 ± 0.12, 10⁻³, 5½, λ")
    '94.93 +/- 0.12, 10^-3, 5 1/2, lambda'
    """

    def written(match: re.Match[str]) -> str:
        return match[0] if kept(match[0]) else _ascii(match)

    return _PARTS.sub(written, unicodedata.normalize("NFC", text))


def ascii_part(text: str, start: int, end: int) -> tuple[str, int]:
    """The ASCII of `text[start:end]`, all of it beyond ASCII, and where it ends: later, if a part does."""
    written = []
    while start < end and (match := _PARTS.match(text, start)):
        written.append(_ascii(match))
        start = match.end()
    return "".join(written), start


def latex_signs(text: str) -> str:
    """`text`, whose ASCII is LaTeX already, in ASCII."""
    return _PARTS.sub(_latex, unicodedata.normalize("NFC", text))


def _ascii(match: re.Match[str]) -> str:
    part, before, after = match[0], match.string[: match.start()], match.string[match.end() :]
    space = " " if after[:1].isalnum() else ""
    match match.lastgroup:
        case "raised":
            return f"^{part.translate(_RAISED)}{space}"
        case "lowered":
            return f"_{part.translate(_LOWERED)}{space}"
        case "bars":
            return part.translate(_BARS)
        case "fraction":
            return f"{' ' if before[-1:].isdigit() else ''}{_FRACTIONS[part]}{space}"
        case _:
            return _ascii_letter(part)


def _ascii_letter(letter: str) -> str:
    if letter in _SIGNS:
        return _SIGNS[letter][0]
    decomposed = unicodedata.normalize("NFD", letter)
    base, marks = decomposed[:1], decomposed[1:]
    if marks and base.isascii() and base.isalpha() and all(map(unicodedata.combining, marks)):
        return base
    return f"<U+{ord(letter):04X}>"


def _latex(match: re.Match[str]) -> str:
    part = match[0]
    match match.lastgroup:
        case "raised":
            return f"$^{{{part.translate(_RAISED)}}}$"
        case "lowered":
            return f"$_{{{part.translate(_LOWERED)}}}$"
        case "fraction":
            above, below = _FRACTIONS[part].split("/")
            return rf"\,$\frac{{{above}}}{{{below}}}$"
        case _:
            return "".join(map(_latex_letter, part))


def _latex_letter(letter: str) -> str:
    if letter in _SIGNS:
        return _SIGNS[letter][1]
    decomposed = unicodedata.normalize("NFD", letter)
    base, marks = decomposed[:1], decomposed[1:]
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii():
        return f"{_ACCENTS[marks[0]]}{{{base}}}"
    return _ascii_letter(letter).replace("<", r"\textless{}").replace(">", r"\textgreater{}")
