"""Gradient quality by epoch: means over seeds, backpropagation's rank beside the rule's, the whole network named."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from figure_commands import BARE, report
from made_up import result, shipped_cell

from asapbench.errors import AsapbenchError, SuiteError
from asapbench.metrics import GradientQuality
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.gradient_quality import quality_curves
from asapbench.report.figures.picture import SUFFIXES, Illustration, picture
from asapbench.report.quantity import GradientMeasure
from asapbench.store import OwnerProcess, Provenance, Store

QUICK = shipped_cell("quickstart", "resnet10", "asap")
RATIO, RANK, SHARE = GradientMeasure


def qualities(*values: float | None, layers: tuple[str, ...] = ("stem", "fc")) -> list[GradientQuality]:
    """At each epoch every layer has these ratios and shares, and ranks of the place of the layer; then the network."""
    rows = []
    for epoch, value in enumerate(values):
        rows += [GradientQuality(epoch, name, value, 10.0 + n, 20.0 + n, value) for n, name in enumerate(layers)]
        rows.append(GradientQuality(epoch, "", value, None, None, value))
    return rows


def drawn(*members: Recorded[GradientQuality], measure: GradientMeasure = RATIO) -> Illustration:
    return quality_curves(members, measure=measure, heading="Quality")


def rows(made: Illustration) -> list[list[str]]:
    (group,) = made.table.groups
    return [[field.text for field in row.fields] for row in group.rows]


def test_ratios_and_shares_have_a_line_for_each_layer_and_one_for_the_whole_network() -> None:
    one, other = (Recorded(result(QUICK.with_seed(n), 50.0), qualities(2.0, 1.0 + n)) for n in range(2))
    for measure in (RATIO, SHARE):
        expected = [[name, "2 ± 0", "1.5 ± 0.707"] for name in ("stem", "fc", "whole network")]
        assert rows(drawn(one, other, measure=measure)) == expected


def test_a_rank_has_backpropagations_beside_it_and_the_whole_network_has_none() -> None:
    made = drawn(Recorded(result(QUICK, 50.0), qualities(1.0)), measure=RANK)
    assert rows(made) == [["stem", "10.0"], ["stem of BP", "20.0"], ["fc", "11.0"], ["fc of BP", "21.0"]]
    assert {number.unit for number in made.table.numbers} == {"directions"}
    figure = made.draw(BARE)
    (axes,) = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["stem", "fc"]
    assert [line.get_linestyle() for line in axes.lines] == ["-", ":", "-", ":"]
    assert axes.lines[0].get_color() == axes.lines[1].get_color() != axes.lines[2].get_color()


def test_the_lines_of_the_picture_are_the_numbers_and_levels_are_marked() -> None:
    (axes,) = drawn(Recorded(result(QUICK, 50.0), qualities(-3.0, 0.5)), measure=SHARE).draw(BARE).axes
    assert [list(line.get_ydata()) for line in axes.lines[:3]] == [[-3.0, 0.5]] * 3
    assert [line.get_ydata()[0] for line in axes.lines[3:]] == [0.0, 1.0]


def test_a_value_that_does_not_exist_is_a_dash() -> None:
    assert rows(drawn(Recorded(result(QUICK, 50.0), qualities(None, 0.25))))[0] == ["stem", "-", "0.25"]


@pytest.mark.parametrize("measure", GradientMeasure)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_many_layers_are_drawn(suffix: str, measure: GradientMeasure) -> None:
    layers = tuple(f"layer{n}" for n in range(20))
    member = Recorded(result(QUICK, 50.0), qualities(90.0, 1e-3, None, layers=layers))
    assert len(picture(drawn(member, measure=measure), suffix)) > 10_000


def test_a_measure_says_what_it_is() -> None:
    for measure in GradientMeasure:
        caption = drawn(Recorded(result(QUICK, 50.0), qualities(1.0)), measure=measure).table.caption
        assert measure.described in caption


def test_report_reads_the_database(tmp_path: Path) -> None:
    url = str(tmp_path / "results.sqlite")
    with Store.open(url) as store:
        owner, provenance = OwnerProcess.of_this_process(), Provenance(None, None, {}, {})
        claim = store.claim(QUICK, owner=owner, provenance=provenance, device="cpu")
        store.record_epochs(claim, [], qualities(0.5))
        store.finish(claim, "done")
        store.record_suite("quickstart", "shipped", [QUICK])
    printed = report("--gradient-quality", "decrease-share", "--suite", "quickstart", "--db", url, "--format", "csv")
    found = list(csv.DictReader(io.StringIO(printed)))
    assert [(row["variant"], row["measured"], row["metric"], row["unit"]) for row in found] == [
        (f"ASAP, {name}, epoch 0", "0.5", "decrease share", "ratio") for name in ("stem", "fc", "whole network")
    ]
    with pytest.raises(AsapbenchError, match="--gradient-quality: none of these cells has it: run measures it with"):
        drawn(Recorded(result(QUICK, 50.0), []))
    with pytest.raises(SuiteError, match="--gradient-quality: name a suite with --suite, or cells with --only"):
        report("--gradient-quality", "norm-ratio", "--db", url)
    with pytest.raises(AsapbenchError, match="only one of --alignment, --gradient-quality"):
        report("--alignment", "update", "--gradient-quality", "norm-ratio", "--suite", "quickstart", "--db", url)
