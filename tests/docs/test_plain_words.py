"""Documents, code and messages use plain technical English: no word or phrase of the list, which names the plain one.

Spelling is codespell's; this holds what a spelling checker cannot see. Verbatim output and code of others is exempt.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documentation import ROOT

PLAIN = {
    r"mend(s|ed|ing)?": "fix",
    r"(give|gives|gave|given|giving) (back|out)": "return",
    r"anew": "again, from scratch",
    r"(go|goes|went|gone|going) on": "resume, continue",
    r"(set|sets|setting) aside": "supersede",
    r"(told|tell|tells|telling|hear|hears|heard) of": "report, detect, receive",
    r"want of": "lack of",
    r"whoever|somebody|nobody else|anybody": "name the subject",
    r"elsewhere": "say where",
    r"left alone|let alone": "idle, unchanged",
    r"begun": "started",
    r"so often": "up to N times",
    r"it lives|it is the first again": "say what happens",
    r"but for": "except",
    r"beforehand|hitherto|thereof|thereby|wherein|whereof|henceforth|lest|amid|ere": "a common word",
}
PLACES = ("*.md", "docs/**/*.md", "results/**/README.md", "suites/*.toml", "justfile")
FILES = sorted(path for place in PLACES for path in ROOT.glob(place))


def archaic(text: str) -> list[str]:
    """Each line that holds a phrase of the list, with its number and the plain word."""
    patterns = {re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE): plain for phrase, plain in PLAIN.items()}
    return [
        f"{number}: {found[0]} ({plain}): {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, plain in patterns.items()
        if (found := pattern.search(line))
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_uses_plain_words(path: Path) -> None:
    assert archaic(path.read_text(encoding="utf-8")) == []


def test_a_phrase_is_found_with_its_line() -> None:
    assert archaic("fine\nIt goes on.") == ["2: goes on (resume, continue): It goes on."]
