"""Documents, code and messages use plain technical English: no word or phrase of the list, which names the plain one.

Spelling is codespell's; this holds what a spelling checker cannot see. Verbatim output and code of others is exempt.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documentation import ROOT

PLAIN = {
    r"mend(?:s|ed|ing)?": "fix",
    r"(?:give|gives|gave|given|giving) (?:back|out)": "return",
    r"anew": "again, from scratch",
    r"(?:go|goes|went|gone|going) on": "resume, continue",
    r"(?:set|sets|setting) aside": "supersede",
    r"(?:told|tell|tells|telling|hear|hears|heard) of": "report, detect, receive",
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
PHRASE = re.compile("|".join(rf"\b(?P<w{n}>{phrase})\b" for n, phrase in enumerate(PLAIN)), re.IGNORECASE)
PLACES = (
    "*.md",
    "docs/**/*.md",
    "examples/**/*.md",
    "results/**/README.md",
    "suites/*.toml",
    "justfile",
    ".ci/*",
    *(f"{folder}/**/*.py" for folder in ("asapbench", "benchmarks", "examples", "tests")),
)


def archaic(text: str) -> list[str]:
    """Each line that holds a phrase of the list, also in an identifier, with its number and the plain word."""
    plain = list(PLAIN.values())
    return [
        f"{number}: {found[0]} ({plain[int(str(found.lastgroup)[1:])]}): {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        for found in PHRASE.finditer(line.replace("_", " "))
    ]


@pytest.mark.parametrize("place", PLACES)
def test_the_files_use_plain_words(place: str) -> None:
    files = [path for path in sorted(ROOT.glob(place)) if path.is_file() and path != Path(__file__)]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in archaic(path.read_text(encoding="utf-8"))]
    assert files
    assert found == []


def test_a_phrase_is_found_with_its_line() -> None:
    assert archaic("fine\nIt goes on.") == ["2: goes on (resume, continue): It goes on."]
    assert archaic("def goes_on(): ...") == ["1: goes on (resume, continue): def goes_on(): ..."]
