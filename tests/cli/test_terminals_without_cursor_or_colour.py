"""TERM=dumb gets the plain form, NO_COLOR no colour."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from terminals import printed

from asapbench.cli.progress import LiveView, PlainView, open_view

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


def test_a_dumb_terminal_gets_no_control_codes(tmp_path: Path) -> None:
    assert "\x1b" not in printed(tmp_path, "report", "--table", "3", term="dumb")


def test_a_dumb_terminal_gets_the_plain_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for term, kind in (("dumb", PlainView), ("xterm", LiveView)):
        monkeypatch.setenv("TERM", term)
        with open_view("") as view:
            assert type(view) is kind


def test_no_color_takes_the_colours_out(tmp_path: Path) -> None:
    report = ("report", "--table", "1")
    assert COLOUR.search(printed(tmp_path, *report))
    assert not COLOUR.search(printed(tmp_path, *report, NO_COLOR="1"))
