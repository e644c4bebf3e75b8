"""`show` prints the validation accuracy of each epoch, and the best one, where examples were held out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from commands import Commands

from asapbench.metrics import EpochMetrics
from asapbench.store import DEFAULT_URL, OwnerProcess, Provenance, Store
from asapbench.suite.load import load

CELL = replace(load("quickstart").cells[0], validation=100)


@pytest.mark.parametrize("validation", [(0.25, 0.75, 0.5), (0.25, math.nan, 0.125), (None, None, None)])
def test_validation_is_shown_by_epoch_and_at_its_best(
    asapbench: Commands, validation: tuple[float | None, ...]
) -> None:
    with Store.open(DEFAULT_URL) as store:
        owner = OwnerProcess("a-host", "a-boot", 4, 1.0)
        claim = store.claim(CELL, owner=owner, provenance=Provenance(None, None, {}, {}), device="cpu")
        assert claim is not None
        rows = [
            EpochMetrics(n, 1.5, 0.5, 1.5, n / 8, None if one is None else 2.5, one, 0.03, 2.0, 9.0, None)
            for n, one in enumerate(validation, start=1)
        ]
        store.record_epochs(claim, rows)
        store.finish(claim, "done")
    said = asapbench("show", CELL.short).out
    if validation[0] is None:
        assert "best val" not in said
        assert "val loss" not in said
    elif math.isnan(validation[1] or 0.0):
        assert "best val       25.00 % at epoch 1, where the test accuracy is 12.50 %" in said
    else:
        assert "best val       75.00 % at epoch 2, where the test accuracy is 25.00 %" in said
        [line] = [line for line in said.splitlines() if line.split()[:1] == ["2"]]
        assert line.split()[-7:-1] == ["2.5000", "75.00", "%", "1.5000", "25.00", "%"]
