"""Divisive normalisation is that of its authors' program, and a unit's loss sees what comes before it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asapbench.errors import SuiteError
from asapbench.models import build, initialise
from asapbench.models.networks.modules import DivisiveNormalisation
from asapbench.rules.engine.graph import capture
from asapbench.rules.engine.units import units_of
from asapbench.suite.catalog import MODELS
from asapbench.suite.shapes import layer_shapes


def waves(*shape: int, rate: float) -> Tensor:
    return torch.sin(rate * torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64)).reshape(shape)


OUTPUTS = {
    "maps": torch.relu(waves(6, 8, 4, 4, rate=0.7)) * (1 + waves(6, 8, 1, 1, rate=1.3)),
    "features": 3 * waves(6, 48, rate=0.9) ** 3,
}


@pytest.mark.parametrize(
    ("name", "along", "length", "gradient"),
    [
        ("maps", 3.3267325844096165, 15.470153199563914, 27.800251226425868),
        ("features", 3.1194866472187974, 22.651654858454236, 5.207799615490011),
    ],
)
def test_outputs_and_gradients_are_those_of_the_published_program(
    name: str, along: float, length: float, gradient: float
) -> None:
    """Computed once by its DivisiveNorm(0.2, 8, 1.0) (romanpogodin/plausible-kernelized-bottleneck, 8f075d0)."""
    x = OUTPUTS[name].clone().requires_grad_()
    probe = torch.cos(0.37 * torch.arange(1, 1 + x.numel(), dtype=torch.float64)).reshape(x.shape)
    found = DivisiveNormalisation(8)(x)
    assert (found * probe).sum().item() == pytest.approx(along, rel=1e-12)
    assert found.norm().item() == pytest.approx(length, rel=1e-12)
    (back,) = torch.autograd.grad((found * probe).sum(), x)
    assert back.norm().item() == pytest.approx(gradient, rel=1e-12)


def test_memory_order_and_bf16_change_rounding_alone() -> None:
    x = OUTPUTS["maps"].float()
    expected = DivisiveNormalisation(8)(x)
    torch.testing.assert_close(DivisiveNormalisation(8)(x.contiguous(memory_format=torch.channels_last)), expected)
    half = DivisiveNormalisation(8)(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.02, atol=0.02)


def model_of(**options: int) -> nn.Module:
    choice = MODELS["vgg_like"].choose({"width": 4, "hidden": 12, **options})
    model = build(choice, channels=3, size=16, classes=10)
    initialise(model, 1)
    return model


def test_every_hidden_layer_of_the_vgg_like_network_is_normalised_behind_the_end_of_its_unit() -> None:
    model = model_of(divisive_groups=4)
    assert sum(isinstance(module, DivisiveNormalisation) for module in model.modules()) == 7
    flow = capture(model, torch.zeros(2, 3, 16, 16))
    for kind, count in (("conv", 7), ("block", 7)):
        units = units_of(kind, model, flow)
        assert len(units) == count
        for unit in units:
            module = flow.program.get_submodule(str(unit.end.target))
            assert isinstance(module, nn.MaxPool2d | nn.LeakyReLU)
            (behind,) = unit.end.users
            assert isinstance(flow.program.get_submodule(str(behind.target)), DivisiveNormalisation)


def test_the_layers_are_called_as_in_the_module() -> None:
    choice = MODELS["vgg_like"].choose({"width": 4, "hidden": 12, "divisive_groups": 4})
    found = [layer.name for layer in layer_shapes(choice, channels=3, size=16, classes=10)]
    weighted = (nn.Conv2d, nn.Linear)
    assert found == [n for n, m in model_of(divisive_groups=4).named_modules() if isinstance(m, weighted)]


def test_groups_that_do_not_divide_a_layer_are_one_error() -> None:
    with pytest.raises(SuiteError, match=r"^divisive_groups 8 does not divide the 12 outputs of hidden\.0: choose"):
        model_of(divisive_groups=8)
    choice = MODELS["vgg_like"].choose({"width": 4, "hidden": 12, "divisive_groups": 8})
    with pytest.raises(SuiteError, match="divisive_groups 8"):
        layer_shapes(choice, channels=3, size=16, classes=10)
