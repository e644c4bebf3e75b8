import tomllib
from importlib.resources import files

import pytest

from asapbench.report.published import published

TEXT = tomllib.loads(files("asapbench.report").joinpath("published.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(1, 6))
def test_every_printed_number_can_be_read_back(number: int) -> None:
    content, table = TEXT[f"table{number}"], published().table(number)
    assert list(table.columns) == content["columns"]
    assert len(table.rows) == len(content["rows"])
    for row in content["rows"]:
        model = row.get("model", content.get("model_inferred"))
        for column, value in zip(content["columns"], row["values"], strict=True):
            found = table.value(column, dataset=row.get("dataset"), model=model, rule=row.get("rule"))
            assert found == value


def test_what_was_not_printed_is_none() -> None:
    table = published().table(1)
    assert table.value("bp", dataset="mnist", model="resnet34") is None
    assert table.value("as", dataset="mnist", model="alexnet") is None
    with pytest.raises(KeyError):
        published().table(6)


def test_forward_alignment_has_both_networks() -> None:
    found = {row.network: (row.bp, row.forward_alignment) for row in published().forward_alignment}
    assert found == {name: tuple(row.values()) for name, row in TEXT["forward_alignment"].items()}
