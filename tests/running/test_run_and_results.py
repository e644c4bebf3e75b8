"""A suite runs end to end; a second run trains nothing; results, status and weights are there."""

from __future__ import annotations

import shutil

import pytest
from small_runs import query, run, write_suite


def test_every_cell_is_done_once_with_every_epoch(undisturbed) -> None:
    folder, curves = undisturbed
    assert len(curves) == 4 * 3
    assert query(folder, "SELECT count(*), count(DISTINCT cell_id) FROM attempt WHERE state = 'done'") == [(4, 4)]
    assert query(folder, "PRAGMA integrity_check") == [("ok",)]


def test_a_second_run_trains_nothing(undisturbed) -> None:
    folder, _ = undisturbed
    before = query(folder, "SELECT * FROM attempt ORDER BY id")
    assert "All 4 cells are done: nothing to train." in run(folder, "run", "small.toml")
    assert "All 4 cells are done: nothing to train." in run(folder, "resume")
    assert "The cell is done: nothing to train." in run(folder, "resume", "--only", "rule=asap", "--only", "seed=1")
    assert query(folder, "SELECT * FROM attempt ORDER BY id") == before


def test_status_show_and_dry_run_tell_what_is_there(undisturbed) -> None:
    folder, _ = undisturbed
    (cell,) = query(folder, "SELECT id FROM cell WHERE rule = 'asap' AND seed = 1")[0]
    status = run(folder, "status").splitlines()
    assert status[1].split()[:3] == ["small", "4", "4"]
    shown = run(folder, "show", cell[:8])
    assert f"cell           {cell}" in shown
    assert "rule           asap (classifier = fa" in shown
    assert "torch 2." in shown
    assert "test accuracy" in shown
    plan = run(folder, "run", "small.toml", "--dry-run", "--seeds", "0-2")
    assert "6 cells: 4 done, 2 pending" in plan
    assert "from epochs measured on this hardware" in plan


def test_kept_weights_evaluate_to_what_was_recorded(undisturbed) -> None:
    folder, _ = undisturbed
    (cell,) = query(folder, "SELECT id FROM cell WHERE rule = 'asap' AND seed = 0")[0]
    lines = dict(line.split(maxsplit=1) for line in run(folder, "evaluate", cell[:10]).splitlines()[1:])
    assert lines["test"].split(" %")[0] == lines["recorded"].split(" %")[0]


def test_clean_removes_finished_checkpoints_and_nothing_else(undisturbed, tmp_path) -> None:
    folder, _ = undisturbed
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert "4 finished cells would be removed" in run(copy, "clean", "--dry-run")
    assert len(list(copy.rglob("*.checkpoint"))) == 4
    assert "4 finished cells removed" in run(copy, "clean")
    assert list(copy.rglob("*.checkpoint")) == []
    assert len(list(copy.rglob("*.weights"))) == 4
    assert query(copy, "SELECT count(*) FROM epoch_metrics") == [(12,)]


@pytest.mark.slow
def test_rerun_supersedes_and_gives_the_same_bits_again(undisturbed, tmp_path) -> None:
    folder, _ = undisturbed
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    output = run(copy, "rerun", "--only", "rule=asap", "--only", "seed=1")
    assert "earlier attempts superseded: 1; nothing is deleted" in output
    of_cell = "JOIN cell ON cell.id = cell_id WHERE rule = 'asap' AND seed = 1 ORDER BY number"
    assert query(copy, f"SELECT superseded, state FROM attempt {of_cell}") == [(1, "done"), (0, "done")]
    epochs = "SELECT epoch, train_loss, test_loss FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id"
    rows = query(copy, f"{epochs} {of_cell}, epoch")
    assert len(rows) == 6
    assert rows[:3] == rows[3:]


@pytest.mark.slow
def test_a_cell_that_fails_or_diverges_ends_alone_and_is_reported(tmp_path) -> None:
    text = """
[suite]
name = "mixed"
[defaults]
dataset = { name = "digits", train_size = 64 }
model = { name = "resnet10", width = 2 }
epochs = 1
batch_size = 16
[[grid]]
model = { name = "mlp", nonlinear = false }
rule = "dfa"
lr = 0.01
[[grid]]
rule = "bp"
lr = [1e30, 0.01]
"""
    write_suite(tmp_path, text)
    output = run(tmp_path, "run", "small.toml", "--slots", "1", status=1)
    assert "Ended: 1 diverged, 1 done, 1 failed" in output
    assert "the network has no activation" in output
    (cell,) = query(tmp_path, "SELECT cell_id FROM attempt WHERE state = 'failed'")[0]
    assert "GraphError" in run(tmp_path, "show", cell[:10], traceback=True)
    (again,) = query(tmp_path, "SELECT count(*) FROM attempt")[0]
    assert "Ended: 1 failed" in run(tmp_path, "resume", "--fail-fast", "--slots", "1", status=1)
    assert query(tmp_path, "SELECT count(*) FROM attempt") == [(again + 1,)]
