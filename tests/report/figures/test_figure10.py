"""Figure 10: stored measurements, with shortcuts first, by layer, and what is missing said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from figure_commands import BARE, report
from made_up import shipped_cell

from asapbench.analysis.shortcut import ANGLE, ANGLE_OF_G1, LENGTHS, NAME
from asapbench.errors import AsapbenchError
from asapbench.metrics import Measurement
from asapbench.report.figures.picture import SUFFIXES, picture
from asapbench.report.figures.shortcut import shortcut_effect_figure
from asapbench.store import OwnerProcess, Provenance, Store

WITH, WITHOUT = (shipped_cell("cifar10", model, "asap") for model in ("resnet18", "resnet18_nsc"))
LAYERS = ("stages.0.1.conv1", "stages.1.0.conv1")


def rows(*angles: float, n: int = 8) -> list[Measurement]:
    """Of each layer an angle, and lengths that go with its place."""
    found = []
    for place, (layer, angle) in enumerate(zip(LAYERS, angles, strict=True)):
        values = {ANGLE: angle, ANGLE_OF_G1: 90.0, **dict.fromkeys(LENGTHS, 0.1 * place + 0.01)}
        found += [Measurement(layer, quantity, value, 0.5, n) for quantity, value in values.items()]
    return found


def test_networks_with_shortcuts_are_first_with_one_row_per_layer() -> None:
    table = shortcut_effect_figure([(WITHOUT, rows(80.0, 85.0)), (WITH, rows(40.0, 45.5))]).table
    assert [group.header for group in table.groups] == ["CIFAR-10, ASAP, ResNet-18", "CIFAR-10, ASAP, ResNet-18 (nsc)"]
    texts = [[field.text for field in row.fields] for row in table.groups[0].rows]
    assert texts == [
        ["stages.0.1.conv1", "40.0", "90.0", "0.01", "0.01", "0.01"],
        ["stages.1.0.conv1", "45.5", "90.0", "0.11", "0.11", "0.11"],
    ]
    assert "trained for 200 epochs" in table.caption
    assert "8 batches" in table.caption
    assert table.notes == ()


def test_the_angles_of_a_configuration_are_averaged_over_its_seeds() -> None:
    measured = [(WITH.with_seed(seed), rows(angle, 10.0)) for seed, angle in enumerate((30.0, 40.0, 56.0))]
    table = shortcut_effect_figure(measured).table
    (number,) = [n for n in table.numbers if (n.variant, n.metric) == (LAYERS[0], ANGLE)]
    assert number.measured == pytest.approx(fmean((30, 40, 56)))
    assert number.sd == pytest.approx(stdev((30, 40, 56)))
    assert (number.n, number.unit, number.model) == (3, "degrees", "resnet18")
    assert "without shortcuts is not among these" in table.notes[0].text


def test_the_caption_has_the_range_of_epochs_and_batches() -> None:
    table = shortcut_effect_figure([(replace(WITH, epochs=1), rows(1.0, 2.0, n=1)), (WITHOUT, rows(1.0, 2.0))]).table
    assert "trained for 1 to 200 epochs" in table.caption
    assert "1 to 8 batches" in table.caption


def test_without_a_measurement_the_error_names_the_command_that_measures() -> None:
    with pytest.raises(AsapbenchError, match="name both cells to analyze shortcut"):
        shortcut_effect_figure([])


def test_the_bars_are_the_numbers() -> None:
    figure = shortcut_effect_figure([(WITH, rows(40.0, 45.0)), (WITHOUT, rows(80.0, 85.0))]).draw(BARE)
    angles, *lengths = figure.axes
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in angles.containers}
    assert heights == {"ResNet-18": [40.0, 45.0], "ResNet-18 (nsc)": [80.0, 85.0]}
    roles = [[bars.get_label() for bars in axes.containers] for axes in lengths]
    assert roles == [["g1+g2 = BP", "g1", "g2 = ASAP"], ["g1+g2", "g1 = BP", "g2 = ASAP"]]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_picture_is_drawn(suffix: str) -> None:
    assert len(picture(shortcut_effect_figure([(WITH, rows(40.0, 45.0))]), suffix)) > 5_000


def test_too_many_networks_for_a_picture_are_refused_but_have_a_table() -> None:
    made = shortcut_effect_figure([(replace(WITH, lr=n / 10), rows(1.0, 2.0)) for n in range(1, 8)])
    assert len(made.table.groups) == 7
    with pytest.raises(AsapbenchError, match="7 networks are too many"):
        made.draw(BARE)


def test_report_reads_the_database(tmp_path: Path) -> None:
    url = str(tmp_path / "results.sqlite")
    provenance = Provenance(None, None, {}, {})
    with Store.open(url) as store:
        claim = store.claim(WITH, owner=OwnerProcess.of_this_process(), provenance=provenance, device="cpu")
        store.finish(claim, "done")
        store.record_measurements(NAME, claim.attempt_id, rows(12.5, 45.0), provenance)
    assert "12.5" in report("--figure", "10", "--db", url)
    with pytest.raises(AsapbenchError, match="--metric: Figure 10"):
        report("--figure", "10", "--db", url, "--metric", "last")
