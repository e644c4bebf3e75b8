"""A training step of each rule, compared with one in plain PyTorch (nn modules, autograd) with the same optimizer.

python benchmarks/step.py --widths 8 16 64 --batch 128 --precision float32 bf16 --order contiguous channels_last

One table for each width, precision and memory order, whose control has the same precision and order. Before the tables
of a width, the controls alone are timed in turn, to compare precisions and orders. For ResNet-18 there is also ASAP as
public implementations write such rules (`--rules by_hand`), without bf16. Below each table is the lower bound: the
ratio of the arithmetic alone. All candidates use the optimizer of a run on a CPU, torch's fused SGD, or with
`--unfused` the usual one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from measuring import conditions, interleaved, spread, table
from plain_training import network, sgd, training_step
from torch import Tensor, nn
from written_by_hand import AsapResNet18

from asapbench.rules import attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.training.environment import arithmetic
from asapbench.training.flops import counted
from asapbench.training.optimizer import leave_compiler_out

CONTROL = "plain PyTorch"
BY_HAND = "by_hand"
ORDERS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Setting:
    """What every candidate of one table has in common."""

    model: str
    width: int
    batch: int
    precision: str
    order: str
    fused: bool

    def ordered(self, model: nn.Module) -> nn.Module:
        """`model` in this order in memory."""
        return model.to(memory_format=ORDERS[self.order])

    def examples(self) -> tuple[Tensor, Tensor]:
        """A batch in this order in memory."""
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(self.batch, 3, 32, 32, generator=draw)
        return x.contiguous(memory_format=ORDERS[self.order]), torch.randint(0, 10, (self.batch,), generator=draw)


def plain(model: nn.Module, setting: Setting) -> Callable[[], None]:
    """A step of `model` in plain PyTorch."""
    model, (x, y) = setting.ordered(model), setting.examples()

    def loss() -> Tensor:
        with arithmetic(CPU, setting.precision):
            return nn.functional.cross_entropy(model(x), y)

    return training_step(loss, sgd(model.parameters(), fused=setting.fused))


def ours(rule: str, setting: Setting) -> Callable[[], None]:
    """A step of the model under `rule`, as a run takes it."""
    x, y = setting.examples()
    learner = attach(network(setting.width, model=setting.model), rule, x)
    setting.ordered(learner)
    optimizer = sgd((parameter for _, parameter in learner.trained_parameters()), fused=setting.fused)
    learner.bind(optimizer)

    def scalar() -> Tensor:
        with arithmetic(CPU, setting.precision):
            return learner.objective(x, y).scalar

    return training_step(scalar, optimizer)


def candidate(name: str, setting: Setting) -> Callable[[], None]:
    """The step of a rule, of the control or of the rule written by hand."""
    if name == CONTROL:
        return plain(network(setting.width, model=setting.model), setting)
    return plain(AsapResNet18(setting.width).train(), setting) if name == BY_HAND else ours(name, setting)


def controls(settings: Iterable[Setting], *, rounds: int) -> str:
    """The seconds of the controls' steps, interleaved."""
    steps = {f"{each.precision} {each.order}": candidate(CONTROL, each) for each in settings}
    found = interleaved(steps, rounds=rounds)
    texts = [f"{name} {m:.3f} ({low:.3f} to {high:.3f})" for name, times in found.items()
             for m, low, high in [spread(times)]]  # fmt: skip
    return f"{CONTROL}, median s (least to most): {'; '.join(texts)}"


def arithmetic_of(steps: Mapping[str, Callable[[], None]]) -> str:
    """Each step's operations in convolutions and matrix products, divided by those of the control."""
    operations = {name: counted(step) for name, step in steps.items()}
    ratios = [f"{name} {operations[name] / operations[CONTROL]:.3f}" for name in steps if name != CONTROL]
    return f"Arithmetic of convolutions and matrix products / {CONTROL}: {', '.join(ratios)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    convolutional = [name for name, entry in MODELS.items() if entry.has_convolutions]
    parser.add_argument("--model", default="resnet18", choices=convolutional)
    parser.add_argument("--widths", "--width", type=int, nargs="+", default=[64])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bf16"])
    parser.add_argument("--order", nargs="+", default=["contiguous"], choices=list(ORDERS))
    rules = [rule for rule, entry in RULES.items() if entry.needs != "linear"]
    parser.add_argument("--rules", nargs="*", choices=[*rules, BY_HAND])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--unfused", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    leave_compiler_out()  # as a worker does; it holds for all candidates
    every = [*rules, *([BY_HAND] if given.model == "resnet18" else [])]
    names = [CONTROL, *(every if given.rules is None else given.rules)]
    kind = "SGD" if given.unfused else "fused SGD"
    print(f"{given.model}, CIFAR shape, batch {given.batch}, {kind}; {conditions(given.rounds)}")
    for width in given.widths:
        settings = [
            Setting(given.model, width, given.batch, precision, order, not given.unfused)
            for precision in given.precision
            for order in given.order
        ]
        print(f"\nwidth {width}: {controls(settings, rounds=given.rounds)}", flush=True)
        for setting in settings if len(names) > 1 else []:
            able = [name for name in names if name != BY_HAND or setting.precision == "float32"]
            steps = {name: candidate(name, setting) for name in able}
            print(f"\nwidth {width}, {setting.precision}, {setting.order}\n")
            print(table(interleaved(steps, rounds=given.rounds), control=CONTROL))
            print(f"\n{arithmetic_of(steps)}", flush=True)


if __name__ == "__main__":
    main()
