"""The plan: what is left, how long it should take, how much disk."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from asapbench.machine.slots import Slot
from asapbench.running.estimate import START_SECONDS
from asapbench.running.plan import make_plan
from asapbench.store import Timing
from asapbench.suite.load import load

SLOTS = [Slot(0, "cpu"), Slot(1, "cpu")]
CELLS = load("quickstart").cells


def timing(cell, seconds: float, device: str = "cpu") -> Timing:
    return Timing(cell, device, seconds)


def attempt(state: str, epochs: int, *, dead: bool = False) -> SimpleNamespace:
    return SimpleNamespace(state=state, epochs_done=epochs, owner=SimpleNamespace(is_dead=lambda: dead))


def test_done_and_running_cells_are_not_left() -> None:
    states = {CELLS[0].id: attempt("done", 10), CELLS[1].id: attempt("running", 2), CELLS[2].id: attempt("failed", 4)}
    plan = make_plan(CELLS[:4], states, [], SLOTS)
    assert [item.cell for item in plan.left] == [CELLS[2], CELLS[3]]
    assert plan.states == {"done": 1, "running": 1, "failed": 1, "pending": 1}


def test_what_a_dead_run_left_as_running_is_interrupted() -> None:
    plan = make_plan(CELLS[:1], {CELLS[0].id: attempt("running", 2, dead=True)}, [], SLOTS)
    assert [(item.state, item.left) for item in plan.items] == [("interrupted", True)]


def test_a_measured_epoch_is_taken_as_it_is_for_every_seed() -> None:
    plan = make_plan(CELLS[:2], {CELLS[1].id: attempt("interrupted", 4)}, [timing(CELLS[0], 2.0)], SLOTS)
    each = 2.0 / plan.times.share_of_training(CELLS[0])
    assert plan.bases == {"measured": 2}
    assert [item.seconds for item in plan.items] == pytest.approx([each * 10, each * 6])
    assert plan.seconds == pytest.approx(START_SECONDS + each * 10)


def test_what_was_measured_under_one_rule_scales_the_estimate_of_others_on_that_model() -> None:
    slow = make_plan(CELLS, {}, [timing(CELLS[0], 20.0)], SLOTS)
    fast = make_plan(CELLS, {}, [timing(CELLS[0], 2.0)], SLOTS)
    other = make_plan(CELLS, {}, [timing(CELLS[0], 2.0, device="cuda GPU-x")], SLOTS)
    assert slow.items[5].epoch_seconds / fast.items[5].epoch_seconds == pytest.approx(10)
    assert slow.bases["measured"] < slow.bases["scaled"]
    assert other.items[0].epoch_seconds == make_plan(CELLS, {}, [], SLOTS).items[0].epoch_seconds


def test_disk_is_one_checkpoint_a_cell_and_one_more_for_each_slot() -> None:
    lean = ("bp", "kp", "fa", "dfa", "asap")  # the others learn feedback weights or heads beside the network
    cells = [cell for cell in load("cifar10").cells if cell.model.name == "resnet18" and cell.rule.name in lean]
    plan = make_plan(cells, {}, [], SLOTS)
    weights_and_momentum = 2 * 4 * 11.17e6
    assert abs(plan.disk_bytes - weights_and_momentum * (len(cells) + 2)) < 0.01 * plan.disk_bytes
