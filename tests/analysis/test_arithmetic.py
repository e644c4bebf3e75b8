"""Multiply-adds of a step under each rule, against counts by hand from the layer shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asapbench.analysis.arithmetic import step_multiplications
from asapbench.suite.catalog import DATASETS, MODELS, RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.suite.options import Value
from asapbench.suite.shapes import layers_for


def cell(rule: str, **options: Value) -> Cell:
    model = MODELS["mlp"].choose({"hidden": 8})
    return replace(load("quickstart").cells[0], model=model, rule=RULES[rule].choose(options))


LAYERS = [64 * 8, 8 * 8, 8 * 10]
"""784-10-10-10 of A.2 for digits of 8x8 and 8 units: multiply-adds of one example."""


@pytest.mark.parametrize(
    ("rule", "options", "by_example"),
    [
        ("bp", {}, 3 * sum(LAYERS) - LAYERS[0]),
        ("bp", {"micro_batches": 4}, 3 * sum(LAYERS) - LAYERS[0]),
        ("bp", {"checkpointing": True}, 3 * sum(LAYERS) - LAYERS[0] + LAYERS[0] + LAYERS[1]),  # both hidden ones again
        ("dfa", {}, 3 * sum(LAYERS) - LAYERS[0] - LAYERS[1] - LAYERS[2] + 2 * 8 * 10),  # projected to both taps
        ("pepita", {}, None),
    ],
)
def test_a_step_is_counted_as_by_hand(rule: str, options: dict[str, Value], by_example: int | None) -> None:
    found = step_multiplications(cell(rule, **options))
    if by_example is None:
        assert found > 0  # two forward passes, whose autocast the meta device lacks
    else:
        assert found == 32 * by_example


def test_the_layers_counted_by_hand_are_those_of_the_model() -> None:
    shapes = layers_for(MODELS["mlp"].choose({"hidden": 8}), DATASETS["digits"].choose())
    assert [shape.multiplications for shape in shapes] == LAYERS
