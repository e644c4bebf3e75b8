"""Checkpoints that earlier versions wrote are resumed by this one: nothing in them is lost or refused."""

import json
import shutil
from pathlib import Path

import pytest
from freeze import FROZEN, cells
from tiny_cell import Recorder, same_bits, trainer

from asapbench.suite.cell import Cell
from asapbench.training import saved

NAMES = sorted(path.stem for path in FROZEN.glob("*.checkpoint"))


def test_each_kind_of_cell_is_frozen() -> None:
    assert set(cells()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_checkpoint_resumes_and_ends_as_an_unbroken_run(name: str, images, tmp_path: Path) -> None:
    frozen = Cell.from_json(json.loads((FROZEN / f"{name}.json").read_text()))
    assert frozen.id == cells()[name].id
    (tmp_path / "before").mkdir()
    path = tmp_path / "before" / "000005.checkpoint"
    shutil.copy(FROZEN / f"{name}.checkpoint", path)
    resumed = Recorder()
    options = {"alignment": name == "asap"}
    run = trainer(frozen, images, tmp_path / "after", resumed, previous=[path.parent], **options)
    held = saved.read(path)
    assert same_bits(run.state.model.state_dict(), held.model)
    assert same_bits(run.state.learner.rule_state(), held.rule)
    assert run.fit() == "done"
    assert (resumed.history, resumed.batch) == (held.history, 1)
    assert [row.epoch for row in resumed.rows] == [2, 3]
    if resumed.bit_exact:  # where the environment is that of the checkpoint
        whole = Recorder()
        assert trainer(frozen, images, tmp_path / "whole", whole, **options).fit() == "done"
        rows = resumed.history + resumed.rows
        assert all(found.same_result(expected) for found, expected in zip(rows, whole.rows, strict=True))
        assert resumed.angles == whole.angles
