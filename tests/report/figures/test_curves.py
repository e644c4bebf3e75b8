"""Learning curves: mean and spread of comparable trainings, every epoch in the long form, and what is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from statistics import fmean, stdev

import pytest
from figure_commands import BARE, report
from made_up import result
from matplotlib.axes import Axes

from asapbench.errors import AsapbenchError
from asapbench.metrics import EpochMetrics
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.curves import learning_curves
from asapbench.report.figures.looks import look, matplotlib_line
from asapbench.report.figures.picture import Illustration, picture
from asapbench.report.quantity import Quantity
from asapbench.report.table import Number
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

QUICK = load("quickstart").cells
BP, ASAP = (next(c for c in QUICK if (c.model.name, c.rule.name) == ("resnet10", rule)) for rule in ("bp", "asap"))


def epochs(*accuracies: float) -> list[EpochMetrics]:
    return [
        EpochMetrics(n, 2.0 / n, a / 200, 3.0 / n, a / 100, None, None, 0.03, 1.0, 100.0, None)
        for n, a in enumerate(accuracies, start=1)
    ]


def trained(cell: Cell, *accuracies: float, state: str = "done", **changes: object) -> Recorded[EpochMetrics]:
    return Recorded(result(cell, accuracies[-1] if accuracies else None, state=state, **changes), epochs(*accuracies))


def curves(members: Sequence[Recorded[EpochMetrics]], quantity: Quantity = Quantity.ACCURACY) -> Illustration:
    return learning_curves(members, quantity=quantity, heading="Curves")


def numbers(
    members: Sequence[Recorded[EpochMetrics]], rule: str, quantity: Quantity = Quantity.ACCURACY
) -> list[Number]:
    return [number for number in curves(members, quantity).table.numbers if number.rule == rule]


def axes_of(members: Sequence[Recorded[EpochMetrics]]) -> Axes:
    (axes,) = curves(members).draw(BARE).axes
    return axes


def lines_of(members: Sequence[Recorded[EpochMetrics]]) -> dict[str, list[float]]:
    return {str(line.get_label()): [float(y) for y in line.get_ydata()] for line in axes_of(members).lines}


def test_the_axis_of_a_single_epoch_has_whole_numbers() -> None:
    assert all(tick == round(tick) for tick in axes_of([trained(BP, 50.0)]).get_xticks())


SEEDS = [(10.0, 30.0, 50.0), (20.0, 40.0, 90.0), (15.0, 50.0, 70.0)]
TWO_RULES = [trained(BP.with_seed(seed), *values) for seed, values in enumerate(SEEDS)] + [trained(ASAP, 9.0, 8.0, 7.0)]


def test_each_epoch_has_the_mean_and_spread_over_the_seeds() -> None:
    found = numbers(TWO_RULES, "bp")
    assert [number.variant for number in found] == ["BP, epoch 1", "BP, epoch 2", "BP, epoch 3"]
    for number, samples in zip(found, zip(*SEEDS, strict=True), strict=True):
        assert number.measured == pytest.approx(fmean(samples))
        assert number.sd == pytest.approx(stdev(samples))
        assert number.n == 3


@pytest.mark.parametrize(
    ("quantity", "first", "unit", "metric"),
    [
        (Quantity.ACCURACY, 9.0, "percent", "test accuracy"),
        (Quantity.LOSS, 3.0, "nats", "test loss"),
        (Quantity.TRAIN_ACCURACY, 4.5, "percent", "train accuracy"),
        (Quantity.TRAIN_LOSS, 2.0, "nats", "train loss"),
    ],
)
def test_every_quantity_is_the_one_of_its_name(quantity: Quantity, first: float, unit: str, metric: str) -> None:
    illustration = curves([trained(ASAP, 9.0, 8.0)], quantity)
    number = illustration.table.numbers[0]
    assert (number.measured, number.unit, number.metric) == (pytest.approx(first), unit, metric)
    (axes,) = illustration.draw(BARE).axes
    assert axes.get_ylabel() == f"{metric} in {unit}"
    assert axes.get_xlabel() == "epoch"


def test_validation_accuracy_is_that_of_the_cells_that_have_it() -> None:
    rows = [replace(row, validation_accuracy=value) for row, value in zip(epochs(9.0, 8.0), (0.5, 0.6), strict=True)]
    made = curves([Recorded(result(ASAP, 8.0), rows), trained(BP, 70.0)], Quantity.VALIDATION_ACCURACY)
    found = [(number.rule, number.measured, number.metric) for number in made.table.numbers]
    assert found == [("asap", 50.0, "validation accuracy"), ("asap", 60.0, "validation accuracy")]
    assert "Accuracy in percent on the examples held out for validation after each epoch" in made.table.caption
    with pytest.raises(
        AsapbenchError, match="validation-accuracy: none of these cells has any: train with --set valid"
    ):
        curves([trained(BP, 70.0)], Quantity.VALIDATION_ACCURACY)


def test_the_lines_are_the_numbers_and_the_legend_has_the_order_of_the_final_values() -> None:
    axes = axes_of(TWO_RULES)
    lines = lines_of(TWO_RULES)
    assert lines["BP"] == pytest.approx([15.0, 40.0, 70.0])
    assert lines["ASAP (n = 1)"] == pytest.approx([9.0, 8.0, 7.0])
    assert [text.get_text() for text in curves(TWO_RULES).draw(BARE).legends[0].get_texts()] == ["BP", "ASAP (n = 1)"]
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(70.0 + stdev([50.0, 90.0, 70.0]))


def test_only_finished_trainings_are_averaged_where_there_is_one() -> None:
    members = [trained(BP, 10.0, 20.0), trained(BP.with_seed(1), 90.0, state="interrupted")]
    members.append(trained(BP.with_seed(2), 5.0, nan, state="diverged"))
    table = curves(members).table
    assert [number.measured for number in table.numbers] == pytest.approx([10.0, 20.0])
    assert table.notes[0].text.endswith("1 interrupted, 1 diverged.")


def test_unfinished_trainings_are_drawn_up_to_the_epoch_that_all_have_reached_and_named() -> None:
    members = [trained(BP, 10.0, 20.0, 30.0, state="running"), trained(BP.with_seed(1), 20.0, 40.0, state="running")]
    assert lines_of(members) == {"BP (running)": [15.0, 30.0]}


def test_a_diverged_configuration_ends_where_its_numbers_do() -> None:
    members = [trained(BP, 10.0, 20.0), trained(ASAP, 30.0, nan, state="diverged")]
    assert [number.measured for number in numbers(members, "asap")] == [pytest.approx(30.0), None]
    assert [row.fields[-1].text for row in curves(members).table.groups[0].rows] == ["20.00", "-"]
    assert lines_of(members)["ASAP (diverged)"][0] == 30.0


def test_labels_have_the_fields_that_differ_and_the_heading_the_shared_ones() -> None:
    four = replace(ASAP, epochs=4)
    table = curves([trained(BP, 1.0), trained(ASAP, 2.0), trained(four, 3.0)]).table
    assert [row.fields[0].text for row in table.groups[0].rows] == [
        "BP, epochs 10",
        "ASAP, epochs 10",
        "ASAP, epochs 4",
    ]
    assert table.groups[0].header == "Digits, ResNet-10(width=8)"


def test_the_printed_table_has_the_first_the_last_and_some_epochs_between() -> None:
    long, short = trained(BP, *map(float, range(1, 101))), trained(ASAP, 5.0, 6.0, 7.0)
    table = curves([long, short]).table
    assert [column.title for column in table.columns] == ["Rule", "1", "3", "26", "50", "75", "100"]
    assert [field.text for field in table.groups[0].rows[1].fields[1:]] == ["5.00", "7.00", "", "", "", ""]
    assert len(table.numbers) == 103


def test_outdated_cells_and_those_without_an_epoch_have_no_curve() -> None:
    members = [trained(BP), trained(ASAP, 50.0, cell_id="0" * 64)]
    with pytest.raises(AsapbenchError, match="none of these cells has an epoch"):
        curves(members)
    assert lines_of([*members, trained(BP.with_seed(3), 4.0)]) == {"BP": [4.0]}


def test_each_model_has_a_panel_in_which_every_rule_has_its_own_look() -> None:
    plain = [cell for cell in QUICK if cell.seed == 0]
    figure = curves([trained(cell, 10.0 * place) for place, cell in enumerate(plain, start=1)]).draw(BARE)
    first, second = figure.axes
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["ResNet-10", "ResNet-10 (nsc)"]
    for axes in (first, second):
        assert {str(line.get_label()) for line in axes.lines} == {"BP", "KP", "FA", "DFA", "ASAP"}
        for line in axes.lines:
            rule = next(cell.rule for cell in plain if RULES[cell.rule.name].title == line.get_label())
            assert line.get_color() == matplotlib_line(look(rule))["color"]
    assert len(figure.legends) == 1


def test_what_all_lines_share_is_in_the_heading_alone() -> None:
    plain = [cell for cell in QUICK if cell.seed == 0]
    illustration = curves([trained(cell, 10.0) for cell in plain])
    assert "width=8" in illustration.table.caption
    assert "width" not in " ".join(text.get_text() for text in illustration.draw(BARE).legends[0].get_texts())
    assert [group.header for group in illustration.table.groups] == ["ResNet-10", "ResNet-10 (nsc)"]


def test_a_picture_has_at_most_the_lines_that_a_reader_can_distinguish_and_the_table_more() -> None:
    many = [trained(replace(BP, lr=0.001 * n), 10.0, 20.0) for n in range(1, 30)]
    assert len(curves(many).table.groups[0].rows) == 29
    with pytest.raises(AsapbenchError, match="29 lines are too many for one picture, which takes 28"):
        picture(curves(many), ".png")
    figure = curves(many[:28]).draw(BARE)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    assert axes.get_position().height * figure.get_figheight() > 3, "the legend must not squeeze the axes"
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}) == 28


def test_a_name_with_dollars_is_drawn_unchanged() -> None:
    illustration = learning_curves(TWO_RULES, quantity=Quantity.ACCURACY, heading="costs $5 and $6")
    assert picture(illustration, ".svg").startswith(b"<?xml")


@pytest.fixture
def database(tmp_path: Path) -> str:
    """Two rules on digits, two seeds of three epochs each, as a run leaves them."""
    owner, provenance = OwnerProcess.of_this_process(), Provenance(None, None, {}, {})
    url = f"sqlite:///{tmp_path}/results.sqlite"
    with Store.open(url) as store:
        store.record_suite("quickstart", "shipped", QUICK)
        for cell in (BP, BP.with_seed(1), ASAP, ASAP.with_seed(1)):
            claim = store.claim(cell, owner=owner, provenance=provenance, device="cpu")
            assert claim is not None
            store.record_epochs(claim, epochs(10.0 + cell.seed, 20.0, 30.0))
            store.finish(claim, "done")
    return url


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_suite_or_a_filter_chooses_the_cells(database: str) -> None:
    both = rows(report("--curves", "accuracy", "--suite", "quickstart", "--db", database, "--format", "csv"))
    assert [float(row["measured"]) for row in both] == pytest.approx([10.5, 20.0, 30.0] * 2)
    words = "--curves accuracy --only rule=asap --only seed=1 --format csv"
    one = rows(report(*words.split(), "--db", database))
    assert [(row["rule"], float(row["measured"])) for row in one] == [("asap", 11.0), ("asap", 20.0), ("asap", 30.0)]
    cell = rows(report("--curves", "loss", "--only", f"cell={BP.short}", "--db", database, "--format", "csv"))
    assert [float(row["measured"]) for row in cell] == pytest.approx([3.0, 1.5, 1.0])


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_curves_of_a_database_can_be_drawn(database: str, suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"curves.{suffix}"
    report("--curves", "accuracy", "--suite", "quickstart", "--db", database, "--out", str(target))
    assert target.stat().st_size > 5000


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name a suite with --suite, or cells with --only"),
        (("--only", "rule=asup"), 'did you mean "asap"'),
        (("--suite", "quickstrt"), "quickstrt"),
        (("--suite", "quickstart", "--metric", "best"), "curves show every epoch"),
        (("--suite", "quickstart", "--table", "1"), "only one of --table, --curves"),
        (("--suite", "quickstart", "--allow-deviations"), "goes with --table"),
    ],
)
def test_what_cannot_be_chosen_is_refused(words: tuple[str, ...], says: str, database: str) -> None:
    with pytest.raises(AsapbenchError, match=says):
        report("--curves", "accuracy", *words, "--db", database)


def test_an_empty_database_is_reported_instead_of_a_wrong_filter(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/results.sqlite"
    Store.open(url).close()
    with pytest.raises(AsapbenchError, match="none of these cells has an epoch"):
        report("--curves", "accuracy", "--only", "rule=bp", "--db", url)
