"""`--metric`, `--select` and `--spread` of the page: tables and charts show the same numbers as `report` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from page_results import finished

from asapbench.errors import SuiteError
from asapbench.report.build import report
from asapbench.report.page.charts import Chart, charts
from asapbench.report.page.content import read
from asapbench.report.page.tables import paper_tables, suite_tables
from asapbench.report.quantity import USUAL, Metric, Numbers, Wanted
from asapbench.report.statistics import Spread
from asapbench.report.table import Table
from asapbench.store import Store
from asapbench.suite.load import load


def texts(table: Table) -> list[str]:
    return [field.text for group in table.groups for row in group.rows for field in row.fields[1:]]


def learning(url: str, numbers: Numbers = USUAL, **chosen: Any) -> Chart:
    (chart,) = (
        one for one in charts(read(url, numbers=numbers, **chosen), spread=numbers.spread) if one.id == "learning"
    )
    return chart


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("spread", Spread)
def test_tables_of_suites_are_those_of_report(swept: str, metric: Metric, spread: Spread) -> None:
    numbers = Numbers(metric=metric, spread=spread)
    shown = {table.name: table for table in suite_tables(read(swept, numbers=numbers), option="", numbers=numbers)}
    for suite in ("mine", "quickstart"):
        alone = report(Wanted(suite=suite, metric=metric, spread=spread), url=swept)
        assert texts(shown[suite]) == texts(alone)
        assert shown[suite].described() == alone.described()


def test_tables_of_the_paper_have_the_epoch_and_the_spread(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite"
    bp = next(cell for cell in load("cifar10").cells if (cell.rule.name, cell.model.name) == ("bp", "resnet18"))
    cells = [bp.with_seed(seed) for seed in (0, 1)]
    with Store.open(url) as store:
        store.record_suite("cifar10", "cifar10.toml", cells)
        for cell, accuracy in zip(cells, (0.90, 0.92), strict=True):
            finished(store, cell, [(None, accuracy), (None, accuracy - 0.1)])

    def first(numbers: Numbers) -> list[str]:
        table = next(one for one in paper_tables(read(url), option="", numbers=numbers) if one.name == "table-1")
        return texts(table)

    assert "91.00 ± 1.41" in first(Numbers())
    assert "81.00 (80.00 to 82.00)" in first(Numbers(metric=Metric.LAST, spread=Spread.RANGE))


@pytest.mark.parametrize(
    ("spread", "shown"),
    [
        (Spread.SD, {"s": [0.71, 0.71]}),  # |a - b| / sqrt(2) of 90 and 91
        (Spread.SE, {"s": [0.5, 0.5]}),
        (Spread.CI, {"s": [6.4, 6.4]}),  # 12.7062 * 0.5
        (Spread.RANGE, {"r": [[90, 91], [80, 81]]}),
    ],
)
def test_bands_of_learning_curves_are_the_spread(swept: str, spread: Spread, shown: dict[str, Any]) -> None:
    chart = learning(swept, Numbers(spread=spread), suites=["quickstart"], filters=["seed=0,1"])
    assert [item["v"][0] for item in chart.items] == [{"m": [90.5, 80.5]} | shown]
    assert spread.described in chart.note


def test_a_chosen_value_stands_in_the_table_and_alone_in_the_charts(swept: str) -> None:
    numbers = Numbers(select="lr")
    content = read(swept, numbers=numbers)
    mine, quickstart = suite_tables(content, option="", numbers=numbers)
    assert texts(mine) == ["100.50 ± 0.71", "50.50 ± 0.71", "0.01 of 2", "0.1 of 2"]
    assert texts(mine) == texts(report(Wanted(suite="mine", select="lr"), url=swept))
    assert texts(quickstart) == texts(report(Wanted(suite="quickstart"), url=swept))
    drawn = {(one.result.cell.rule.name, one.result.cell.lr) for one in content.drawn if one.result.cell.validation}
    assert drawn == {("bp", 0.01), ("fa", 0.1)}
    by_id = {chart.id: chart for chart in charts(content)}
    for id in ("learning", "speed"):
        assert len(by_id[id].items) == 3
        assert "Drawn is only the value of lr with the highest validation accuracy." in by_id[id].note
    assert "Drawn is only" not in by_id["memory"].note
    assert len(content.trained) == 11


def test_what_was_not_swept_is_refused_as_by_report(swept: str) -> None:
    for select in ("rule.k", "lr,", "seed", ","):
        wanted = Numbers(select=select)
        if select == "lr,":
            read(swept, numbers=wanted)
            continue
        with pytest.raises(SuiteError) as alone:
            report(Wanted(suite="mine", select=select), url=swept)
        with pytest.raises(SuiteError) as page:
            read(swept, numbers=wanted)
        assert str(page.value) == str(alone.value)
    with pytest.raises(SuiteError, match="--metric best chooses the epoch on test data"):
        read(swept, numbers=Numbers(select="lr", metric=Metric.BEST))


def test_validation_accuracy_is_a_choice_where_cells_have_it(swept: str, trained: str) -> None:
    chart = learning(swept)
    titles = [one.title for one in chart.quantities]
    assert titles == ["Test accuracy", "Validation accuracy", "Test loss", "Train accuracy", "Train loss"]
    found = {(item["f"][2], item["f"][3]): item["v"][1] for item in chart.items}
    assert found["BP", "lr 0.01"] == {"m": [29.5, 90.5], "s": [0.71, 0.71]}
    assert [value for value in found.values() if value is None] == [None]
    assert "Validation accuracy" not in [one.title for one in learning(trained).quantities]
