"""The optimizer of a cell and its learning rate at each epoch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable

import torch
from torch import nn

from asapbench.errors import SuiteError
from asapbench.suite.catalog import OPTIMIZERS, SCHEDULES
from asapbench.suite.cell import Cell
from asapbench.suite.entries import Epoch
from asapbench.suite.options import Choice


def build_optimizer(
    choice: Choice, parameters: Iterable[nn.Parameter], *, lr: float, device: torch.device, plain: bool = False
) -> torch.optim.Optimizer:
    """The chosen optimizer over `parameters`, fused where the device has a fused one; `plain`: as torch makes it.

    One call for all of them: on a CPU that is a fifth of a small network's step. On a GPU its rate is a float32 tensor
    there, which a CUDA graph reads at each replay.
    """
    held = list(parameters)
    entry = OPTIMIZERS[choice.name]
    on_device = entry.takes_fused and rate_on_device(device) and not plain
    rate = torch.tensor(lr, dtype=torch.float32, device=device) if on_device else lr
    settings: dict[str, bool | None] = {}
    if entry.takes_fused:
        settings["fused"] = True if device.type in ("cpu", "cuda") and not plain else None
    if entry.takes_capturable:
        settings["capturable"] = on_device
    return entry.build(choice, held, lr=rate, **settings)


def rate_on_device(device: torch.device) -> bool:
    """Whether optimizers on `device` read their learning rate from its memory."""
    return device.type == "cuda"


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of every parameter, in place if it is on the device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def leave_compiler_out() -> None:
    """From now on this process makes, steps, saves and loads optimizers without importing torch's compiler.

    torch keeps those methods out of traced functions, and imports the tracer to do so: a third of a worker's start.
    For a process of our own, once, before it makes an optimizer: nothing in it traces one.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        setattr(torch.optim.Optimizer, name, inspect.unwrap(getattr(torch.optim.Optimizer, name)))
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        kind.step = torch.no_grad()(inspect.unwrap(kind.step))  # type: ignore[method-assign]


def forget_gradients(optimizer: torch.optim.Optimizer) -> None:
    """What `zero_grad` does, without its record for profilers: 2 % of a small network's step."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def learning_rate(cell: Cell, epoch: int) -> float:
    """The learning rate of an epoch, counted from 1: `cell.lr` times the factor of the cell's schedule.

    The n epochs of warm-up before it ramp up linearly: epoch i has the rate `cell.lr` i / (n + 1). Raises SuiteError
    for a factor that is negative or not finite.

    >>> from asapbench.suite.load import load
    >>> cell = load("cifar10").cells[0]
    >>> cell.lr, cell.epochs, [learning_rate(cell, epoch) for epoch in (1, 101)]
    (0.03, 200, [0.03, 0.015])
    """
    if epoch <= cell.warmup:
        return cell.lr * (epoch / (cell.warmup + 1))
    factor = SCHEDULES[cell.schedule.name].factor(cell.schedule, Epoch(epoch, cell.epochs, cell.warmup))
    if not 0 <= factor < math.inf:
        raise SuiteError(f"the schedule {cell.schedule.name} has the factor {factor} in epoch {epoch}: correct it")
    return cell.lr * factor
