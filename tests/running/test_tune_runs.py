"""Real searches on digits: killed and resumed they train the same trials and finals as one that nothing disturbed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_runs import curves, query, recorded, run, run_with, start, wait_until

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
name = "mine"

[defaults]
dataset = "digits"
model = {{ name = "mlp", hidden = 8 }}
epochs = 3
batch_size = 32
seeds = [0, 1]

[tune]
trials = {trials}
epochs = 4
validation = 200
{tune}

[tune.space]
lr = {{ low = 1e-2, high = 1.0, log = true }}

[[grid]]
lr = {{ bp = 0.1, dfa = 0.1 }}
"""
MEMBERS = "SELECT suite, rule, cell_id FROM suite_cell JOIN cell ON cell.id = cell_id ORDER BY suite, rule, position"


def write(folder: Path, tune: str = "", *, trials: int = 7) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "mine.toml").write_text(SUITE.format(tune=tune, trials=trials))


def members(folder: Path) -> list[tuple]:
    """The trials, finals and published cells of each rule, in order. After a kill one rule may be a round behind."""
    return query(folder, MEMBERS)


def test_killed_and_resumed_it_trains_the_same_trials_and_finals(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        write(folder)
    run(whole, "tune", "mine.toml", "--slots", "2")
    for epochs in (10, 60):
        process = start(killed, "tune", "mine.toml", "--slots", "1")
        wait_until(lambda epochs=epochs: recorded(killed) >= epochs, f"{epochs} epochs")
        process.kill()
        process.communicate()
    run(killed, "tune", "mine.toml", "--slots", "3")
    assert members(killed) == members(whole)
    assert curves(killed) == curves(whole)


def test_pruned_trials_are_discarded_and_the_same_after_a_kill_and_a_resume(tmp_path: Path) -> None:
    tune = 'sampler = "tpe"\npruner = "median"\nbatch = 3'
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        write(folder, tune, trials=11)
    command = ("tune", "mine.toml", "--only", "rule=bp", "--checkpoint-every", "0.001s")
    text = run(whole, *command)
    assert re.search(r"lr [0-9.]+ \([0-9a-f]{10}\)  pruned after epoch \d of 4 \(median\)", text)
    assert re.search(r"Ended: \d+ done, \d pruned", text)
    process = start(killed, *command)
    wait_until(lambda: recorded(killed) >= 26, "26 epochs")
    process.kill()
    process.communicate()
    run(killed, "resume")  # trains what waits to its end, and prunes nothing
    run(killed, *command)
    assert members(killed) == members(whole)
    finals = [[row for row in curves(folder) if row[4] is not None] for folder in (killed, whole)]
    assert finals[0] == finals[1]


def test_trials_leave_the_test_set_out_and_finals_train_on_all_data(tmp_path: Path) -> None:
    write(tmp_path, trials=2)
    text = run(tmp_path, "tune", "mine.toml", "--slots", "2")
    rows = query(
        tmp_path,
        "SELECT suite, coalesce(json_extract(config, '$.validation'), 0), count(test_accuracy),"
        " count(validation_accuracy), count(*)"
        " FROM suite_cell JOIN cell ON cell.id = cell_id JOIN attempt USING (cell_id)"
        " JOIN epoch_metrics ON attempt_id = attempt.id GROUP BY 1, 2 ORDER BY 1",
    )
    assert rows == [("mine", 0, 12, 0, 12), ("mine.trials", 200, 0, 16, 16), ("mine.tuned", 0, 12, 0, 12)]
    best = query(
        tmp_path,
        "SELECT rule, cell.lr, max(validation_accuracy) FROM suite_cell JOIN cell ON cell.id = cell_id"
        " JOIN attempt USING (cell_id) JOIN epoch_metrics ON attempt_id = attempt.id"
        " WHERE suite = 'mine.trials' AND epoch = 4 GROUP BY rule",
    )
    for rule, lr, accuracy in best:
        assert f"Digits MLP(hidden=8) {rule.upper()}: best of 2 trials: lr {lr}, validation {accuracy:.2%}" in (
            text.replace(" %", "%")
        )
    finals = query(
        tmp_path, "SELECT rule, cell.lr FROM suite_cell JOIN cell ON id = cell_id WHERE suite = 'mine.tuned'"
    )
    assert sorted(finals) == sorted([(rule, lr) for rule, lr, _ in best] * 2)


FAULTY = """
import sys

if "asapbench.worker.main" in sys.orig_argv:
    from asapbench.errors import DivergedError
    from asapbench.training.trainer import Trainer
    steps = Trainer.steps

    def faulty(self):
        if self.cell.rule.name == "bp" and not self.cell.test_set:
            raise {error}
        steps(self)

    Trainer.steps = faulty
"""


def test_a_study_in_which_all_trials_diverge_has_no_finals_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, trials=2)
    done = run_with(tmp_path, FAULTY.format(error='DivergedError("no")'), "tune", "mine.toml", "--seeds", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Digits MLP(hidden=8) BP: none of its 2 trials has a result: no finals" in done.stdout
    rules = "SELECT rule FROM suite_cell JOIN cell ON id = cell_id WHERE suite = 'mine.tuned'"
    assert query(tmp_path, rules) == [("dfa",)]


def test_if_every_cell_fails_it_ends_as_a_run_does_and_names_the_studies_without_finals(tmp_path: Path) -> None:
    write(tmp_path, trials=2)
    every = FAULTY.replace('self.cell.rule.name == "bp" and not self.cell.test_set', "True")
    command = ("tune", "mine.toml", "--seeds", "0", "--only", "rule=bp", "--retries", "0")
    done = run_with(tmp_path, every.format(error='RuntimeError("no")'), *command)
    assert done.returncode == 1
    assert "Digits MLP(hidden=8) BP: not all of its trials have ended: no finals" in done.stdout
    assert "Finals:" not in done.stdout
    assert "Ended: 3 failed" in done.stdout


def test_a_trial_that_fails_stops_no_other_study_and_is_retried_by_the_next_command(tmp_path: Path) -> None:
    write(tmp_path, 'sampler = "tpe"', trials=6)
    command = ("tune", "mine.toml", "--seeds", "0", "--retries", "0")
    done = run_with(tmp_path, FAULTY.format(error='RuntimeError("no")'), *command)
    assert done.returncode == 1
    assert "Digits MLP(hidden=8) BP: not all of its trials have ended: no finals" in done.stdout
    assert re.search(r"Ended: \d+ done, 5 failed", done.stdout), done.stdout
    assert "to retry: asapbench tune mine.toml --seeds 0 --retries 0" in done.stdout
    rules = "SELECT rule FROM suite_cell JOIN cell ON id = cell_id WHERE suite = 'mine.tuned'"
    assert query(tmp_path, rules) == [("dfa",)]
    run(tmp_path, *command)
    assert sorted(query(tmp_path, rules)) == [("bp",), ("dfa",)]
