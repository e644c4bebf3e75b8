"""`[suite] target`: the validation accuracy until which trainings are timed; it changes no cell."""

from __future__ import annotations

import pytest

from asapbench.errors import SuiteError
from asapbench.suite.load import parse
from asapbench.suite.target import Target

GRID = """
[[grid]]
dataset = ["digits", "mnist"]
model = "mlp"
rule = "bp"
lr = 0.1
validation = 100
"""


def target_of(line: str) -> Target | None:
    return parse(f'[suite]\nname = "mine"\n{line}\n{GRID}', source="mine.toml").target


def problem(line: str) -> str:
    with pytest.raises(SuiteError) as caught:
        target_of(line)
    return str(caught.value)


def test_one_target_is_that_of_every_data_set() -> None:
    found = target_of("target = 0.6")
    assert found is not None
    assert (found.of("digits"), found.of("mnist")) == (0.6, 0.6)


def test_a_table_has_a_target_for_each_data_set_that_it_names() -> None:
    found = target_of("target = { mnist = 0.98 }")
    assert found is not None
    assert (found.of("digits"), found.of("mnist")) == (None, 0.98)


def test_the_table_may_have_its_own_heading() -> None:
    found = target_of("[suite.target]\nmnist = 1")
    assert found is not None
    assert found.of("mnist") == 1.0


def test_a_suite_without_target_has_none() -> None:
    assert target_of("") is None


def test_a_target_changes_no_cell() -> None:
    texts = [f'[suite]\nname = "mine"\n{line}\n{GRID}' for line in ("", "target = 0.6")]
    plain, timed = (parse(text, source="mine.toml").cells for text in texts)
    assert [cell.id for cell in plain] == [cell.id for cell in timed]


@pytest.mark.parametrize("value", ["60", "0", "-0.5", "nan", "inf", "true", '"0.6"', "[0.6]"])
def test_what_is_no_fraction_is_an_error_at_its_place(value: str) -> None:
    assert problem(f"target = {value}").startswith("mine.toml:3:10: a target must be a fraction above 0 and up to 1")


def test_errors_of_a_table_name_the_place_of_the_value_and_of_the_name() -> None:
    assert problem("target = { mnits = 0.98, digits = 98 }").splitlines() == [
        'mine.toml:3:20: unknown dataset "mnits"; did you mean "mnist"? (there are: cifar10, cifar100, digits, '
        "imagefolder, mnist, npz, svhn, tiny_imagenet)",
        "mine.toml:3:35: a target must be a fraction above 0 and up to 1, as 0.6 for 60 %, not 98",
    ]
