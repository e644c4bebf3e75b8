"""Every command and option is described, and every command line that a document shows can be taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from documentation import DOCUMENTS, GUIDE, README, command_lines

from asapbench.cli import app

ROOT_COMMAND: Any = typer.main.get_command(app)


def commands(command: Any = ROOT_COMMAND, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {child}".strip())


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", [name for name in COMMANDS if name])
def test_a_command_is_named_in_readme_or_guide(name: str) -> None:
    text = README.read_text(encoding="utf-8") + GUIDE.read_text(encoding="utf-8")
    assert f"asapbench {name}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_is_named_in_the_guide(name: str) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    own = {option for p in COMMANDS[name].params for option in (*p.opts, *p.secondary_opts) if option.startswith("--")}
    assert {option for option in own if f"{option}" not in guide} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_variable_that_stands_for_an_option_is_named_in_the_guide(name: str) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert {p.envvar for p in COMMANDS[name].params if p.envvar and f"`${p.envvar}`" not in guide} == set()


@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if name and not hasattr(command, "commands")]
)
def test_the_guides_table_lists_the_options_of_a_command(name: str) -> None:
    rows = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}")]
    if name.startswith("data "):
        rows = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("| `data list`")]
    assert len(rows) == 1, name
    own = {p.opts[0] for p in COMMANDS[name].params if p.opts[0].startswith("--")} - {"--help", "--db", "--plugin"}
    if name == "resume":
        assert own == {p.opts[0] for p in COMMANDS["run"].params if p.opts[0].startswith("--")} - {
            "--help",
            "--db",
            "--plugin",
            "--seeds",
        }
    else:
        assert {option for option in own if f"`{option}`" not in rows[0]} == set()


SHOWN = [(path.name, line) for path in DOCUMENTS for line in command_lines(path)]


@pytest.mark.parametrize(("document", "arguments"), SHOWN, ids=[f"{name}: {' '.join(line)}" for name, line in SHOWN])
def test_a_command_line_that_is_shown_can_be_parsed(document: str, arguments: list[str]) -> None:
    if arguments[0].startswith("--"):
        assert arguments[0] in {"--help", *(option for parameter in ROOT_COMMAND.params for option in parameter.opts)}
        return
    context, command, rest = ROOT_COMMAND.make_context("asapbench", list(arguments)), ROOT_COMMAND, list(arguments)
    if arguments[0].isupper():  # a placeholder for any command
        return
    while rest and hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, rest)
        if "--help" in rest or (not rest and hasattr(command, "commands")):
            return
        context = command.make_context(name, list(rest), parent=context, resilient_parsing=not rest)
    assert not hasattr(command, "commands")


def test_the_documents_show_command_lines() -> None:
    assert len(SHOWN) > 30
