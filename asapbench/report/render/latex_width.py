"""The width of text in LaTeX's default font, close enough to choose the form of a table; no TeX is needed."""

from __future__ import annotations

POINTS_PER_INCH = 72.27
"""Of LaTeX's points."""

_WIDTHS = {
    278: "il!',.:;[]`|",
    306: "fj",
    333: "- ",
    361: "I_",
    389: "t()r",
    394: "s",
    444: "cez",
    472: "?",
    500: '0123456789ago"$*/\\^{}~',
    528: "Jkqvxy",
    556: "bdhnpuS",
    611: "Z",
    625: "L",
    653: "F",
    681: "EP",
    708: "B",
    722: "wCT",
    736: "R",
    750: "AHNUVXY",
    764: "D",
    778: "KOQ&+<=>@±×→≤≥",
    785: "G",
    833: "m#%",
    917: "M",
    1028: "W",
}
"""By its width in thousandths of the font's size, the characters of Computer Modern Roman (its metrics, cmr10.tfm)."""

_BY_CHARACTER = {character: width / 1000 for width, characters in _WIDTHS.items() for character in characters}

_OF_SMALL_FONTS = {8.0: 1.0625, 7.0: 1.139, 6.0: 1.222}
"""By its size, how much wider a smaller font (cmr8, cmr7, cmr6) is than the same part of cmr10."""

_WIDEST = 1.0
"""Of characters that are not listed."""

BOLD_WIDTH = 1.15
"""Bold digits are so much wider."""


def points(text: str, *, size: float) -> float:
    """The width of `text` in points, in the font at `size` points.

    >>> points("94.93", size=10)
    22.78
    """
    scale = size * _OF_SMALL_FONTS.get(size, 1.0)
    return round(scale * sum(_BY_CHARACTER.get(character, _WIDEST) for character in text), 3)
