"""Measured speeds as a table: floors, ratios, and what is missing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from asapbench.analysis.speed import Benched, Loop, Round, Speed, step_bytes
from asapbench.report.render import Format, render
from asapbench.report.speed import speed_table
from asapbench.suite.load import load

CELL = next(cell for cell in load("cifar10").cells if cell.model.name == "resnet18")
H100 = "NVIDIA H100 80GB HBM3"


def loop(*rates: float, **changes: object) -> Loop:
    return replace(Loop(tuple(Round(rate, 3 * 2**20) for rate in rates), operations=3e9), **changes)


def found(*speeds: Speed, **changes: object) -> Benched:
    return replace(Benched(speeds, rounds=3, threads=1, images="random images", torch="2.14"), **changes)


SPEED = Speed(
    CELL,
    H100,
    "cuda",
    slots=2,
    loops={"own": loop(9_000, 10_000, 20_000), "together": loop(12_000), "eager": loop(2_000, 5_000, 5_000)},
)


def rows(table) -> dict[str, list[str]]:
    return {
        row.fields[0].text: [field.text for field in row.fields[1:]] for group in table.groups for row in group.rows
    }


def test_a_row_has_the_median_the_extremes_the_ratio_and_the_floors() -> None:
    bandwidth = 10_000 / 128 * step_bytes(CELL, precision="float32") / 3.35e12
    assert rows(speed_table(found(SPEED)))["BP"] == [
        "5",
        "10,000",
        "9,000",
        "20,000",
        "4.00",
        f"{100 * 10_000 * 3e9 / 67e12:.1f} %",
        f"{100 * bandwidth:.1f} %",
        "3",
    ]


def test_the_summary_is_the_time_of_all_epochs_of_the_cells_that_were_measured() -> None:
    nothing = replace(SPEED, loops=dict.fromkeys(SPEED.loops, Loop()))
    hours = CELL.epochs * 50_000 / 10_000 / 3600
    assert speed_table(found(SPEED, SPEED, nothing)).summary.startswith(f"All epochs of 2 cells: {2 * hours:.2f} h")
    assert speed_table(found(nothing)).summary == ""


def test_several_at_once_and_the_eager_loop_have_rows_of_their_own() -> None:
    table = rows(speed_table(found(SPEED)))
    assert list(table) == ["BP", "2 at once", "eager loop"]
    assert table["eager loop"][4] == "1.00"
    assert table["2 at once"][1] == "12,000"


def test_what_is_not_known_is_a_dash_with_its_fix() -> None:
    alone = replace(SPEED, device="Some CPU", kind="cpu", slots=1, loops={"own": Loop((Round(5.0),))})
    table = speed_table(found(alone))
    assert rows(table)["BP"] == ["10,000", "5", "5", "5", "-", "-", "-", "-"]
    assert any("Some CPU" in note.text and "--peak-tflops" in note.text for note in table.notes)
    assert not any("eager" in note.text for note in table.notes)
    given = speed_table(found(alone), gigabytes=1)
    assert rows(given)["BP"][5:7] == ["-", f"{100 * 5 / 128 * step_bytes(CELL, precision='float32') / 1e9:.1f} %"]


def test_a_loop_that_failed_says_why() -> None:
    failed = replace(SPEED, loops=SPEED.loops | {"together": Loop(error="out of memory")})
    table = speed_table(found(failed))
    assert [note.text for note in table.notes if note.mark] == ["ended: out of memory"]
    assert rows(table)["2 at once"] == ["-"] * 8


def test_the_heading_tells_what_a_rate_depends_on() -> None:
    (group,) = speed_table(found(SPEED, replace(SPEED, cell=replace(CELL, seed=1)))).groups
    assert group.header == "CIFAR-10, ResNet-18, batch 128, float32, SGD"
    bf16 = replace(SPEED, cell=replace(CELL, precision="bf16"))
    assert len(speed_table(found(SPEED, bf16)).groups) == 2


def test_the_long_form_is_unrounded() -> None:
    numbers = {n.variant: n for n in speed_table(found(SPEED)).numbers}
    rate = numbers["batch 128, float32, samples a second"]
    assert (rate.measured, rate.n, rate.rule, rate.model) == (10_000, 3, "bp", "resnet18")
    assert rate.sd == pytest.approx(6082.76, abs=0.01)
    assert numbers["batch 128, float32, seconds an epoch"].measured == 5
    assert numbers["eager loop, batch 128, float32, times the eager loop"].measured == 1
    assert numbers["2 at once, batch 128, float32, bytes at the peak"].measured == 3 * 2**20


@pytest.mark.parametrize("form", list(Format))
def test_every_renderer_takes_it(form: Format) -> None:
    nothing = replace(SPEED, device="", loops=dict.fromkeys(SPEED.loops, Loop()))
    text = render(speed_table(found(SPEED, nothing, stopped=True)), form, width=50)
    assert "10,000" in text or "10000" in text
    if form is Format.JSON:
        assert len(json.loads(text)["numbers"]) == 36
    if form is Format.TERMINAL:
        assert max(map(len, text.splitlines())) <= 50
