"""The optimizers, torch's own. An optimizer is added here, or by a plug-in, and nowhere else. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asapbench.suite.entries import OptimizerEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    import torch
    from torch import nn


def _sgd(
    choice: Choice, parameters: list[nn.Parameter], *, lr: float | torch.Tensor, **settings: Any
) -> torch.optim.Optimizer:
    import torch

    return torch.optim.SGD(
        parameters,
        lr=lr,
        momentum=choice.number("momentum"),
        weight_decay=choice.number("weight_decay"),
        nesterov=choice.flag("nesterov"),
        dampening=choice.number("dampening"),
        **settings,
    )


def _nesterov_fault(choice: Choice) -> tuple[str, str] | None:
    if choice.flag("nesterov") and (choice.number("momentum") == 0 or choice.number("dampening") != 0):
        return "nesterov", "Nesterov momentum needs momentum above 0 and dampening 0"
    return None


def _adam(
    choice: Choice, parameters: list[nn.Parameter], *, lr: float | torch.Tensor, **settings: Any
) -> torch.optim.Optimizer:
    import torch

    return torch.optim.Adam(parameters, lr=lr, **_terms(choice), **settings)


def _adamw(
    choice: Choice, parameters: list[nn.Parameter], *, lr: float | torch.Tensor, **settings: Any
) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(parameters, lr=lr, **_terms(choice), **settings)


def _terms(choice: Choice) -> dict[str, Any]:
    betas = (choice.number("beta1"), choice.number("beta2"))
    return {"betas": betas, "eps": choice.number("eps"), "weight_decay": choice.number("weight_decay")}


_OPTIONS = (
    Option("beta1", 0.9, "decay of the first moment", minimum=0, below=1),
    Option("beta2", 0.999, "decay of the second moment", minimum=0, below=1),
    Option("eps", 1e-8, "added to the denominator", minimum=0),
)

adam = OptimizerEntry(
    "adam",
    "Adam",
    "Kingma and Ba 2015",
    options=(*_OPTIONS, Option("weight_decay", 0.0, "coupled weight decay", minimum=0)),
    build=_adam,
    moments=2,
    takes_fused=True,
    takes_capturable=True,
)
adamw = OptimizerEntry(
    "adamw",
    "AdamW",
    "Loshchilov and Hutter 2019",
    options=(*_OPTIONS, Option("weight_decay", 0.01, "decoupled weight decay", minimum=0)),
    build=_adamw,
    moments=2,
    takes_fused=True,
    takes_capturable=True,
)
sgd = OptimizerEntry(
    "sgd",
    "SGD",
    "torch.optim.SGD, weight decay coupled",
    options=(
        Option("momentum", 0.9, "momentum", minimum=0),
        Option("weight_decay", 5e-4, "coupled weight decay on every trained parameter", minimum=0),
        Option("nesterov", False, "Nesterov momentum"),
        Option("dampening", 0.0, "dampening of the momentum", minimum=0),
    ),
    build=_sgd,
    takes_fused=True,
    fault=_nesterov_fault,
)
