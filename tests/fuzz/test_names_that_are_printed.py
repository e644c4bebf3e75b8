"""Names that come with a database or a file are shown as they are: no terminal, renderer or shell obeys them."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fuzzing import CONTROL, NASTY, fuzz, nasty_text
from hypothesis import example, given
from hypothesis import strategies as st
from in_process import asapbench

from asapbench.escape import encodable, printable, visible
from asapbench.report.figures.picture import Illustration, picture
from asapbench.report.figures.style import canvas
from asapbench.report.render import Format, render
from asapbench.report.table import Column, Field, Group, Note, Number, Row, Table

NAMES = [name for name in NASTY if name and len(name) < 200]


def table(text: str) -> Table:
    number = Number(dataset=text, model=text, rule=text, variant=text, measured=1.0, metric="best", unit="percent")
    group = Group(text, (Row((Field(text), Field(text))),))
    notes = (Note(text, commands=(text,)),)
    return Table(text, text, (Column(text, "left"), Column(text)), (group,), notes, (number,), text)


@fuzz(100)
@given(st.one_of(st.text(), nasty_text()))
def test_what_is_printable_moves_no_cursor_and_can_be_encoded(text: str) -> None:
    for shown in (printable(text), visible(text)):
        assert not CONTROL.search(shown)
        shown.encode()
        encodable(shown, "ascii").encode("ascii")
    assert not set(visible(text)) & set("\n\t\r\u2028\u2029\x85")


@fuzz(60)
@given(st.one_of(st.text(), nasty_text()))
@example("=cmd|' /C calc'!A1")
@example("\t=1+1")
@example("|x|")
@example("\udc80")
def test_every_format_shows_text_that_it_does_not_obey(text: str) -> None:
    shown = {form: render(table(text), form) for form in Format}
    for rendered in shown.values():
        assert not CONTROL.search(rendered)
        rendered.encode()
    (row,) = csv.DictReader(io.StringIO(shown[Format.CSV]))
    assert all(not value.startswith(("=", "+", "-", "@", "\t", "\r")) for value in row.values())
    assert json.loads(shown[Format.JSON])["title"] == text
    code = f"`{visible(encodable(text, 'utf-8')).replace('`', chr(39))}`"  # a code span shows everything as it is
    assert not re.search(r"<(?!/?sup>)", shown[Format.MARKDOWN].replace(code, ""))
    set_by_tex = re.sub(r"(?m)^%.*$", "", shown[Format.LATEX])  # what a note tells the author is a comment
    assert not re.search(r"(?<!\\)\\(?:input|write|include|immediate|def|catcode)\b", set_by_tex)


@pytest.mark.parametrize(
    "text", ["$\\frac{1}{$", "$x_1$", "<script>alert(1)</script>&amp;", "\x1b[31m", "a\\", "%{", "\u202e"]
)
@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_picture_takes_any_title(text: str, suffix: str) -> None:
    drawn = picture(Illustration(table(text), lambda sheet: canvas(text, text, sheet=sheet)[0]), suffix)
    assert b"<script" not in drawn
    assert b"\x1b[31m" not in drawn


@pytest.mark.parametrize("name", [*NAMES, "a b", "x; touch y", "`touch y`", "a\nb"])
def test_a_suite_of_any_name_is_reported_and_its_commands_can_be_pasted(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    shutil.copy("x.sqlite", "z.sqlite")
    stored = name.encode("utf-8", "replace").decode()
    with closing(sqlite3.connect("z.sqlite", isolation_level=None)) as database:
        for change in ("UPDATE suite SET name = ?", "UPDATE suite_cell SET suite = ?"):
            database.execute(change, [stored])
    said = asapbench("status", "--device", "cpu", "--db", "z.sqlite")
    assert (said.status, said.err) == (0, "")
    assert not CONTROL.search(said.out)
    said = asapbench("report", f"--suite={stored}", "--format", "json", "--db", "z.sqlite")
    assert said.status == 0, said
    commands = [command for note in json.loads(said.out)["notes"] for command in note["commands"]]
    assert ["asapbench", "resume", stored, "--db", "z.sqlite"] in [shlex.split(command) for command in commands]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_unicode_gets_something_of_everything(
    encoding: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    shutil.copy("x.sqlite", "z.sqlite")
    with closing(sqlite3.connect("z.sqlite")) as database:
        (cell,) = database.execute("SELECT cell_id FROM attempt WHERE state = 'done'").fetchone()
    for command in (("status", "--device", "cpu"), ("show", cell), ("report", "--suite", "mine")):
        said = asapbench(*command, "--db", "z.sqlite", encoding=encoding)
        assert (said.status, said.err) == (0, ""), said
