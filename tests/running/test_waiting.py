"""Cells wait in order; one that may not start now lets others pass."""

from __future__ import annotations

from asapbench.running.waiting import Waiting
from asapbench.suite.load import load

GROUPS = list({cell.group: cell for cell in load("quickstart").cells}.values())[:3]
CELLS = [group.with_seed(seed) for group in GROUPS for seed in range(2)]


def anything(_: object) -> bool:
    return True


def test_cells_come_in_order() -> None:
    waiting = Waiting(CELLS)
    assert [waiting.take(0, anything) for _ in range(7)] == [*CELLS, None]
    assert not waiting


def test_a_cell_that_may_not_start_lets_others_pass_and_keeps_its_place() -> None:
    waiting = Waiting(CELLS)
    assert waiting.take(0, lambda cell: cell.group != CELLS[0].group) == CELLS[2]
    assert waiting.take(0, anything) == CELLS[0]
    assert waiting.take(0, lambda _: False) is None
    assert waiting


def test_each_configuration_is_asked_about_once() -> None:
    asked = []
    assert Waiting(CELLS).take(0, lambda cell: asked.append(cell.group)) is None
    assert len(asked) == len(set(asked)) == 3


def test_a_cell_that_was_put_off_comes_after_its_time_and_behind_the_ready_ones() -> None:
    waiting = Waiting(CELLS[:3])
    first = waiting.take(0, anything)
    waiting.put_off(first, until=10.0)
    assert waiting.take(9.9, anything) == CELLS[1]
    assert [waiting.take(10.0, anything) for _ in range(3)] == [CELLS[2], first, None]
    waiting.put_off(first, until=20.0)
    assert waiting, "a cell that is put off is still waiting"
    assert waiting.take(19.0, anything) is None


def test_a_cell_that_could_not_be_begun_is_the_first_again() -> None:
    waiting = Waiting(CELLS)
    waiting.put_back(waiting.take(0, anything))
    assert waiting.take(0, anything) == CELLS[0]
