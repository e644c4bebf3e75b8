"""The plug-in examples/deeperforward.py: its network and its rule compute what the authors' program computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from asapbench.errors import GraphError
from asapbench.models import build
from asapbench.rules import attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.load import load

SUITE = Path(__file__).parent.parent.parent / "examples" / "deeperforward.toml"
CLASSES = 5


@pytest.fixture(autouse=True)
def loaded(nothing_stays_loaded: None) -> None:
    load(str(SUITE))


def waves(rate: float, *shape: int) -> Tensor:
    return torch.sin(rate * torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64)).reshape(shape)


@pytest.fixture
def network(loaded: None) -> nn.Module:
    """Ten channels at first, with the weights 0.3 sin(rate), 0.3 sin(2 rate), ..., of another rate in each layer."""
    model = build(MODELS["deeperforward"].choose({"width": 2}), channels=3, size=16, classes=CLASSES).double()
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        for number, layer in enumerate(convolutions):
            layer.weight.copy_(0.3 * waves(0.7 + 0.1 * number, *layer.weight.shape))
    return model


IMAGES, LABELS = waves(0.37, 4, 3, 16, 16), torch.tensor([0, 3, 1, 4])


def test_logits_and_gradients_are_those_of_the_authors_program(network: nn.Module) -> None:
    """A copy of it, github.com/BasitHussain5/project_1 at b31a58b, run in float64 on this network without dropout."""
    learner = attach(network, "deeperforward", IMAGES)
    objective = learner.backward(IMAGES, LABELS)
    published = torch.tensor(
        [
            [18.573571607258, 18.655924866559, 18.901168519178, 18.686567911093, 18.714910782049],
            [18.054266146163, 17.817521320686, 18.393382589993, 17.819087175173, 18.257121848375],
            [19.167666443072, 18.755046028023, 19.155250079642, 19.01153092257, 19.192839466941],
            [16.98969514434, 16.884019329524, 17.096789795046, 16.590833075367, 17.411014930169],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(objective.logits, published, rtol=1e-12, atol=1e-11)
    gradients = [parameter.grad for _, parameter in learner.trained_parameters()]
    assert [gradient.norm().item() for gradient in gradients if gradient is not None] == pytest.approx(
        [
            *(0.165465904993, 0.345951550353, 0.206996408575, 0.402518216367, 0.151569671574, 0.313523276351),
            *(0.272988277856, 0.535784654544, 0.22123974015, 0.429390115795, 0.334684385049, 0.490641448043),
            *(0.455386861532, 0.888606997928, 0.675573230714, 0.826168767647, 0.744371542901),
        ],
        rel=1e-10,
    )


def test_no_error_leaves_a_layer(network: nn.Module) -> None:
    learner = attach(network, "deeperforward", IMAGES)
    _, losses = learner.program(IMAGES, LABELS)
    parameters = [parameter for _, parameter in learner.trained_parameters()]
    assert len(losses) == len(parameters) == 17
    for place, loss in enumerate(losses):
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        assert [gradient is not None for gradient in found] == [other == place for other in range(17)]


def test_channels_that_classes_do_not_divide_are_refused() -> None:
    model = build(MODELS["resnet10"].choose({"width": 8}), channels=3, size=16, classes=CLASSES)
    with pytest.raises(GraphError, match=r"^stem: 8 channels cannot be cut into a group for each of 5 classes"):
        attach(model, RULES["deeperforward"].choose(), torch.zeros(2, 3, 16, 16))
