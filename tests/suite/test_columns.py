"""Cells that are shown together never look the same: what differs among them is shown, and nothing else."""

from __future__ import annotations

from asapbench.suite.cell import Cell, plain
from asapbench.suite.columns import differing, distinct_labels, field_text, varying
from asapbench.suite.load import parse

GRID = """
[suite]
name = "b"
[defaults]
dataset = "digits"
model = { name = "resnet10", width = 2 }
rule = "bp"
lr = 0.1
[[grid]]
"""


def cells(grid: str) -> tuple[Cell, ...]:
    return parse(GRID + grid, source="s.toml").cells


DIFFERENT = {
    "lr": ("lr = [0.1, 0.10000001]", "0.10000001"),
    "epochs": ("epochs = [1, 2]", "2"),
    "batch_size": ("batch_size = [16, 32]", "32"),
    "schedule": ('schedule = ["cosine", "constant"]', "constant"),
    "augment": ('augment = ["none", "crop_flip"]', "crop_flip"),
    "precision": ('precision = ["float32", "bf16"]', "bf16"),
    "validation": ("validation = [0, 100]", "100"),
}


def test_every_field_of_a_cell_that_no_label_has_tells_cells_apart() -> None:
    for name, (grid, last) in DIFFERENT.items():
        found = cells(grid)
        assert len({cell.label for cell in found}) == 1, "these look the same"
        assert differing(found) == (name,)
        assert f"{name} {last}" in distinct_labels(found)[found[1].id]
        assert len(set(distinct_labels(found).values())) == 2


def test_labels_themselves_tell_options_apart_to_the_last_digit() -> None:
    found = cells('optimizer = { name = "adam", beta1 = [0.9999999, 0.99999999] }')
    assert len({cell.label for cell in found}) == 2


def test_what_is_the_same_or_already_in_the_label_is_not_repeated() -> None:
    rules = cells("rule = ['bp', 'fa']\nseeds = [0, 1]\nlr = 0.2")
    assert differing(rules) == ()
    assert list(distinct_labels(rules).values()) == [cell.label for cell in rules]


def test_a_label_gets_only_what_tells_it_from_cells_of_the_same_label() -> None:
    found = cells('rule = ["bp", "fa"]\nlr = { bp = [0.1, 0.2], fa = 0.3 }')
    assert differing(found) == ("lr",)
    assert [label.partition("seed 0")[2] for label in distinct_labels(found).values()] == [", lr 0.1", ", lr 0.2", ""]


def test_numbers_are_written_in_full_where_six_digits_are_not_all() -> None:
    values = {0.03: "0.03", 1e-5: "1e-05", 0.1 + 0.2: "0.30000000000000004", True: "true", 7: "7", "cosine": "cosine"}
    assert {value: plain(value) for value in values} == values


def test_what_differs_only_between_rules_differs_and_does_not_vary() -> None:
    found = cells('rule = ["bp", "fa"]\nlr = { bp = 0.1, fa = 0.3 }\nepochs = [1, 2]')
    assert differing(found) == ("lr", "epochs")
    assert varying(found) == ("epochs",)


def test_an_optimizer_differs_and_is_written_with_its_options() -> None:
    found = cells('optimizer = { name = "adam", beta1 = [0.5, 0.9] }')
    assert differing(found) == varying(found) == ("optimizer",)
    assert field_text(found[0], "optimizer") == "Adam(beta1=0.5)"
    assert list(distinct_labels(found).values()) == [cell.label for cell in found]
