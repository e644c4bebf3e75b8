"""Cells wait in order; one that may not start now lets others pass."""

from __future__ import annotations

from asapbench.running.cell_queue import CellQueue
from asapbench.suite.load import load

GROUPS = list({cell.group: cell for cell in load("quickstart").cells}.values())[:3]
CELLS = [group.with_seed(seed) for group in GROUPS for seed in range(2)]


def anything(_: object) -> bool:
    return True


def test_cells_come_in_order() -> None:
    queue = CellQueue(CELLS)
    assert [queue.take(0, anything) for _ in range(7)] == [*CELLS, None]
    assert not queue


def test_a_cell_that_may_not_start_lets_others_pass_and_keeps_its_place() -> None:
    queue = CellQueue(CELLS)
    assert queue.take(0, lambda cell: cell.group != CELLS[0].group) == CELLS[2]
    assert queue.take(0, anything) == CELLS[0]
    assert queue.take(0, lambda _: False) is None
    assert queue


def test_each_configuration_is_asked_about_once() -> None:
    asked = []
    assert CellQueue(CELLS).take(0, lambda cell: asked.append(cell.group)) is None
    assert len(asked) == len(set(asked)) == 3


def test_a_cell_that_was_defer_comes_after_its_time_and_behind_the_ready_ones() -> None:
    queue = CellQueue(CELLS[:3])
    first = queue.take(0, anything)
    queue.defer(first, until=10.0)
    assert queue.take(9.9, anything) == CELLS[1]
    assert [queue.take(10.0, anything) for _ in range(3)] == [CELLS[2], first, None]
    queue.defer(first, until=20.0)
    assert queue, "a deferred cell is still queued"
    assert queue.take(19.0, anything) is None


def test_an_unstarted_cell_returns_to_the_front() -> None:
    queue = CellQueue(CELLS)
    queue.return_to_front(queue.take(0, anything))
    assert queue.take(0, anything) == CELLS[0]
