"""Appendix E's g1, g2 and their angles equal a float64 NumPy computation.

With backpropagation's error, delta h_l^T is the oracle's gradient under activation sharing with weight transport, and
delta h_(l+2)^T its gradient under backpropagation.
"""

from __future__ import annotations

import networks
import numpy as np
import oracle
import pytest
import torch

from asapbench.analysis.shortcut import ANGLE, ANGLE_OF_G1, LENGTHS, places, shortcut_effect, weight_changes
from asapbench.errors import AsapbenchError
from asapbench.models import build, initialise
from asapbench.rules.engine.graph import capture
from asapbench.suite.catalog import MODELS

CLASSES = 4
IDENTITY = ["stages.0.1.conv1", "stages.1.0.conv1", "stages.2.0.conv1", "stages.3.0.conv1"]
"""ResNet-18's convolutions behind a block whose shortcut is the identity."""
BOTH = [("resnet18", True), ("resnet18_nsc", False)]


def made(name: str) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    model = build(MODELS[name].choose({"width": 3}), channels=3, size=12, classes=CLASSES)
    initialise(model, 3)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=draw)
                module.bias.uniform_(-0.3, 0.3, generator=draw)
    x = torch.randn(5, 3, 12, 12, generator=draw, dtype=torch.float64)
    return model.double(), x, torch.randint(CLASSES, (5,), generator=draw)


def parts(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, *, shortcut: bool) -> dict[str, list[np.ndarray]]:
    """Backpropagation's weight change, g1 and g2 of each layer."""
    net = networks.resnet((2, 2, 2, 2), shortcut=shortcut)
    parameters = {key: value.detach().numpy() for key, value in model.named_parameters()}
    bp, shared = (
        oracle.run(net, parameters, x.numpy(), y.numpy(), oracle.Rule(rule, k=2), feedback={}).gradients
        for rule in ("bp", "as")
    )
    found = {}
    for layer in IDENTITY:
        own, g2 = bp[f"{layer}.weight"], shared[f"{layer}.weight"]
        found[layer] = [own, own - g2 if shortcut else own, g2]
    return found


def angle(one: np.ndarray, other: np.ndarray) -> float:
    cosine = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
    return float(np.degrees(np.arccos(cosine)))


@pytest.mark.parametrize(("name", "shortcut"), BOTH)
def test_the_weight_changes_are_the_oracles(name: str, shortcut: bool) -> None:
    model, x, y = made(name)
    expected = parts(model, x, y, shortcut=shortcut)
    changes = weight_changes(model, x, y)
    assert [change.layer for change in changes] == IDENTITY
    for change in changes:
        for found, wanted in zip((change.bp, change.g1, change.g2), expected[change.layer], strict=True):
            np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize(("name", "shortcut"), BOTH)
def test_rows_are_means_and_deviations_over_the_batches(name: str, shortcut: bool) -> None:
    model, x, y = made(name)
    batches = [(x, y), (x.flip(0) * 0.5, y), (x - 0.3, y.flip(0))]
    expected = [parts(model, *batch, shortcut=shortcut) for batch in batches]
    rows = {(row.layer, row.quantity): row for row in shortcut_effect(model, batches)}
    assert set(rows) == {(layer, quantity) for layer in IDENTITY for quantity in (ANGLE, ANGLE_OF_G1, *LENGTHS)}
    for layer in IDENTITY:
        samples = {quantity: [] for quantity in (ANGLE, ANGLE_OF_G1, *LENGTHS)}
        for bp, g1, g2 in (batch[layer] for batch in expected):
            samples[ANGLE].append(angle(bp, g2))
            samples[ANGLE_OF_G1].append(angle(g1, g2))
            for quantity, g in zip(LENGTHS, (g1, g2, g1 + g2), strict=True):
                samples[quantity].append(np.sqrt((g**2).sum()))
        for quantity, values in samples.items():
            row = rows[layer, quantity]
            assert row.value == pytest.approx(np.mean(values), rel=1e-7), (layer, quantity)
            assert row.spread == pytest.approx(np.std(values, ddof=1), rel=1e-5, abs=1e-9)
            assert row.n == 3


def test_only_an_identity_shortcut_counts_as_one() -> None:
    for name, shortcut in BOTH:
        model, x, _ = made(name)
        assert [place.has_shortcut for place in places(capture(model, x))] == [shortcut] * 4
    behind_projections = [f"stages.{stage}.1.conv1" for stage in (1, 2, 3)]
    assert set(behind_projections).isdisjoint(IDENTITY)


def test_weights_and_gradients_of_the_model_are_unchanged() -> None:
    model, x, y = made("resnet18")
    before = {key: value.clone() for key, value in model.named_parameters()}
    shortcut_effect(model, [(x, y)])
    assert all(torch.equal(value, before[key]) for key, value in model.named_parameters())
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize("name", ["alexnet", "mlp"])
def test_a_network_without_such_a_layer_is_refused(name: str) -> None:
    options = {key: 4 for key in ("width", "hidden") if key in {option.name for option in MODELS[name].options}}
    model = build(MODELS[name].choose(options), channels=3, size=12, classes=CLASSES)
    with pytest.raises(AsapbenchError, match="no convolution follows a block of two"):
        weight_changes(model, torch.randn(2, 3, 12, 12), torch.tensor([0, 1]))
