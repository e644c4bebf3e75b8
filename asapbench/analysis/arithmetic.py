"""Multiply-adds of one training step of a cell under its own rule, counted on the rule's program. Nothing is computed.

torch counts the convolutions and matrix products of `Learner.backward` on the meta device, whose tensors have shapes
and no numbers: forward pass, error, weight gradients, and what the rule does besides, such as projections, heads,
segments that are computed again, or steps between the steps. So they hold for any rule, option and plug-in.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from asapbench.models import build
from asapbench.rules import attach
from asapbench.suite.catalog import dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.options import Choice
from asapbench.training.flops import counted
from asapbench.training.optimizer import build_optimizer


def step_multiplications(cell: Cell) -> int:
    """Multiply-adds of a step on a full batch, without the optimizer's."""
    return _counted(cell.dataset, cell.model, cell.rule, cell.optimizer, cell.batch_size)


@lru_cache(maxsize=1_000)
def _counted(dataset: Choice, model: Choice, rule: Choice, optimizer: Choice, batch_size: int) -> int:
    shape = dataset_shape(dataset)
    network = build(model, channels=shape.channels, size=shape.size, classes=shape.classes)
    learner = attach(network, rule, torch.zeros(2, shape.channels, shape.size, shape.size))
    parameters = [parameter for _, parameter in learner.trained_parameters()]
    if dict(rule.options).get("form") == "recursion":
        learner.bind(build_optimizer(optimizer, parameters, lr=0.1, device=torch.device("cpu")))
    learner.to("meta").train()
    x = torch.empty(batch_size, shape.channels, shape.size, shape.size, device="meta")
    y = torch.empty(batch_size, dtype=torch.int64, device="meta")
    return counted(lambda: learner.backward(x, y)) // 2
