"""The optimizers, torch's own. An optimizer is added here, or by a plug-in, and nowhere else. Imports no torch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asapbench.suite.entries import OptimizerEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    import torch
    from torch import nn


def _build(
    kind: str, choice: Choice, parameters: list[nn.Parameter], *, lr: float | torch.Tensor, **settings: Any
) -> torch.optim.Optimizer:
    """The class `kind` of torch.optim, whose arguments the options are."""
    import torch

    terms: dict[str, Any] = dict(choice.options)
    if "beta1" in terms:
        terms["betas"] = (terms.pop("beta1"), terms.pop("beta2"))
    made: torch.optim.Optimizer = getattr(torch.optim, kind)(parameters, lr=lr, **terms, **settings)
    return made


def _nesterov_fault(choice: Choice) -> tuple[str, str] | None:
    if choice.flag("nesterov") and (choice.number("momentum") == 0 or choice.number("dampening") != 0):
        return "nesterov", "Nesterov momentum needs momentum above 0 and dampening 0"
    return None


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
    build=partial(_build, "Adam"),
    moments=2,
    takes_fused=True,
    takes_capturable=True,
)
adamw = OptimizerEntry(
    "adamw",
    "AdamW",
    "Loshchilov and Hutter 2019",
    options=(*_OPTIONS, Option("weight_decay", 0.01, "decoupled weight decay", minimum=0)),
    build=partial(_build, "AdamW"),
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
    build=partial(_build, "SGD"),
    takes_fused=True,
    fault=_nesterov_fault,
)
