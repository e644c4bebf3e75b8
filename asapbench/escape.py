"""Makes text of other people harmless to a terminal: it cannot move the cursor, end a line or reverse the text."""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from typing import TextIO

from asapbench.signs import ascii_part, ascii_signs

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories: control, format (bidirectional overrides too), surrogate, private use, separators of lines."""


def visible(text: str) -> str:
    r"""`text` with every control character written as its escape.

    >>> print(visible("\x1b[31mred"))
    \x1b[31mred
    """
    if text.isprintable():  # the usual case, at a hundredth of the time: what is unsafe is not printable
        return text
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNSAFE else character
        for character in text
    )


def printable(text: str) -> str:
    """`text` of several lines as by `visible`; line breaks and tabs stay."""
    return "".join(part if part in "\n\t" else visible(part) for part in re.split(r"([\n\t])", text))


def let_every_sign_through(stream: TextIO | None) -> None:
    """Makes `stream` write in ASCII what it cannot encode, instead of raising; this includes output of libraries."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ERRORS)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_part(error.object, error.start, error.end)


_ERRORS = "asapbench.ascii"
codecs.register_error(_ERRORS, _in_ascii)


def encodable(text: str, encoding: str) -> str:
    """`text` with characters that `encoding` lacks written in ASCII by `ascii_signs`, which keeps the meaning."""

    def has(part: str) -> bool:
        try:
            part.encode(encoding)
        except UnicodeEncodeError:
            return False
        return True

    return text if has(text) else ascii_signs(text, kept=has)
