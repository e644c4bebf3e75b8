"""`asapbench tune` on the command line: what it refuses, and its dry run."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Commands

TEXT = """
[suite]
name = "mine"
title = "My rules"
[tune]
trials = 6
epochs = 2
validation = 100
[tune.space]
lr = { low = 1e-3, high = 1.0, log = true }
[[grid]]
dataset = "digits"
model = { name = "mlp", hidden = 4 }
lr = { bp = 0.1, dfa = 0.1 }
epochs = 3
seeds = [0, 1]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    return tmp_path


def test_a_dry_run_counts_trials_finals_and_published_cells(asapbench: Commands, folder: Path) -> None:
    said = asapbench("tune", "mine.toml", "--dry-run", "--slots", "2")
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0] == "My rules: studies: 2; trials of each: 6, quasi-random"
    assert [line.split()[:3] for line in lines[2:5]] == [
        ["trials", "12", "12"],
        ["finals", "4", "4"],
        ["published", "4", "4"],
    ]
    assert not (folder / "results").exists()


def test_options_choose_studies_trials_and_seeds(asapbench: Commands, folder: Path) -> None:
    said = asapbench("tune", "mine.toml", "--dry-run", "--only", "rule=bp", "--trials", "9", "--seeds", "0-4")
    assert [line.split()[:3] for line in said.out.splitlines()[2:5]] == [
        ["trials", "9", "9"],
        ["finals", "5", "5"],
        ["published", "5", "5"],
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["quickstart"], "quickstart.toml: it has no [tune]: add one with trials, validation and space, or use `run`"),
        (["mine.toml", "--seeds", "1000"], "with these options it cannot be tuned: seed 1000 is also a seed of the"),
        (
            ["mine.toml", "--set", "validation=1437"],
            "--set validation=1437: Digits MLP(hidden=4) BP seed 0: validation",
        ),
        (["mine.toml", "--set", "warmup=2"], "with these options it cannot be tuned: a trial of Digits MLP"),
        (["nobody.toml"], "nobody.toml"),
    ],
)
def test_what_cannot_be_tuned_is_an_error(asapbench: Commands, folder: Path, arguments: list[str], text: str) -> None:
    said = asapbench("tune", *arguments, "--dry-run")
    assert said.status == 2
    assert text in said.err
    assert said.err.count("\n") == 1


def test_no_trial_is_a_usage_error(asapbench: Commands, folder: Path) -> None:
    assert asapbench("tune", "mine.toml", "--trials", "0").status == 2


def test_a_broken_table_is_reported_with_its_place(asapbench: Commands, folder: Path) -> None:
    (folder / "mine.toml").write_text(TEXT.replace("trials = 6", "trials = 0"))
    said = asapbench("tune", "mine.toml")
    assert said.err.endswith("mine.toml:6:10: trials must be at least 1, not 0\n")
