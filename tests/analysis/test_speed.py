"""The floors that speed is set beside, against arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asapbench.analysis.speed import PEAKS, Loop, Peak, Round, Speed, peak_of, step_bytes
from asapbench.analysis.speed.timed_loop import TimedLoop
from asapbench.data.images import random_images
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, parse
from asapbench.suite.shapes import layer_shapes
from asapbench.training.settings import TrainingSettings

SUITE = """
[suite]
name = "small"
[[grid]]
dataset = "digits"
model = { name = "mlp", hidden = 20 }
rule = ["bp", "dfa"]
lr = 0.1
batch_size = 32
"""
BP, DFA = parse(SUITE, source="small.toml").cells
FORWARD = 64 * 20 + 20 * 20 + 20 * 10
"""Multiply-adds of 64-20-20-10."""


def operations(cell: Cell, tmp_path: Path) -> float:
    return TimedLoop(
        cell, random_images(cell.dataset), settings=TrainingSettings(device="cpu"), directory=tmp_path
    ).flops()


def test_backpropagation_takes_forward_error_and_weight_gradients_but_no_error_of_the_first_layer(tmp_path) -> None:
    assert operations(BP, tmp_path) == 2 * (FORWARD + FORWARD + 20 * 20 + 20 * 10)


def test_direct_feedback_projects_the_output_error_instead_of_passing_errors_down(tmp_path) -> None:
    """Two projections of 10 errors to 20 units, once or forth and back; no layer's transpose."""
    projections = operations(DFA, tmp_path) / 2 - FORWARD - FORWARD
    assert projections in (2 * 10 * 20, 2 * 2 * 10 * 20)


def test_operations_of_a_residual_network_are_those_of_its_shapes(tmp_path) -> None:
    cell = next(cell for cell in load("quickstart").cells if cell.rule.name == "bp")
    layers = layer_shapes(cell.model, channels=1, size=8, classes=10)
    forward = sum(layer.multiplications for layer in layers)
    assert operations(cell, tmp_path) == 2 * (3 * forward - layers[0].multiplications)


def test_bytes_of_a_step_by_hand() -> None:
    """Outputs 20, 20 and 10 of 32 examples, 5 times; weights, biases, scales and shifts, 8 times."""
    outputs, parameters = 32 * (20 + 20 + 10), FORWARD + 3 * (20 + 20 + 10)
    assert step_bytes(BP, precision="float32") == 4 * 5 * outputs + 4 * 8 * parameters
    assert step_bytes(BP, precision="bf16") == 2 * 5 * outputs + 4 * 8 * parameters


def test_a_machine_that_does_nothing_else_is_at_its_floors() -> None:
    peak = Peak({"float32": 1e12}, 1e10)
    arithmetic = Speed(BP, "x", "cpu", loops={"own": Loop((Round(1e12 / 500),), operations=500)})
    assert arithmetic.share_of_arithmetic("own", peak) == pytest.approx(1)
    steps = 1e10 / step_bytes(BP, precision="float32")
    bandwidth = Speed(BP, "x", "cpu", loops={"own": Loop((Round(steps * 32),))})
    assert bandwidth.share_of_bandwidth("own", peak) == pytest.approx(1)
    assert bandwidth.share_of_arithmetic("own", peak) is None
    assert bandwidth.share_of_bandwidth("own", Peak()) is None


def test_an_epoch_takes_its_examples_over_the_median_rate() -> None:
    speed = Speed(BP, "x", "cpu", loops={"own": Loop(tuple(Round(rate) for rate in (500.0, 719.0, 10_000.0)))})
    assert speed.loops["own"].rate == 719
    assert speed.epoch_seconds("own") == 2  # of 1,438 examples


def test_ratios_to_the_eager_loop_are_taken_round_by_round() -> None:
    own, eager = (Round(30.0), Round(10.0), Round(8.0)), (Round(10.0), Round(5.0))
    speed = Speed(BP, "x", "cpu", loops={"own": Loop(own), "eager": Loop(eager)})
    assert speed.against_eager("own") == [3.0, 2.0]
    assert speed.against_eager("eager") == [1.0, 1.0]
    assert Speed(BP, "x", "cpu", loops={"own": Loop(own)}).against_eager("own") == []


def test_each_loop_is_held_to_the_peak_of_its_own_precision() -> None:
    cell = replace(BP, precision="bf16")
    loops = {"own": Loop((Round(989e12),), operations=1), "eager": Loop((Round(495e12),), operations=1)}
    h100 = peak_of("NVIDIA H100 80GB HBM3")
    speed = Speed(cell, "NVIDIA H100 80GB HBM3", "cuda", loops=loops)
    assert speed.share_of_arithmetic("own", h100) == speed.share_of_arithmetic("eager", h100) == 1


def test_peaks_given_stand_for_those_known() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3").bandwidth == 3.35e12
    given = peak_of("NVIDIA H100 80GB HBM3", teraflops=2)
    assert given.operations == {"float32": 2e12, "tf32": 2e12, "bf16": 2e12}
    assert given.bandwidth == 3.35e12
    assert peak_of("some CPU", gigabytes=20) == Peak(bandwidth=2e10)
    assert peak_of("some CPU") == Peak()


def test_peaks_rise_as_precision_falls() -> None:
    for peak in PEAKS.values():
        values = [peak.operations[precision] for precision in ("float32", "tf32", "bf16")]
        assert values == sorted(values)
