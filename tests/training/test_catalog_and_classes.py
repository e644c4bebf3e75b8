"""What the catalog declares, the training has."""

import torch

from asapbench.suite.catalog import OPTIMIZERS, SCHEDULES
from asapbench.training.optimizer import build_optimizer, learning_rate


def test_every_optimizer_and_schedule_of_the_catalog_is_built() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    for name, entry in OPTIMIZERS.items():
        built = build_optimizer(entry.choose(), [parameter], lr=0.1, device=torch.device("cpu"))
        assert type(built).__name__.lower() == name
    for name in SCHEDULES:
        assert learning_rate(name, initial=0.25, epoch=1, epochs=10) == 0.25
