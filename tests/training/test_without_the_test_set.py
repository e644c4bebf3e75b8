"""A cell that leaves the test set out trains the same bits, and its test figures are NaN."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_cell import Recorder, bits, cell, noise_images, same_bits, trainer


@pytest.mark.parametrize("rule", ["bp", "asap"])
def test_the_weights_and_the_other_figures_are_the_same(rule: str, tmp_path: Path) -> None:
    trained, rows = [], []
    for test_set in (True, False):
        listener = Recorder()
        one = trainer(cell(rule, validation=8, test_set=test_set), noise_images(), tmp_path / f"{test_set}", listener)
        assert one.fit() == "done"
        trained.append(bits(one))
        rows.append(listener.rows)
    assert same_bits(*trained)
    blank = {"test_loss": math.nan, "test_accuracy": math.nan}
    assert all(ours.same_result(replace(theirs, **blank)) for theirs, ours in zip(*rows, strict=True))
    assert all(not math.isnan(row.test_accuracy) for row in rows[0])


class Unreadable:
    """Test examples that have a number and cannot be read."""

    def __len__(self) -> int:
        return 20


def test_the_test_set_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = trainer(cell("bp", validation=8, test_set=False), noise_images(), tmp_path, listener := Recorder())
    monkeypatch.setattr(one, "test", Unreadable())
    assert one.fit() == "done"
    assert [row.epoch for row in listener.rows] == [1, 2, 3]
