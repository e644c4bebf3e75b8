"""Every script under benchmarks/ runs, on as little as it takes, and prints its table."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from asapbench.metrics import EpochMetrics
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.load import load

FOLDER = Path(__file__).parents[2] / "benchmarks"
MODULES = ("measuring", "plain_training", "simulated_workers", "written_by_hand")
COMMANDS = {
    "checkpoints": ("--width 2 --rounds 1", "snapshot until durable"),
    "data_path": ("--images 64 --rounds 1 --widths 2", "asapbench"),
    "evaluation": ("--models resnet10 --width 2 --images 20 --rounds 1", "bf16, channels-last, 250, folded"),
    "kernels": ("--device cpu --batch 1 --rounds 1", "concatenated in channels-last"),
    "memory": ("--width 2 --batch 2", "plain, blocks checkpointed"),
    "page": ("--cells 40 --rows 80 --rounds 1", "written after s"),
    "precision": ("sqlite:///results.sqlite", "within"),
    "recording": ("--rounds 3", "an epoch of 4 slots"),
    "runner": ("--slots 2 --cells 20 --epochs 3 --seconds 1 --claims 2", "all slots train after s"),
    "scale": ("--cells 40 --epochs 2 --rounds 1", "report --table 1"),
    "small_network": ("--images 200 --rounds 1", "forward_alignment"),
    "step": ("--widths 2 --batch 2 --rounds 1", "by_hand"),
    "time_to_target": ("--cells 40 --epochs 2 --rounds 1", "report --suite --time-to accesses"),
    "worker_memory": ("--dataset digits --width 64 --slots 1", "evaluation, and its checkpoint"),
}


def test_every_script_is_tried() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {*COMMANDS, *MODULES}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_script_prints_its_table(name: str, tmp_path: Path) -> None:
    if name == "precision":
        trained_in_two_precisions(tmp_path / "results.sqlite")
    arguments, row = COMMANDS[name]
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *arguments.split()],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert row in done.stdout, done.stdout


def test_the_interval_is_that_of_the_pairs(tmp_path: Path) -> None:
    """Five differences with a standard deviation of 0.1: 0 +- t(0.975, 4) 0.1 / sqrt(5), t = 2.776."""
    trained_in_two_precisions(tmp_path / "results.sqlite")
    command = [sys.executable, str(FOLDER / "precision.py"), f"sqlite:///{tmp_path}/results.sqlite"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in printed.splitlines() if "ResNet-10" in line)
    assert [part.strip() for part in line.split("|")][2:-1] == [
        "5",
        "92.00",
        "92.00",
        "+0.00",
        "-0.12",
        "+0.12",
        "within",
    ]


def trained_in_two_precisions(path: Path) -> None:
    """Made-up accuracies of five seeds each: 90 to 94 % in float32, as much and up to 0.1 more or less in bf16."""
    differences = {"float32": [0.0] * 5, "bf16": [-0.001, 0.001, 0.0, 0.001, -0.001]}
    first = load("quickstart").cells[0]
    terms = {"owner": OwnerProcess.of_this_process(), "provenance": Provenance(None, None, {}, {}), "device": "cuda"}
    with Store.open(f"sqlite:///{path}") as store:
        for precision in ("float32", "bf16"):
            for seed in range(5):
                cell = replace(first, precision=precision, seed=seed, epochs=1)
                store.record_suite("made up", "here", [cell])
                claim = store.claim(cell, **terms)
                assert claim is not None
                accuracy = 0.9 + 0.01 * seed + differences[precision][seed]
                row = EpochMetrics(
                    epoch=1, train_loss=0.5, train_accuracy=0.5, test_loss=0.5, test_accuracy=accuracy,
                    validation_loss=None, validation_accuracy=None, lr=0.1, seconds=1.0, samples_per_second=1.0,
                    peak_memory_bytes=None,
                )  # fmt: skip
                store.record_epochs(claim, [row])
                store.finish(claim, "done")
