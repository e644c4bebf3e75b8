"""What becomes of a cell after a bad end."""

from __future__ import annotations

import pytest

from asapbench.running.retries import Retries, Retry, state_after


def tries(retries: Retries, fault: str, *, neighbours: int = 0) -> list[Retry]:
    """Every further try that a cell gets that always ends the same way, beside as many others as it may have."""
    found = []
    while retry := retries.after("cell", fault, neighbours=neighbours):
        found.append(retry)
        neighbours = neighbours if retry.neighbours is None else retry.neighbours
        assert len(found) < 1000, "it never ends"
    return found


@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_cell_that_fails_is_tried_again_as_often_as_was_asked(number: int) -> None:
    assert len(tries(Retries(number), "failed")) == number


@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_a_cell_whose_worker_was_killed_or_hung_is_tried_twice_more_whatever_was_asked(fault: str) -> None:
    assert len(tries(Retries(0), fault)) == 2


def test_a_cell_whose_machine_was_lost_is_restarted_many_times() -> None:
    assert len(tries(Retries(0), "lost")) == 20
    assert state_after("lost", is_resumed=True) == "interrupted"


def test_the_wait_before_a_try_grows_up_to_five_minutes() -> None:
    waits = [retry.wait for retry in tries(Retries(500), "failed")]
    assert waits[:6] == [1, 4, 16, 64, 256, 300]
    assert set(waits[6:]) == {300}


def test_out_of_memory_halves_the_neighbours_down_to_none_and_then_gives_up() -> None:
    assert [retry.neighbours for retry in tries(Retries(0), "out_of_memory", neighbours=7)] == [3, 1, 0]
    assert [retry.neighbours for retry in tries(Retries(0), "out_of_memory", neighbours=1)] == [0]
    assert tries(Retries(9), "out_of_memory", neighbours=0) == []


def test_each_cell_and_each_kind_of_fault_is_counted_by_itself() -> None:
    retries = Retries(1)
    assert retries.after("a", "failed", neighbours=0)
    assert retries.after("b", "failed", neighbours=0)
    assert retries.after("a", "killed", neighbours=0)
    assert retries.after("a", "failed", neighbours=0) is None
    assert retries.after("a", "killed", neighbours=0)


@pytest.mark.parametrize(
    ("fault", "is_resumed", "state"),
    [
        ("failed", True, "failed"),
        ("failed", False, "failed"),
        ("killed", True, "interrupted"),
        ("killed", False, "failed"),
        ("hung", True, "interrupted"),
        ("hung", False, "failed"),
        ("out_of_memory", True, "out_of_memory"),
        ("out_of_memory", False, "out_of_memory"),
    ],
)
def test_an_attempt_is_recorded_as_what_it_was(fault: str, is_resumed: bool, state: str) -> None:
    assert state_after(fault, is_resumed=is_resumed) == state


def test_the_next_try_says_when_and_how_it_will_be() -> None:
    texts = [Retry(wait=16.0).text, Retry(neighbours=3).text, Retry(neighbours=0).text]
    assert texts == ["retry in 16 s", "retry beside at most 3", "retry, alone on its device"]
