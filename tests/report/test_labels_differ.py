"""Configurations that differ slightly: each has its own row and label."""

import csv
from dataclasses import replace
from pathlib import Path

from in_process import asapbench
from made_up import result

from asapbench.analysis.shortcut import ANGLE
from asapbench.analysis.speed import Benched, Loop, Speed
from asapbench.metrics import EpochMetrics, Measurement
from asapbench.report.cells import write_cells
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.curves import learning_curves
from asapbench.report.figures.shortcut import shortcut_effect_figure
from asapbench.report.paper import accuracy_table
from asapbench.report.quantity import Metric, Quantity
from asapbench.report.speed import speed_table
from asapbench.report.suite import suite_table
from asapbench.report.table import Table
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import Cell, differences, plain
from asapbench.suite.columns import settings
from asapbench.suite.load import load

ALMOST = (0.99999999, 0.9999999)
CELL = load("quickstart").cells[0]


def adam(beta1: float) -> Cell:
    return replace(CELL, optimizer=CATALOG["optimizer"]["adam"].choose({"beta1": beta1}))


def require_distinct(table: Table) -> None:
    keys = [(n.dataset, n.model, n.rule, n.variant, n.metric) for n in table.numbers]
    assert len(set(keys)) == len(keys)


def test_a_suite_report_has_a_row_for_each_of_two_values_that_differ_in_the_eighth_digit() -> None:
    cells = [adam(beta1) for beta1 in ALMOST]
    table = suite_table("mine", cells, [result(cell, 90.0 + n) for n, cell in enumerate(cells)], metric=Metric.BEST)
    rows = table.groups[0].rows
    assert [row.fields[1].text for row in rows] == ["90.00", "91.00"]
    assert "0.99999999" in rows[0].fields[0].text
    assert "0.9999999)" in rows[1].fields[0].text
    require_distinct(table)


def test_two_columns_of_a_rule_whose_option_differs_in_the_eighth_digit_are_two() -> None:
    cells = [replace(CELL, rule=CATALOG["rule"]["predsim"].choose({"beta": value})) for value in ALMOST]
    table = suite_table("a", cells, [result(cell, 90.0) for cell in cells], metric=Metric.BEST)
    assert len({column.title for column in table.columns}) == 3
    require_distinct(table)


def test_the_shortest_text_that_reads_back_as_the_value_is_printed() -> None:
    values = (0.03, 5e-5, 0.9, 1.0, 200, 0.99999999, 0.1 + 0.2, True, "max")
    assert [plain(value) for value in values] == [
        *("0.03", "5e-05", "0.9", "1", "200", "0.99999999", "0.30000000000000004", "true", "max")
    ]


def test_deviations_that_differ_in_an_option_of_another_optimizer_keep_a_line_each() -> None:
    base = next(c for c in load("cifar10").cells if (c.model.name, c.rule.name) == ("resnet18", "bp"))
    cells = [replace(base, optimizer=adam(beta1).optimizer) for beta1 in (0.8, *ALMOST)]
    assert len({tuple(differences(cell, base)) for cell in cells}) == 3
    results = [result(cell, 90.0 + n) for n, cell in enumerate(cells)]
    table = accuracy_table(1, results, allow_deviations=True)
    shown = [row for group in table.groups for row in group.rows if row.fields[0].text == "deviating"]
    assert [row.fields[1].text for row in shown] == ["90.00", "91.00", "92.00"]
    require_distinct(table)


def test_curves_have_a_line_and_a_legend_entry_for_each() -> None:
    epoch = EpochMetrics(1, 1.0, 0.5, 1.0, 0.5, None, None, 0.1, 1.0, 100.0, None)
    made = learning_curves(
        [Recorded(result(adam(b), 90.0), [epoch]) for b in ALMOST], quantity=Quantity.ACCURACY, heading="x"
    )
    assert len(made.table.groups[0].rows) == 2
    require_distinct(made.table)


def test_networks_of_the_shortcut_effect_that_differ_in_lr_alone_differ_in_the_long_form() -> None:
    rows = [Measurement("layer", ANGLE, 10.0, None, 8)]
    made = shortcut_effect_figure([(replace(CELL, lr=lr), rows) for lr in (0.1, 0.2)])
    require_distinct(made.table)


def test_speeds_of_cells_that_differ_in_what_no_heading_names_differ() -> None:
    cells = [replace(CELL, augment=augment) for augment in ("none", "crop_flip")]
    speeds = tuple(Speed(cell, "a processor", "cpu", loops={"own": Loop()}) for cell in cells)
    require_distinct(speed_table(Benched(speeds, rounds=1, threads=1, images="random", torch="2")))


def test_the_settings_of_different_cells_differ() -> None:
    suites = ("quickstart", "cifar10", "weight_decay", "forward_alignment")
    cells = [cell for suite in suites for cell in load(suite).cells]
    cells += [adam(beta1) for beta1 in ALMOST]
    distinct = {cell.id: tuple(settings(cell).items()) for cell in cells}
    assert len(set(distinct.values())) == len(distinct)


def test_no_two_entries_of_the_catalog_have_one_title() -> None:
    for kind, entries in CATALOG.items():
        assert len({entry.title for entry in entries.values()}) == len(entries), kind


RECIPES = [
    CELL,
    replace(CELL, schedule=CATALOG["schedule"]["step"].choose({"milestones": "2"})),
    replace(CELL, schedule=CATALOG["schedule"]["step"].choose({"milestones": "1"})),
    *(replace(CELL, **{name: value}) for name, value in (("warmup", 1), ("label_smoothing", 0.1), ("validation", 10))),
    *(replace(CELL, **{name: value}) for name, value in (("precision", "bf16"), ("batch_size", 17), ("lr", 0.5))),
]


def test_cells_that_differ_in_any_setting_have_labels_that_differ(tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "x.sqlite")) as store:
        for cell in RECIPES:
            store.claim(
                cell, owner=OwnerProcess.of_this_process(), provenance=Provenance(None, None, {}, {}), device="cpu"
            )
        write_cells(tmp_path / "x.csv", store, suites=(), filters=(), anonymous=False, force=False)
    with (tmp_path / "x.csv").open(newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert len(set(labels)) == len(RECIPES)
    table = suite_table("mine", RECIPES, [result(cell, 90.0) for cell in RECIPES])
    assert len({row.fields[0].text for group in table.groups for row in group.rows}) == len(RECIPES)
    require_distinct(table)


def test_cells_of_two_suites_that_differ_have_labels_that_differ(
    tmp_path: Path,
) -> None:
    db = str(tmp_path / "x.sqlite")
    with Store.open(db) as store:
        for number, cell in enumerate(RECIPES):
            store.record_suite(f"suite{number}", "a.toml", [cell])
    said = asapbench("status", "--cells", "--db", db).out
    labels = [line.split("  ", 2)[-1] for line in said.splitlines() if line.startswith("  ")]
    assert len(set(labels)) == len(RECIPES)
