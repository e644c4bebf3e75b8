"""An option that is given twice adds up or is refused: the first value is never forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer.main
from commands import Commands
from typer.core import TyperGroup

from asapbench.cli import app


def every_option() -> Iterator[tuple[list[str], str, bool, bool]]:
    """Each option of each command: the command's words, the option, whether it is a flag and whether it adds up."""

    def walk(command: object, words: list[str]) -> Iterator[tuple[list[str], str, bool, bool]]:
        if isinstance(command, TyperGroup):
            for name, inner in command.commands.items():
                yield from walk(inner, [*words, name])
            return
        for option in command.params:
            if option.param_type_name == "option":
                yield words, option.opts[0], option.is_flag, option.multiple

    yield from walk(typer.main.get_command(app), [])


OPTIONS = list(every_option())
ONCE = [(words, name, flag) for words, name, flag, multiple in OPTIONS if not multiple]


def test_options_that_hold_a_list_add_up() -> None:
    lists = {name for _, name, _, multiple in OPTIONS if multiple}
    of_cells = {"--only", "--only-state", "--state", "--suite"}
    assert lists == {*of_cells, "--set", "--seeds", "--slurm", "--model", "--k", "--plugin"}


@pytest.mark.parametrize(("words", "name", "flag"), ONCE, ids=[" ".join([*words, name]) for words, name, _ in ONCE])
def test_every_other_option_is_refused_the_second_time(
    words: list[str], name: str, flag: bool, asapbench: Commands
) -> None:
    given = [name] if flag else [name, "1"]
    said = asapbench(*words, *given, *given)
    assert said.status == 2
    assert name in said.err
    assert "is given 2 times: give it once" in said.err


def test_two_names_of_one_choice_contradict_each_other(asapbench: Commands) -> None:
    said = asapbench("run", "quickstart", "--fast", "--deterministic", "--dry-run")
    assert said.status == 2
    assert "--deterministic/--fast is given 2 times" in said.err


def test_seeds_add_up(asapbench: Commands) -> None:
    choice = ("--only", "model=resnet10", "--only", "rule=bp", "--dry-run", "--device", "cpu")
    said = asapbench("run", "quickstart", "--seeds", "0", "--seeds", "5-6", *choice)
    assert "3 cells: 3 pending" in said.out
    assert [f"seed {seed}" in said.out for seed in (0, 1, 5, 6)] == [True, False, True, True]


def test_states_add_up() -> None:
    from asapbench.cli.options import states

    assert states(["failed", "pending"]) == states(["pending,failed"]) == ("pending", "failed")


def test_models_and_block_sizes_add_up(asapbench: Commands) -> None:
    said = asapbench("analyze", "memory", "--model", "resnet10", "--model", "resnet18", "--k", "1", "--k", "3")
    assert all(text in said.out for text in ("ResNet-10", "ResNet-18", "k=1", "k=3"))


def test_an_option_of_sbatch_is_given_once(asapbench: Commands) -> None:
    twice = [word for value in ("time=1:00", "mem=1G", "mem=2G") for word in ("--slurm", value)]
    said = asapbench("run", "quickstart", "--executor", "slurm", *twice)
    assert said.status == 2
    assert "--slurm mem=...: mem is given twice: give it once" in said.err
