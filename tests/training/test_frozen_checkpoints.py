"""Checkpoints that earlier versions wrote are resumed by this one: nothing in them is lost or refused."""

import json
import shutil
from dataclasses import astuple
from pathlib import Path

import pytest
from freeze import FROZEN, cells
from tiny_cell import Recorder, trainer

from asapbench.suite.cell import Cell

NAMES = sorted(path.stem for path in FROZEN.glob("*.checkpoint"))


def test_each_kind_of_cell_is_frozen() -> None:
    assert set(cells()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_checkpoint_resumes_and_ends_as_an_unbroken_run(name: str, images, tmp_path: Path) -> None:
    frozen = Cell.from_json(json.loads((FROZEN / f"{name}.json").read_text()))
    assert frozen.id == cells()[name].id
    (tmp_path / "before").mkdir()
    shutil.copy(FROZEN / f"{name}.checkpoint", tmp_path / "before" / "000005.checkpoint")
    whole, resumed = Recorder(), Recorder()
    options = {"alignment": name == "asap"}
    assert trainer(frozen, images, tmp_path / "whole", whole, **options).fit() == "done"
    run = trainer(frozen, images, tmp_path / "after", resumed, previous=[tmp_path / "before"], **options)
    assert run.fit() == "done"
    assert (len(resumed.history), resumed.batch) == (1, 1)
    rows = resumed.history + resumed.rows
    for found, expected in zip(rows, whole.rows, strict=True):
        # another processor than the one that wrote the checkpoint rounds otherwise
        assert (found.train_loss, found.test_loss) == pytest.approx((expected.train_loss, expected.test_loss), rel=0.02)
    assert [row.epoch for row in resumed.angles] == [row.epoch for row in whole.angles]
    assert astuple(resumed.history[0])[0] == 1
