"""Angles by epoch: Figure 6 and any cells; means over comparable seeds, layers named, what is missing said."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev

import pytest
from figure_commands import BARE, report
from made_up import result, shipped_cell

from asapbench.errors import AsapbenchError, SuiteError
from asapbench.metrics import Alignment
from asapbench.report.figures.alignment import SUITE, angle_curves, weight_alignment
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.picture import SUFFIXES, Illustration, picture
from asapbench.report.quantity import Angle
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.catalog import RULES
from asapbench.suite.load import load

QUICK = shipped_cell("quickstart", "resnet10", "asap")
DEFAULT = RULES[SUITE].choose()
NETWORKS = [cell for cell in load(SUITE).cells if cell.rule == DEFAULT and cell.seed == 0]
DEEP = next(cell for cell in NETWORKS if cell.model["depth"] == 3 and cell.model.flag("nonlinear"))


def angles(*degrees: float | None, layers: tuple[str, ...] = ("stem", "fc"), start: int = 0) -> list[Alignment]:
    """At each epoch from `start` every layer has this angle, and one more degree for each layer before it."""
    return [
        Alignment(epoch, layer, quantity, None if value is None else value + place)
        for epoch, value in enumerate(degrees, start=start)
        for quantity in ("weights", "update")
        for place, layer in enumerate(layers)
    ]


def drawn(*members: Recorded[Alignment], angle: Angle = Angle.WEIGHTS) -> Illustration:
    return angle_curves(members, angle=angle, heading="Angles")


def texts(made: Illustration) -> dict[str, list[list[str]]]:
    return {group.header: [[field.text for field in row.fields] for row in group.rows] for group in made.table.groups}


def test_a_line_is_the_mean_over_the_seeds_that_are_done() -> None:
    seeds = [(90.0, 60.0), (88.0, 50.0), (86.0, 70.0)]
    members = [Recorded(result(QUICK.with_seed(n), 50.0), angles(*values)) for n, values in enumerate(seeds)]
    under_way = Recorded(result(QUICK.with_seed(9), state="running"), angles(1.0))
    table = drawn(*members, under_way).table
    (last,) = [n for n in table.numbers if n.variant.endswith("fc, epoch 1")]
    assert last.measured == pytest.approx(fmean((61, 51, 71)))
    assert last.sd == pytest.approx(stdev((61, 51, 71)))
    assert (last.n, last.unit) == (3, "degrees")
    assert len(table.numbers) == 2 * 2


def test_only_epochs_that_all_seeds_have_are_averaged() -> None:
    early, late = Recorded(result(QUICK, 50.0), angles(90, 80, 70)), angles(60, 50, start=1)
    made = drawn(early, Recorded(result(QUICK.with_seed(1), 50.0), late))
    assert [column.title for column in made.table.columns] == ["Layer", "1", "2"]
    assert texts(made)["ASAP"][0] == ["stem", "70.0 ± 14.1", "60.0 ± 14.1"]


def test_an_angle_that_does_not_exist_is_a_dash() -> None:
    assert texts(drawn(Recorded(result(QUICK, 50.0), angles(None, 80.0))))["ASAP"][0] == ["stem", "-", "80.0"]


def test_unfinished_trainings_are_drawn_and_named() -> None:
    made = drawn(Recorded(result(QUICK, state="interrupted"), angles(90.0)))
    assert list(texts(made)) == ["ASAP (interrupted)"]


def test_cells_without_such_angles_are_left_out_or_refused() -> None:
    only_updates = [row for row in angles(10.0) if row.quantity == "update"]
    bp = Recorded(result(shipped_cell("quickstart", "resnet10", "bp"), 50.0), only_updates)
    asap = Recorded(result(QUICK, 50.0), angles(90.0))
    assert len(drawn(bp, asap).table.groups) == 1
    assert list(texts(drawn(bp, asap, angle=Angle.UPDATE))) == ["BP", "ASAP"]
    with pytest.raises(AsapbenchError, match="none of these cells has such an angle: run measures it with --alignment"):
        drawn(bp)


def test_the_lines_of_the_picture_are_the_numbers() -> None:
    made = angle_curves(
        [Recorded(result(QUICK, 50.0), angles(90.0, 70.0, 65.0))], angle=Angle.WEIGHTS, heading="Angles", lines=True
    )
    figure = made.draw(BARE)
    (axes,) = figure.axes
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines[:2]}
    assert lines == {"stem": ([0, 1, 2], [90, 70, 65]), "fc": ([0, 1, 2], [91, 71, 66])}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_many_layers_and_panels_are_drawn(suffix: str) -> None:
    layers = tuple(f"layer{n}" for n in range(20))
    members = [
        Recorded(result(replace(QUICK, lr=n / 10), 50.0), angles(90.0, 30.0, None, layers=layers)) for n in range(1, 4)
    ]
    assert len(picture(drawn(*members), suffix)) > 10_000


def test_too_many_panels_for_a_picture_are_refused_but_have_a_table() -> None:
    made = drawn(*(Recorded(result(replace(QUICK, lr=n / 10), 50.0), angles(90.0)) for n in range(1, 14)))
    assert len(made.table.groups) == 13
    with pytest.raises(AsapbenchError, match="13 configurations are too many"):
        made.draw(BARE)


def test_figure_6_names_networks_and_layers_as_the_paper_does() -> None:
    members = [
        Recorded(result(cell, 90.0), angles(90.0, 50.0, layers=layers))
        for cell, layers in (
            (NETWORKS[0], ("hidden.0", "hidden.1")),
            (DEEP, ("hidden.0", "hidden.3", "hidden.6")),
        )
    ]
    found = texts(weight_alignment(reversed(members), NETWORKS))
    assert list(found) == ["Linear network 784-10-10-10", "Nonlinear network 784-10-10-10-10"]
    assert [row[0] for row in found["Linear network 784-10-10-10"]] == ["784x10", "layer 1 (10x10)"]
    deep = [row[0] for row in found["Nonlinear network 784-10-10-10-10"]]
    assert deep == ["784x10", "layer 1 (10x10)", "layer 2 (10x10)"]


def test_figure_6_says_how_to_measure_what_is_missing() -> None:
    (cell, *_) = NETWORKS
    measured = Recorded(result(cell, 90.0), angles(90.0, 50.0, layers=("hidden.0", "hidden.1")))
    (note,) = weight_alignment([measured], NETWORKS).table.notes
    assert note.commands[0].startswith("asapbench run forward_alignment --only rule=forward_alignment")
    unmeasured = Recorded(result(cell, 90.0), [])
    with pytest.raises(AsapbenchError, match=r"asapbench rerun forward_alignment .*--alignment"):
        weight_alignment([unmeasured], NETWORKS)
    with pytest.raises(AsapbenchError, match=r"asapbench run forward_alignment .*--alignment"):
        weight_alignment([], NETWORKS)


def test_the_command_that_figure_6_names_trains_exactly_its_networks() -> None:
    from asapbench.suite.select import only

    (note,) = weight_alignment([Recorded(result(NETWORKS[0], 90.0), angles(90.0))], NETWORKS).table.notes
    words = note.commands[0].split()
    filters = [word for before, word in pairwise(words) if before == "--only"]
    assert {cell.group for cell in only(load(SUITE).cells, filters)} == {cell.group for cell in NETWORKS}


def recorded(folder: Path, *cells) -> str:
    url = str(folder / "results.sqlite")
    with Store.open(url) as store:
        for cell in cells:
            claim = store.claim(
                cell, owner=OwnerProcess.of_this_process(), provenance=Provenance(None, None, {}, {}), device="cpu"
            )
            store.record_epochs(claim, [], angles(90.0, 61.25, layers=("hidden.0", "hidden.1")))
            store.finish(claim, "done")
        store.record_suite("quickstart", "shipped", [cell for cell in cells if cell.dataset == QUICK.dataset])
    return url


def test_report_reads_the_database(tmp_path: Path) -> None:
    url = recorded(tmp_path, QUICK, NETWORKS[0], replace(NETWORKS[0], epochs=1))
    rows = list(csv.DictReader(io.StringIO(report("--figure", "6", "--db", url, "--format", "csv"))))
    assert [(row["variant"], row["measured"], row["n"]) for row in rows] == [
        ("Linear network 784-10-10-10, 784x10, epoch 0", "90.0", "1"),
        ("Linear network 784-10-10-10, 784x10, epoch 1", "61.25", "1"),
        ("Linear network 784-10-10-10, layer 1 (10x10), epoch 0", "91.0", "1"),
        ("Linear network 784-10-10-10, layer 1 (10x10), epoch 1", "62.25", "1"),
    ], "the cell with one epoch is not the suite's"
    assert "hidden.1" in report("--alignment", "weights", "--suite", "quickstart", "--db", url)
    assert "MNIST" in report("--alignment", "update", "--only", "epochs=1", "--db", url)


def test_options_that_angles_do_not_have_are_refused(tmp_path: Path) -> None:
    url = recorded(tmp_path, QUICK)
    with pytest.raises(SuiteError, match="--alignment: name a suite with --suite, or cells with --only"):
        report("--alignment", "weights", "--db", url)
    with pytest.raises(AsapbenchError, match="--metric"):
        report("--alignment", "weights", "--suite", "quickstart", "--metric", "last", "--db", url)
    with pytest.raises(AsapbenchError, match="only one of --curves, --alignment"):
        report("--alignment", "weights", "--curves", "loss", "--suite", "quickstart", "--db", url)
    with pytest.raises(AsapbenchError, match="--metric: Figure 6"):
        report("--figure", "6", "--metric", "last", "--db", url)
