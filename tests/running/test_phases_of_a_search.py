"""What a search trains next, by what its database has. Nothing is trained here: a table gives the results."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from asapbench.errors import SuiteError
from asapbench.metrics import EpochMetrics
from asapbench.running import tuning
from asapbench.running.selection import Request, Selected, cells_of, unfinished
from asapbench.running.settings import RunSettings
from asapbench.running.tuning import Phase, best_of, search, trials_of, tune
from asapbench.running.view import Outcome
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse

TEXT = """
[suite]
name = "mine"
[tune]
trials = {trials}
epochs = 2
validation = 100
{tune}
[tune.space]
lr = {{ low = 1e-3, high = 1.0, log = true }}
[[grid]]
dataset = "digits"
model = {{ name = "mlp", hidden = 4 }}
lr = {{ bp = 0.1, dfa = 0.1 }}
epochs = 3
"""
TPE = 'sampler = "tpe"'


def accuracy(cell: Cell) -> float:
    return math.exp(-abs(math.log10(cell.lr) + 1))


class Table:
    """In the place of `launch.run`: records the suites, and the end that `state_of` gives to each cell that is left.

    `most` cells are trained; then the run is killed.
    """

    def __init__(self, state_of: Callable[[Cell], str] = lambda _: "done", *, most: float = math.inf) -> None:
        self.state_of, self.most = state_of, most
        self.trained: list[list[Cell]] = []
        self.limits: list[float | None] = []

    def __call__(self, store: Store, selected: Sequence[Selected], request: Request, **_: object) -> Outcome:
        for item in selected:
            store.record_suite(item.name, item.source, item.cells, text=item.text)
        self.limits.append(request.run.time_limit)
        self.trained.append([])
        outcome = Outcome()
        for cell in unfinished(store, cells_of(selected), ()):
            if self.most <= 0:
                raise KeyboardInterrupt
            self.most -= 1
            self.trained[-1].append(cell)
            outcome.ended[self.end(store, cell)] += 1
        return outcome

    def end(self, store: Store, cell: Cell) -> str:
        claim = store.claim(
            cell, owner=OwnerProcess.of_this_process(), provenance=Provenance(None, None, {}, {}), device="cpu"
        )
        assert claim is not None
        if (state := self.state_of(cell)) == "done":
            value = accuracy(cell)
            store.record_epochs(claim, [EpochMetrics(1, 1.0, 0.5, 1.0, 0.5, 1.0, value, 0.1, 1.0, 1.0, None)])
        store.finish(claim, state)
        return state


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "x.sqlite")) as opened:
        yield opened


def tuned(
    store: Store,
    table: Table,
    tune_text: str = "",
    *,
    trials: int = 7,
    time_limit: float | None = None,
    **asked: object,
) -> tuple[Outcome, list[Phase]]:
    suite = parse(TEXT.format(trials=trials, tune=tune_text), source="mine.toml")
    request = Request(db=store.url, run=RunSettings(time_limit=time_limit), **asked)
    phases: list[Phase] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "run", table)
        view = contextlib.nullcontext
        outcome = tune(store, search(suite, request), request, open_view=view, announce=phases.append)
    return outcome, phases


def lists(store: Store) -> dict[str, list[str]]:
    names = [suite.name for suite in store.suites()]
    return {name: [cell.id for cell in store.readable_cells(name, with_discarded=True)[0]] for name in names}


def test_trials_come_first_then_published_cells_then_finals(store: Store) -> None:
    outcome, phases = tuned(store, table := Table())
    assert [phase.kind for phase in phases] == ["trials", "finals"]
    assert [[cell.test_set for cell in cells] for cells in table.trained] == [[False] * 14 + [True] * 2, [True] * 2]
    assert outcome.ended == {"done": 18}
    assert {name: len(cells) for name, cells in lists(store).items()} == {"mine": 2, "mine.trials": 14, "mine.tuned": 2}


def test_the_finals_have_the_values_of_the_most_accurate_trial(store: Store) -> None:
    _, phases = tuned(store, table := Table())
    for study, trial in phases[-1].best:
        known = trials_of(store, "mine", study)
        assert trial == best_of([one for _, one in known])
        assert trial is not None
        assert trial.values["lr"] == max((cell for cell, _ in known), key=accuracy).lr
        assert trial.values["lr"] in {cell.lr for cell in table.trained[-1] if cell.rule == study.published.rule}


@pytest.mark.parametrize("tune_text", ["", TPE, 'pruner = "median"'])
@pytest.mark.parametrize("most", [1, 6, 11, 14, 17])
def test_a_search_that_was_killed_asks_for_the_same_cells(
    store: Store, tmp_path: Path, tune_text: str, most: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        tuned(store, Table(most=most), tune_text)
    tuned(store, Table(), tune_text)
    with Store.open(str(tmp_path / "other.sqlite")) as other:
        tuned(other, Table(), tune_text)
        assert lists(store) == lists(other)


def test_what_has_ended_is_not_trained_again(store: Store) -> None:
    tuned(store, Table(), TPE)
    outcome, phases = tuned(store, table := Table(), TPE)
    assert (outcome.ended, table.trained) == ({}, [[]])
    assert [phase.kind for phase in phases] == ["finals"]


def test_a_failed_trial_is_tried_once_and_the_other_studies_continue(store: Store) -> None:
    outcome, phases = tuned(store, table := Table(lambda cell: "failed" if cell.rule.name == "bp" else "done"), TPE)
    tried = [cell.id for cells in table.trained for cell in cells]
    assert len(tried) == len(set(tried))
    assert outcome.ended == {"failed": 6, "done": 9}  # bp: 5 trials of the first round and its published cell
    assert [study.published.rule.name for study, _ in phases[-1].best] == ["dfa"]
    outcome, phases = tuned(store, Table(), TPE)
    assert [study.published.rule.name for study, _ in phases[-1].best] == ["bp", "dfa"]


def test_a_study_of_diverged_trials_has_no_finals(store: Store) -> None:
    _, phases = tuned(store, Table(lambda cell: "done" if cell.test_set else "diverged"))
    assert [trial for _, trial in phases[-1].best] == [None, None]
    assert "mine.tuned" not in lists(store)


def test_if_every_cell_fails_the_last_phase_trains_nothing(store: Store) -> None:
    _, phases = tuned(store, Table(lambda _: "failed"))
    assert [(phase.kind, bool(phase.selected), phase.best) for phase in phases] == [
        ("trials", True, ()),
        ("finals", False, ()),
    ]


def test_more_trials_and_studies_continue(store: Store) -> None:
    tuned(store, Table(), trials=3)
    before = lists(store)["mine.trials"]
    tuned(store, table := Table(), "studies = 2", trials=5)
    assert sorted(lists(store)) == ["mine", "mine.trials", "mine.trials2", "mine.tuned", "mine.tuned2"]
    assert len(table.trained[0]) == 4 + 10
    assert set(before) < set(lists(store)["mine.trials"])


@pytest.mark.parametrize("tune_text", ["", TPE, 'pruner = "median"'])
def test_fewer_trials_than_are_recorded_drop_none(store: Store, tune_text: str) -> None:
    """The best of all has the finals, as in the report."""
    _, before = tuned(store, Table(), tune_text, trials=7)
    _, phases = tuned(store, table := Table(), tune_text, trials=2)
    assert [trial for _, trial in phases[-1].best] == [trial for _, trial in before[-1].best]
    assert list(phases[-1].trials.values()) == [7, 7]
    assert table.trained == [[]]


def test_another_search_under_the_same_name_is_refused(store: Store) -> None:
    """Also when `run` has recorded the edited file."""
    tuned(store, Table(), trials=3)
    for edited, trials in [("seed = 8", 3), ("batch = 2", 3)]:
        suite = parse(TEXT.format(trials=trials, tune=edited), source="mine.toml")
        store.record_suite("mine", "mine.toml", suite.cells, text=suite.text)
        with pytest.raises(
            SuiteError, match=r"^mine.toml: \[tune\] differs from that of the trials in .*x.sqlite: only"
        ):
            tuned(store, Table(), edited, trials=trials)
    tuned(store, Table(), trials=4)


def test_trials_that_were_listed_without_a_text_are_compared_with_that_of_the_suite(store: Store) -> None:
    tuned(store, Table(), trials=3)
    for edited, refused in [("", False), ("seed = 8", True)]:
        store.record_suite("mine.trials", "mine.toml", [], text=None)
        with pytest.raises(SuiteError, match=r"\[tune\] differs") if refused else contextlib.nullcontext():
            tuned(store, Table(), edited, trials=3)


def test_the_time_limit_counts_over_all_phases(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(tuning.time, "monotonic", lambda: now[0])

    class Slow(Table):
        def end(self, store: Store, cell: Cell) -> str:
            now[0] += 1.0
            return super().end(store, cell)

    outcome, phases = tuned(store, table := Slow(), TPE, time_limit=14.0)
    assert table.limits == [14.0, 2.0]  # 5 trials of each rule and 2 published cells, then the last 2 of each
    assert outcome.reason == "time limit"
    assert [phase.kind for phase in phases] == ["trials", "trials"]


def test_a_discarded_trial_is_left_and_not_replaced(store: Store) -> None:
    _, phases = tuned(store, Table())
    [(study, best), _] = phases[-1].best
    store.discard([study.trial(best.values).id], "a test")
    _, phases = tuned(store, table := Table())
    [(study, other), _] = phases[-1].best
    assert other.values != best.values
    assert [len(cells) for cells in table.trained] == [1]  # one more final
    assert [trial.end for _, trial in trials_of(store, "mine", study)].count("left") == 1


def test_options_choose_studies_and_seeds(store: Store) -> None:
    _, phases = tuned(store, table := Table(), filters=["rule=dfa"], seeds="3,4")
    assert [study.published.rule.name for study, _ in phases[-1].best] == ["dfa"]
    assert sorted(cell.seed for cell in table.trained[-1]) == [3, 4]


def test_a_cell_that_was_pruned_but_trained_to_its_end_is_left(store: Store) -> None:
    """As after `resume`, which prunes nothing."""

    class Curves(Table):
        def end(self, store: Store, cell: Cell) -> str:
            claim = store.claim(
                cell, owner=OwnerProcess.of_this_process(), provenance=Provenance(None, None, {}, {}), device="cpu"
            )
            first = EpochMetrics(1, 1.0, 0.5, 1.0, 0.5, 1.0, accuracy(cell), 0.1, 1.0, 1.0, None)
            store.record_epochs(claim, [first, replace(first, epoch=2, validation_accuracy=0.99)])
            store.finish(claim, "done")
            return "done"

    _, phases = tuned(store, Curves(), 'pruner = "median"', trials=9)
    study = phases[-1].best[0][0]
    trials = [trial for _, trial in trials_of(store, "mine", study)]
    median = sorted(trial.accuracies[0] for trial in trials[:5])[2]
    ends = ["left" if trial.accuracies[0] < median else "done" for trial in trials[5:]]
    assert [trial.end for trial in trials] == ["done"] * 5 + ends
    assert "left" in ends
