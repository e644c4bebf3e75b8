"""Marks and signs beside numbers: none is read as a digit, in any format and any encoding."""

import io
import os
import re
import subprocess
import sys
import unicodedata

import pytest
from made_up import result, shipped_cell

from asapbench.escape import encodable, let_every_sign_through
from asapbench.report.out import show
from asapbench.report.paper import accuracy_table
from asapbench.report.render import Format
from asapbench.report.render.latex import escape
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Row, Table

ENCODINGS = ("ascii", "cp1252", "latin-1", "cp437", "utf-8", "utf-16")


def printed(table: Table, form: Format, encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a program reads that knows the encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    show(table, form)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def bare(text: str) -> str:
    """What lossy programs leave of it: no tags, no commands, no letters beyond ASCII."""
    plain = re.sub(r"<[^>]*>|\\[a-z]+|[{}\\]", "", text)
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", [Format.TERMINAL, Format.MARKDOWN, Format.LATEX])
def test_a_footnote_of_a_number_is_no_part_of_it(form: Format, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [shipped_cell("mnist", "alexnet", "bp", seed=seed) for seed in range(3)]
    results = [result(cells[0], 14.82), result(cells[1], 14.82), result(cells[2], state="diverged")]
    text = bare(printed(accuracy_table(1, results), form, encoding, monkeypatch))
    mark = "a" if form is Format.LATEX else "[a]"
    assert f"0.00{mark}" in text
    assert re.search(rf"^(- )?{re.escape(mark)} +1 diverged of 3", text, re.MULTILINE)


def test_json_and_csv_have_numbers_and_marks_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [result(shipped_cell("mnist", "alexnet", "bp"), 14.82)]
    results.append(result(shipped_cell("mnist", "alexnet", "bp", seed=1), state="diverged"))
    table = accuracy_table(1, results)
    assert ",14.82," in printed(table, Format.CSV, "cp1252", monkeypatch)
    assert '"mark": "a"' in printed(table, Format.JSON, "cp1252", monkeypatch)


def test_the_marks_after_z_are_words_too() -> None:
    footnotes = Footnotes()
    marks = [footnotes.mark(str(number)) for number in range(60)]
    assert (marks[0], marks[25], marks[26], marks[27], marks[52]) == ("a", "z", "aa", "ab", "ba")
    assert len(set(marks)) == 60


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("10⁻³", "10^-3"),
        ("|E|²", "|E|^2"),
        ("10²5", "10^2 5"),
        ("x₁2", "x_1 2"),
        ("5½", "5 1/2"),
        ("3·10", "3*10"),
        ("−5", "-5"),
        ("λ ≤ 3×10", "lambda <= 3x10"),
        ("94.9 ± 0.1", "94.9 +/- 0.1"),
        ("E → 0 …", "E -> 0 ..."),
        ("Nøkland, Gödel", "Nokland, Godel"),
        ("5⅗3", "5 3/5 3"),
        ("10\N{NON-BREAKING HYPHEN}3", "10-3"),
        ("10\N{FIGURE SPACE}000", "10 000"),
        ("14.82中5", "14.82<U+4E2D>5"),
        ("①2", "<U+2460>2"),
    ],
)
def test_signs_keep_their_meaning_in_ascii(text: str, ascii_text: str) -> None:
    assert encodable(text, "ascii") == ascii_text
    assert encodable(text, "utf-8") == text


def test_no_sign_puts_one_digit_beside_another() -> None:
    for sign in map(chr, range(0x80, sys.maxunicode + 1)):
        category = unicodedata.category(sign)
        if category[0] not in "MNPSZ" or category in ("Zl", "Zp"):  # control characters have escapes of their own
            continue
        for written in (encodable(f"1{sign}2", "ascii"), escape(f"1{sign}2")):
            assert re.fullmatch(r"1\D(.*\D)?2", written), sign


def test_every_space_hyphen_and_fraction_of_unicode_has_an_ascii_form() -> None:
    spaces = {chr(code) for code in range(0x80, 0x10000) if unicodedata.category(chr(code)) == "Zs"}
    fractions = {chr(code) for code in range(0x80, 0x10000) if "VULGAR FRACTION" in unicodedata.name(chr(code), "")}
    assert {encodable(space, "ascii") for space in spaces} == {" "}
    assert {encodable(hyphen, "ascii") for hyphen in "‐‑‒⁃－﹣−"} == {"-"}
    assert all(re.fullmatch(r"\d/\d+", encodable(fraction, "ascii")) for fraction in fractions)


def test_one_half_of_an_exponent_does_not_stay_alone() -> None:
    assert encodable("10⁻³ and 2²", "cp1252") == "10^-3 and 2²"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_whatever_a_library_prints_goes_through(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    let_every_sign_through(stream)
    stream.write("Nøkland 10⁻³ 10⁴5 中 ·─")
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding).replace("ø", "o").replace("·", "*").replace("─", "-")  # type: ignore[attr-defined]
    assert text == "Nokland 10^-3 10^4 5 <U+4E2D> *-"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_a_command_that_prints_signs_ends_well_in_any_encoding(encoding: str) -> None:
    command = [sys.executable, "-m", "asapbench", "catalog", "rule"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    found = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert "N\xf8kland" in found.stdout.decode(encoding) or "Nokland" in found.stdout.decode(encoding)


def test_what_replaces_a_sign_is_escaped_for_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (Row((Field("‖a‖ ∗ ≤"), Field("1"))),)
    table = Table("a", "b", (Column("x"), Column("y")), (Group("g", rows),), (Note("n"),), ())
    line = next(part for part in printed(table, Format.MARKDOWN, "ascii", monkeypatch).splitlines() if "&lt;=" in part)
    assert len(re.findall(r"(?<!\\)\|", line)) == 3
    assert r"\*" in line
