"""Every command and option is described, and every command line that a document shows can be taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from documentation import DOCUMENTS, PAGES, README, command_lines

from asapbench.cli import app

ROOT_COMMAND: Any = typer.main.get_command(app)


def commands(command: Any = ROOT_COMMAND, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {child}".strip())


COMMANDS = dict(commands())


TEXT = "\n".join(path.read_text(encoding="utf-8") for path in (README, *PAGES))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name])
def test_a_command_is_named_in_readme_or_a_page(name: str) -> None:
    assert f"asapbench {name}" in TEXT


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_each_of_its_options_says_what_it_does(name: str) -> None:
    """The site's page of commands, and `--help`, are made of these texts."""
    assert COMMANDS[name].help
    typers_own = ("install_completion", "show_completion")
    assert [p.opts for p in COMMANDS[name].params if not p.help and p.name not in typers_own] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_is_named_in_a_page(name: str) -> None:
    own = {option for p in COMMANDS[name].params for option in (*p.opts, *p.secondary_opts) if option.startswith("--")}
    assert {option for option in own if option not in TEXT} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_variable_that_stands_for_an_option_is_named_in_a_page(name: str) -> None:
    assert {p.envvar for p in COMMANDS[name].params if p.envvar and f"`${p.envvar}`" not in TEXT} == set()


def test_resume_takes_the_options_of_run_except_seeds() -> None:
    run, resume = ({option for p in COMMANDS[name].params for option in p.opts} for name in ("run", "resume"))
    assert run - resume == {"--seeds"}
    assert resume - run == set()


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
