"""A model whose entry counts no layers is measured: the same layers as the shipped models count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from asapbench.suite.catalog import MODELS
from asapbench.suite.shapes import layers_of


@pytest.mark.parametrize("name", MODELS)
def test_measured_layers_are_those_that_are_counted(name: str) -> None:
    entry, shape = MODELS[name], {"channels": 3, "size": 16, "classes": 7}
    options = {"width": 4} if "width" in {option.name for option in entry.options} else {}
    choice = entry.choose(options)
    state = torch.get_rng_state()
    measured = tuple(layers_of(replace(entry, layers=None), choice, **shape))
    assert torch.equal(torch.get_rng_state(), state)
    counted = {layer.name: layer for layer in layers_of(entry, choice, **shape)}
    assert [layer.name for layer in measured] == list(counted)
    for layer in measured:
        assert replace(layer, shortcut=counted[layer.name].shortcut) == counted[layer.name]
