"""A size beyond the data is refused where the suite is read; a stored cell of an earlier version can still be read."""

from __future__ import annotations

import pytest

from asapbench.errors import SuiteError
from asapbench.suite.catalog import DATASETS, dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.suite.load import load, parse
from asapbench.suite.select import choose

HEAD = '[suite]\nname = "a"\n[defaults]\nmodel = "mlp"\nrule = "bp"\nlr = 0.1\nbatch_size = 16\n[[grid]]\n'


def problems(grid: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        parse(HEAD + grid, source="s.toml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (
            'dataset = ["digits", { name = "digits", train_size = [64, 5000] }]',
            "9:59: train_size 5000 is more than the 1438 training images that digits has: "
            "take at most 1438, or 0 for all",
        ),
        (
            'dataset = { name = "tiny_imagenet", classes = 40, train_size = 20001 }',
            "9:64: train_size 20001 is more than the 20000 training images that tiny_imagenet has of its first 40 "
            "classes: take at most 20000, or 0 for all",
        ),
        ('dataset = { name = "tiny_imagenet", classes = 201 }', "9:47: classes must be less than 201, not 201"),
        (
            'dataset = { name = "digits", train_size = 1 }',
            "9:43: train_size 1 is too small to train on: take at least 2, or 0 for all",
        ),
        (
            'dataset = { name = "digits", train_size = 500 }\nvalidation = [0, 500]',
            "10:18: validation 500 leaves 0 of 500 training examples: hold out at most 498",
        ),
        (
            'dataset = "digits"\nvalidation = 99999',
            "10:14: validation 99999 leaves 0 of 1438 training examples: hold out at most 1436",
        ),
    ],
)
def test_a_suite_names_the_place_the_actual_size_and_the_fix(grid: str, says: str) -> None:
    assert problems(grid) == [f"s.toml:{says}"]


def test_a_batch_may_hold_all_examples() -> None:
    text = (HEAD + 'dataset = { name = "digits", train_size = 64 }').replace("batch_size = 16\n", "")
    assert parse(text, source="s.toml").cells[0].batch_size == 128


def test_all_of_the_data_is_not_beyond_them() -> None:
    text = HEAD + 'dataset = { name = "digits", train_size = 1438 }\nbatch_size = 1438'
    assert len(parse(text, source="s.toml").cells) == 1


@pytest.mark.parametrize("setting", ["dataset.train_size=1439", "validation=1437", "dataset.train_size=1"])
def test_set_refuses_the_same(setting: str) -> None:
    with pytest.raises(SuiteError, match=f"^--set {setting}: .*(at most|at least)"):
        choose([load("quickstart").cells], settings=[setting])


@pytest.mark.parametrize("changes", [{"train_size": 5000}, {"validation": 1437}])
def test_a_stored_cell_of_an_earlier_version_is_read_and_not_trained(changes: dict[str, int]) -> None:
    content = load("quickstart").cells[0].to_json()
    if "train_size" in changes:
        content["dataset"] |= changes
    else:
        content |= changes
    cell = Cell.from_json(content)
    assert cell.to_json() == content
    assert len(cell.id) == 64
    with pytest.raises(SuiteError, match=r"at most"):
        require_trainable(cell)


def test_what_an_earlier_version_trained_on_instead_is_known() -> None:
    whole, beyond, part = (DATASETS["digits"].choose({"train_size": size}) for size in (0, 5000, 500))
    assert DATASETS["digits"].within(beyond) == whole
    assert DATASETS["digits"].within(part) == part
    assert [dataset_shape(dataset).train for dataset in (whole, beyond, part)] == [1438, 1438, 500]
