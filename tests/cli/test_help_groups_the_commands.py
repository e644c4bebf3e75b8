"""The list of commands is in groups that lead from the start to a check, and the examples of a help can be run."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer.main

from asapbench.cli import app
from asapbench.cli.command_groups import GROUPS

ROOT: Any = typer.main.get_command(app)
VISIBLE = {name: command for name, command in ROOT.commands.items() if not command.hidden}
EXAMPLE = re.compile(r"Example: asapbench ([^\n]+)")


def below(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", {})
    shown = [name for name, child in children.items() if not child.hidden]
    return [(path, command), *(found for name in shown for found in below(children[name], (*path, name)))]


ALL = below(ROOT)


@pytest.mark.parametrize("name", VISIBLE)
def test_every_command_is_in_a_group(name: str) -> None:
    assert VISIBLE[name].rich_help_panel in GROUPS


def test_the_help_lists_each_command_once_below_its_group(asapbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    group, listed = "", list[tuple[str, str]]()
    for line in asapbench("--help").out.splitlines():
        if heading := re.fullmatch(r"(\w+):", line):
            group = heading[1]
        elif group in GROUPS and line.strip() and "Example:" not in line:
            listed.append((line.split()[0], group))
    assert sorted(listed) == sorted((name, command.rich_help_panel) for name, command in VISIBLE.items())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_summary_is_cut_at_any_width(width: int, asapbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    printed = asapbench("--help").out
    words = " ".join(printed.split())
    for command in VISIBLE.values():
        assert command.get_short_help_str(1000) in words
    assert max(map(len, printed.splitlines())) <= width


def test_the_help_has_one_example(asapbench) -> None:
    assert asapbench("--help").out.count("Example:") == 1


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_an_example_is_one_line_that_can_be_parsed(path: tuple[str, ...], command: Any, asapbench) -> None:
    found = EXAMPLE.findall(asapbench(*path, "--help").out)
    assert len(found) <= 1
    if path and found:
        words = shlex.split(found[0])
        assert tuple(words[: len(path)]) == path
        command.make_context(path[-1], words[len(path) :])
