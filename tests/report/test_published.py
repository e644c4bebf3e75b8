"""The printed numbers are those of `published.toml`, in its order, each with the names that it belongs to."""

import tomllib
from importlib.resources import files

import pytest

from asapbench.report.published import CITED, WEIGHT_DECAY, forward_alignment_accuracies, printed_table

TEXT = tomllib.loads(files("asapbench.report").joinpath("published.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(1, 6))
def test_every_printed_number_can_be_read_back(number: int) -> None:
    content, table = TEXT[f"table{number}"], printed_table(number)
    assert table.title == f"Table {number}. {content['caption']}"
    assert len(table.columns) == len(content["columns"])
    for row, line in zip(content["rows"], table.lines, strict=True):
        assert [printed.value for printed in line.numbers] == row["values"]
        for column, printed in zip(content["columns"], line.numbers, strict=True):
            if number == WEIGHT_DECAY:
                assert printed.key == ("cifar10", content["model_inferred"], row["rule"], column)
            else:
                assert printed.key == (row["dataset"], row["model"], CITED.get(column, column), None)


def test_a_table_that_the_paper_lacks_is_an_error() -> None:
    with pytest.raises(KeyError):
        printed_table(6)


def test_forward_alignment_has_both_networks() -> None:
    linear, nonlinear = (tuple(TEXT["forward_alignment"][network].values()) for network in ("linear", "nonlinear"))
    assert forward_alignment_accuracies() == (*linear, *nonlinear)
