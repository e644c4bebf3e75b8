"""What `tune` trains next, and what it refuses: without training, on recorded cells."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from asapbench.errors import SuiteError
from asapbench.running import tuning
from asapbench.running.selection import Request, Selected, cells_of
from asapbench.running.tuning import Phase, Search, search, tune
from asapbench.running.view import Outcome
from asapbench.store import Store
from asapbench.suite.load import parse

TEXT = """
[suite]
name = "mine"
[tune]
trials = 3
epochs = 1
validation = 200
[tune.space]
lr = { low = 1e-3, high = 1.0, log = true }
[[grid]]
dataset = "digits"
model = { name = "mlp", hidden = 4 }
lr = { bp = 0.1 }
epochs = 2
"""


def wanted(text: str = TEXT) -> Search:
    return search(parse(text, source="mine.toml"), Request(db=""))


def records(store: Store, selected: Sequence[Selected], *_: Any, **__: Any) -> Outcome:
    """A run that records the cells and trains none, as if all had failed; without a cell it raises, as `run` does."""
    cells_of(selected)
    for item in selected:
        store.record_suite(item.name, item.source, item.cells, text=item.text)
    return Outcome()


def phases(store: Store, one: Search) -> list[Phase]:
    found: list[Phase] = []
    tune(store, one, Request(db=""), open_view=nullcontext, announce=found.append)  # type: ignore[arg-type]
    return found


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tuning, "run", records)
    with Store.open(f"sqlite:///{tmp_path}/x.sqlite") as opened:
        yield opened


def test_if_every_cell_fails_the_last_phase_trains_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = phases(store, wanted())
    assert [(phase.kind, bool(phase.selected), phase.best) for phase in found] == [
        ("trials", True, ()),
        ("finals", False, ()),
    ]


def test_another_search_is_refused_also_when_run_has_recorded_the_edited_file(store: Store) -> None:
    phases(store, wanted())
    for line, other in [("epochs = 1\nval", "epochs = 2\nval"), ("low = 1e-3", "low = 1e-4")]:
        edited = wanted(TEXT.replace(line, other))
        store.record_suite("mine", "mine.toml", edited.suite.cells, text=edited.suite.text)  # as `run` does
        with pytest.raises(SuiteError, match=r"^mine.toml: \[tune\] differs from that of the trials in "):
            phases(store, edited)
    store.record_suite("mine", "mine.toml", edited.suite.cells, text=edited.suite.text)
    phases(store, wanted(TEXT.replace("trials = 3", "trials = 4")))


def test_trials_that_were_listed_without_a_text_are_compared_with_that_of_the_suite(store: Store) -> None:
    phases(store, wanted())
    store.record_suite("mine.trials", "mine.toml", [], text=None)
    phases(store, wanted())
    store.record_suite("mine.trials", "mine.toml", [], text=None)
    with pytest.raises(SuiteError, match=r"\[tune\] differs"):
        phases(store, wanted(TEXT.replace("low = 1e-3", "low = 1e-4")))
