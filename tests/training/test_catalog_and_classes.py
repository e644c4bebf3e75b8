"""What the catalog declares, the training has."""

import torch

from asapbench.suite.catalog import OPTIMIZERS
from asapbench.training.optimizer import build_optimizer


def test_every_optimizer_of_the_catalog_is_built() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    for name, entry in OPTIMIZERS.items():
        built = build_optimizer(entry.choose(), [parameter], lr=0.1, device=torch.device("cpu"))
        assert type(built).__name__.lower() == name
