"""Numbers of other works stand beside the configuration that stands for them, and beside no other."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib.resources import files

import pytest
from made_up import result, shipped_cell

from asapbench.report import other_works
from asapbench.report.other_works import OtherNumber, Work, numbers_of_other_works
from asapbench.report.quantity import Metric
from asapbench.report.suite import suite_table
from asapbench.report.table import Table
from asapbench.suite.cell import Cell, title
from asapbench.suite.load import load, parse

TEXT = tomllib.loads(files("asapbench.report").joinpath("other_works.toml").read_text(encoding="utf-8"))


def table_of(suite: str, *cells: Cell, percent: float = 90.0) -> Table:
    """The report of a shipped suite, of which `cells` are trained and planned beside its own."""
    file = load(suite)
    results = [result(cell, percent) for cell in cells]
    return suite_table(suite, [*file.cells, *cells], results, metric=Metric.BEST, file=file)


def lines(table: Table) -> dict[str, dict[str, str]]:
    """By the name of a line of the first row, the text in each column."""
    found: dict[str, dict[str, str]] = {}
    for row in table.groups[0].rows:
        texts = {column.title: field.text for column, field in zip(table.columns, row.fields, strict=True)}
        found.setdefault(texts.pop("Model"), texts)
    return found


def test_every_number_has_one_configuration_of_its_suite() -> None:
    numbers = numbers_of_other_works()
    assert len(numbers) == sum(len(work["numbers"]) for work in TEXT["work"])
    for table in TEXT["work"]:
        groups = {cell.group for cell in load(table["suite"]).cells}
        which = (table["citation"], table["place"])
        own = [number for number in numbers.values() if (number.work.citation, number.work.place) == which]
        assert len(own) == len(table["numbers"])
        assert {number.cell.group for number in own} <= groups
        assert all(number.cell.dataset.name == "cifar10" for number in own)


def test_an_error_becomes_an_accuracy_and_the_report_says_so() -> None:
    number = numbers_of_other_works()[shipped_cell("feedback", "resnet20", "bp").group]
    assert number.value == 91.37
    assert "errors are printed: the accuracies are 100 minus them" in number.work.remark
    assert Work("a work", "a table", "accuracy", "Nothing differs.").accuracy(91.3) == 91.3
    assert Work("a work", "a table", "accuracy", "Nothing differs.").remark == "a work: a table. Nothing differs."


def test_measured_published_and_difference_are_below_each_other() -> None:
    table = table_of("feedback", shipped_cell("feedback", "resnet20", "fa"), percent=70.0)
    found = lines(table)
    assert found["ResNet-20"]["FA"] == "70.00"
    assert (found["published"]["FA"], found["difference"]["FA"]) == ("67.84", "+2.16")
    assert (found["published"]["BP"], found["difference"]["BP"]) == ("91.37", "")
    assert (found["published"]["KP"], found["difference"]["KP"]) == ("", "")
    assert "below it as published (Sanfiz and Akrout 2021 (BioTorch))" in table.caption
    (number,) = (n for n in table.numbers if (n.model, n.rule) == ("resnet20", "fa"))
    assert number.published == 67.84
    assert number.difference == pytest.approx(2.16)


@pytest.mark.parametrize(
    "cut", [{"epochs": 1}, {"lr": 0.5}, {"batch_size": 64}, {"precision": "bf16"}, {"validation": 0}]
)
def test_a_cut_cell_never_stands_beside_a_published_number(cut: dict[str, float]) -> None:
    cell = replace(shipped_cell("feedback", "resnet20", "fa"), **cut)  # type: ignore[arg-type]
    table = table_of("feedback", cell, percent=70.0)
    rows = [[field.text for field in row.fields] for row in table.groups[0].rows]
    cut_row = next(place for place, row in enumerate(rows) if "70.00" in row)
    assert cut_row + 1 == len(rows) or "published" not in rows[cut_row + 1]
    assert {n.published for n in table.numbers if n.measured is not None} == {None}


@pytest.mark.parametrize("suite", ["feedback_cpu", "local_cpu", "phsic_cpu", "cpu", "quickstart"])
def test_a_suite_of_narrow_networks_has_no_published_numbers(suite: str) -> None:
    table = table_of(suite, *load(suite).cells[:1])
    assert "published" not in table.caption
    assert "published" not in lines(table)
    assert {number.published for number in table.numbers} == {None}


def test_a_suite_of_ones_own_with_the_same_configuration_has_them_too() -> None:
    cell = shipped_cell("feedback", "resnet20", "dfa", seed=7)
    table = suite_table("mine", [cell], [result(cell, 50.0)])
    assert lines(table)["published"] == {"DFA": "54.06"}


def test_numbers_of_several_works_have_footnotes_that_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    bp, fa = (shipped_cell("feedback", "resnet20", rule) for rule in ("bp", "fa"))
    one, two = (Work(name, "its table", "accuracy", "Nothing differs.") for name in ("Work One", "Work Two"))
    numbers = {bp.group: OtherNumber(one, 91.0, bp), fa.group: OtherNumber(two, 68.0, fa)}
    monkeypatch.setattr("asapbench.report.suite.numbers_of_other_works", lambda: numbers)
    table = suite_table("mine", [bp, fa], [result(bp, 90.0)])
    assert "as published (Work One; Work Two)" in table.caption
    fields = table.groups[0].rows[1].fields
    said = {note.mark: note.text for note in table.notes if note.mark}
    assert [said[mark] for field in fields for mark in field.marks] == [one.remark, two.remark]


def test_a_number_without_its_cell_and_one_with_two_are_errors() -> None:
    head = '[suite]\nname = "two"\n[[grid]]\ndataset = "cifar10"\nmodel = "resnet20"\nrule = "bp"\nlr = {}\n'
    for rates, count in (("[0.1, 0.2]", 2), ("0.1", 0)):
        suite = parse(head.format(rates), source="two")
        cell = suite.cells[0]
        rule = cell.rule if count else shipped_cell("feedback", "resnet20", "fa").rule
        with pytest.raises(ValueError, match=f"suite two has {count} configurations"):
            other_works._cell(suite, cell.model, rule)


PRINTED = {
    "feedback": {
        ("ResNet-20", "BP"): 91.37,
        ("ResNet-20", "FA"): 67.84,
        ("ResNet-20", "DFA"): 54.06,
        ("ResNet-20", "sign-symmetry"): 89.95,
        ("ResNet-20", "sign-symmetry(variant=brsf)"): 88.98,
        ("ResNet-20", "sign-symmetry(variant=frsf)"): 88.8,
        ("ResNet-56", "BP"): 91.7,
        ("ResNet-56", "FA"): 65.12,
        ("ResNet-56", "DFA"): 61.99,
        ("ResNet-56", "sign-symmetry"): 91.8,
        ("ResNet-56", "sign-symmetry(variant=brsf)"): 91.31,
        ("ResNet-56", "sign-symmetry(variant=frsf)"): 90.51,
    },
    "feedback_adam": {
        ("ResNet-20", "BP"): 89.99,
        ("ResNet-20", "FA"): 70.41,
        ("ResNet-20", "DFA"): 67.84,
        ("ResNet-20", "sign-symmetry"): 89.41,
        ("ResNet-20", "sign-symmetry(variant=brsf)"): 88.92,
        ("ResNet-20", "sign-symmetry(variant=frsf)"): 88.78,
        ("ResNet-56", "BP"): 92.17,
        ("ResNet-56", "FA"): 70.77,
        ("ResNet-56", "DFA"): 67.98,
        ("ResNet-56", "sign-symmetry"): 90.81,
        ("ResNet-56", "sign-symmetry(variant=brsf)"): 89.87,
        ("ResNet-56", "sign-symmetry(variant=frsf)"): 89.98,
    },
    "local": {
        ("VGG8B(nonlinearity=leaky_relu)", "BP"): 94.01,
        ("VGG8B(nonlinearity=leaky_relu)", "predsim"): 94.42,
    },
    "phsic": {
        ("VGG-like", "BP"): 94.1,
        ("VGG-like", "pHSIC(groups=32)"): 91.3,
        ("VGG-like", "pHSIC(kernel=gaussian)"): 89.9,
        ("VGG-like(width=256)", "BP"): 94.3,
        ("VGG-like(width=256)", "pHSIC(groups=128)"): 91.9,
        ("VGG-like(width=256)", "pHSIC(groups=128, kernel=gaussian)"): 91.0,
        ("VGG-like(divisive_groups=64)", "BP"): 94.3,
        ("VGG-like(divisive_groups=64)", "pHSIC(power=0.8)"): 90.1,
        ("VGG-like(divisive_groups=64)", "pHSIC(kernel=gaussian, power=0.8)"): 89.4,
        ("VGG-like(divisive_groups=64, width=256)", "BP"): 94.5,
        ("VGG-like(divisive_groups=64, width=256)", "pHSIC(power=0.8)"): 91.0,
        ("VGG-like(divisive_groups=128, width=256)", "pHSIC(groups=128, kernel=gaussian, power=0.8)"): 91.2,
    },
}
"""Accuracies: 100 minus the errors of BioTorch and of Nøkland and Eidnes; those of Pogodin and Latham as printed."""


def test_the_numbers_are_those_printed() -> None:
    found: dict[str, dict[tuple[str, str], float]] = {}
    for suite in PRINTED:
        for cell in load(suite).cells:
            if number := numbers_of_other_works().get(cell.group):
                found.setdefault(suite, {})[title("model", cell.model), title("rule", cell.rule)] = number.value
    assert found == PRINTED
