"""Memory of a training step of each rule, compared with the same step in plain PyTorch.

python benchmarks/memory.py --model resnet18 --width 64 --batch 128

Kept: bytes of the distinct storages that autograd keeps from forward for backward, without parameters and buffers;
under torch.compile, those that its partitioner chooses; of parts of a batch, the sum of all parts, which are not kept
together. Peak: the most bytes allocated during forward, backward and
step, above those allocated before. State: weights, feedback, momentum and buffers. The counts are exact.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from measuring import conditions
from plain_training import network, sgd, training_step
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from written_by_hand import AsapResNet18

from asapbench.models.networks.modules import BasicBlock
from asapbench.rules import attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.cell import name as named
from asapbench.suite.options import Choice, Value

CONTROL = "plain PyTorch"
MIB = 2**20


class Subject(NamedTuple):
    """`loss` runs forward; `state` holds every tensor that stays between steps, except the optimizer's."""

    loss: Callable[[], Tensor]
    optimizer: torch.optim.Optimizer
    state: list[Tensor]


def plain(model: nn.Module, x: Tensor, y: Tensor, *, compiled: bool = False) -> Subject:
    forward = torch.compile(model, backend="aot_eager_decomp_partition") if compiled else model
    state = [*model.parameters(), *model.buffers()]
    return Subject(lambda: nn.functional.cross_entropy(forward(x), y), sgd(model.parameters()), state)


def checkpointed(model: nn.Module, x: Tensor, y: Tensor) -> Subject:
    """Activation checkpointing, each residual block computed again in backward."""
    for block in [module for module in model.modules() if isinstance(module, BasicBlock)]:
        inner = block.forward
        block.forward = partial(checkpoint, inner, use_reentrant=False)  # type: ignore[method-assign]
    return plain(model, x, y)


def ours(
    model: nn.Module, rule: str | Choice, x: Tensor, y: Tensor, *, form: str = "recursion", compiled: bool = False
) -> Subject:
    learner = attach(model, rule, x)
    optimizer = sgd(parameter for _, parameter in learner.trained_parameters())
    if form == "recursion":
        learner.bind(optimizer)
    objective = (
        torch.compile(learner.objective, backend="aot_eager_decomp_partition") if compiled else learner.objective
    )
    return Subject(lambda: objective(x, y).scalar, optimizer, [*learner.parameters(), *learner.buffers()])


def kept(found: Subject) -> int:
    own = {tensor.untyped_storage().data_ptr() for tensor in found.state}
    storages: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            storages[tensor.untyped_storage().data_ptr()] = tensor  # a reference, so that no address is reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = found.loss()
    del loss
    return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())


def peak(found: Subject) -> int:
    """Bytes, from the allocator's events."""
    step = training_step(found.loss, found.optimizer)
    step()
    found.optimizer.zero_grad()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    events = sorted(
        (event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"),
        key=lambda event: event.start_ns(),
    )
    held = highest = 0
    for event in events:
        held += event.nbytes()
        highest = max(highest, held)
    return highest


def state_bytes(found: Subject) -> int:
    momentum = [t for state in found.optimizer.state.values() for t in state.values() if isinstance(t, Tensor)]
    return sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in [*found.state, *momentum]}.values()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    convolutional = [name for name, entry in MODELS.items() if entry.has_convolutions]
    parser.add_argument("--model", default="resnet18", choices=convolutional)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rules", nargs="*", metavar="NAME", help="only rows whose names begin so")
    parser.add_argument("--compiled", action="store_true", help="count what is kept under torch.compile, too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    x, y = torch.randn(given.batch, 3, 32, 32), torch.randint(0, 10, (given.batch,))

    fresh = partial(network, given.width, model=given.model)

    def by_rule(rule: str | Choice, **options: Any) -> Callable[[], Subject]:
        return lambda: ours(fresh(), rule, x, y, **options)

    makers: dict[str, Callable[[], Subject]] = {CONTROL: lambda: plain(fresh(), x, y)}
    makers |= {rule: by_rule(rule) for rule in RULES if RULES[rule].needs != "linear"}
    makers |= {f"{rule}, explicit form": by_rule(rule, form="explicit") for rule in ("kp", "asap")}
    controls: list[dict[str, Value]] = [
        {"checkpointing": True},
        {"micro_batches": 2},
        {"micro_batches": 4},
        {"checkpointing": True, "micro_batches": 4},
    ]
    for options in controls:
        choice = RULES["bp"].choose(options)
        makers[named("rule", choice)] = by_rule(choice)
    if given.model == "resnet18":
        makers["ASAP by hand"] = lambda: plain(AsapResNet18(given.width).train(), x, y)
        makers["plain, blocks checkpointed"] = lambda: checkpointed(fresh(), x, y)
    if given.compiled:
        makers[f"{CONTROL}, compiled"] = lambda: plain(fresh(), x, y, compiled=True)
        makers |= {f"{rule}, compiled": by_rule(rule, compiled=True) for rule in ("bp", "kp", "fa", "dfa", "asap")}
    rows, first = [], None
    for name, make in makers.items():
        if name != CONTROL and given.rules and not name.startswith(tuple(given.rules)):
            continue
        found = make()
        figures = [kept(found), peak(found), state_bytes(found)]
        first = first or figures
        del found
        gc.collect()
        rows.append([name, *(x for a, b in zip(figures, first, strict=True) for x in (a / MIB, a / b))])
    print(f"{given.model}, width {given.width}, CIFAR shape, batch {given.batch}; {conditions(figures='float32')}\n")
    head = ["", "kept MiB", "ratio", "peak MiB", "ratio", "state MiB", "ratio"]
    print(tabulate(rows, head, floatfmt=(".1f", ".1f", ".3f", ".1f", ".3f", ".1f", ".3f"), tablefmt="github"))


if __name__ == "__main__":
    main()
