"""Control characters made visible: a name in a database must not move a cursor, end a line or reverse a text."""

from __future__ import annotations

import unicodedata

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories: control, format (bidirectional overrides too), surrogate, private use, separators of lines."""

_ASCII = str.maketrans({"±": "+/-", "─": "-", "×": "x", "ø": "o"} | dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True)))


def visible(text: str) -> str:
    r"""`text` with every control character written as its escape, `\x1b` for ESC."""
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNSAFE else character
        for character in text
    )


def encodable(text: str, encoding: str) -> str:
    """`text` with what `encoding` lacks replaced by its nearest ASCII, else by `?`."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, errors="replace").decode(encoding)
    return text
