"""Every setting of `run`, `resume` and `rerun` is an option, reaches the worker, and is repeated to resume the run."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from asapbench.cli import app
from asapbench.cli.settings import words
from asapbench.errors import SuiteError
from asapbench.machine.slots import Slot
from asapbench.running.assignment import Assignment, Options
from asapbench.running.settings import RunSettings
from asapbench.store import Claim
from asapbench.suite.load import load
from asapbench.training.settings import TrainingSettings
from asapbench.worker.files import Files
from asapbench.worker.protocol import COMMAND, Train

OTHER: dict[str, Any] = {
    "data": Path("data"),
    "files": Path("files"),
    "executor": "ray",
    "address": "head:6379",
    "slots": "auto",
    "time_limit": 90.0,
    "max_failures": 3,
    "hang_seconds": 180.0,
    "csv_log": Path("log.csv"),
    "tensorboard": Path("tb"),
    "wandb": "project",
    "mlflow": "http://host:5000",
    "device": "cpu",
    "checkpoint_seconds": 1.5,
    "cuda_graphs": False,
}
OPTIONS = [
    (kind, field.name, field.default)
    for kind in (RunSettings, TrainingSettings)
    for field in fields(kind)
    if field.name not in ("slurm", "compile_threads")  # sbatch takes the one, the slot decides the other
]


def other(kind: type, name: str, default: Any) -> Any:
    """Settings that differ from the defaults in one field."""
    value = OTHER.get(name, not default if isinstance(default, bool) else default)
    value = value + 7 if value == default else value
    given = {name: value} | ({"executor": "ray"} if name == "address" else {})
    return kind(**given)


def parsed(command: str, options: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[RunSettings, TrainingSettings]:
    """The settings that a command makes of its options."""
    from asapbench.running import selection

    class StopError(Exception):
        pass

    found = []

    def keep(*given: Any) -> None:
        found.append(given[-1])
        raise StopError

    monkeypatch.setattr(selection, "select", keep)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    with pytest.raises(StopError):
        group.commands[command].main(["quickstart", *options], standalone_mode=False)
    return found[0].run, found[0].training


@pytest.mark.parametrize(("kind", "name", "default"), OPTIONS, ids=[name for _, name, _ in OPTIONS])
def test_the_printed_options_give_the_same_settings_again(kind, name, default, monkeypatch) -> None:
    settings = other(kind, name, default)
    options = words(settings)
    if name == "time_limit":
        assert options == [], "a limit holds for one run"
        return
    assert settings in parsed("run", options, monkeypatch)
    assert settings != kind()


def test_defaults_are_not_printed_and_none_is_written_twice(monkeypatch) -> None:
    assert words(RunSettings()) == words(TrainingSettings()) == []
    assert parsed("run", [], monkeypatch) == (RunSettings(), TrainingSettings())


def test_times_and_flags_are_written_as_a_user_writes_them() -> None:
    settings = TrainingSettings(deterministic=False, compiled=True, checkpoint_seconds=5400)
    assert shlex.join(words(settings)) == "--checkpoint-every 90m --fast --compile"


@pytest.mark.parametrize(
    ("options", "value"), [([], None), (["--cuda-graphs"], True), (["--no-cuda-graphs"], False)], ids=str
)
def test_graphs_are_demanded_refused_or_left_to_the_cell(
    options: list[str], value: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, training = parsed("run", options, monkeypatch)
    assert training == TrainingSettings(cuda_graphs=value)
    assert words(training) == options


@pytest.mark.parametrize("command", ["run", "resume", "rerun", "tune", "bench"])
def test_every_command_that_trains_has_both_options_of_graphs_and_says_the_default(command: str) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    (option,) = [one for one in group.commands[command].params if one.name == "cuda_graphs"]
    assert (option.opts, option.secondary_opts, option.default) == (["--cuda-graphs"], ["--no-cuda-graphs"], None)
    assert "[default: on an NVIDIA GPU, if the cell's optimizer allows it]" in option.help


@pytest.mark.parametrize("name", [field.name for field in fields(TrainingSettings)])
def test_a_training_setting_reaches_the_worker(name: str, tmp_path: Path) -> None:
    default = {field.name: field.default for field in fields(TrainingSettings)}[name]
    settings = other(TrainingSettings, name, default)
    slot = Slot(0, settings.device, settings.threads, compile_threads=settings.compile_threads)
    cell = load("quickstart").cells[0]
    options = Options(tmp_path, Files(tmp_path), training=settings)
    command = Assignment(cell, Claim("a", cell.id, "l", 1, None), None).command(slot, options)
    received = COMMAND.validate_json(command.model_dump_json())
    assert isinstance(received, Train)
    assert received.settings == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [({"address": "head:1"}, "--address head:1: belongs to --executor ray"),
     ({"slurm": ["mem=1G"]}, "--slurm mem=1G: belongs to --executor slurm")],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        RunSettings(**given)


def test_failing_fast_is_a_limit_of_one() -> None:
    assert [s.failure_limit for s in (RunSettings(), RunSettings(max_failures=3), RunSettings(fail_fast=True))] == [
        None,
        3,
        1,
    ]
