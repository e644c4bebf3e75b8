"""A training step of each rule beside one in plain PyTorch (nn modules, autograd) with the same optimizer.

python benchmarks/step.py --model resnet18 --width 64 --batch 32 --rounds 9

For ResNet-18 also beside ASAP as public implementations write such rules (written_by_hand.py). The optimizer is what a
run takes on a CPU: torch's fused SGD; `--unfused` gives everybody the usual one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

import torch
from measuring import interleaved, table, terms
from written_by_hand import AsapResNet18

from asapbench.models import build, initialise
from asapbench.rules import RULES, attach
from asapbench.suite.catalog import FULLY_CONNECTED, MODELS
from asapbench.training.optimizer import leave_compiler_out

CONTROL = "plain PyTorch"


def sgd(parameters: Iterable[torch.nn.Parameter], *, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=fused)


def plain(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, *, fused: bool) -> Callable[[], None]:
    optimizer = sgd([parameter for parameter in model.parameters() if parameter.requires_grad], fused=fused)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(model(x), y))
        optimizer.step()

    return step


def ours(model: torch.nn.Module, rule: str, x: torch.Tensor, y: torch.Tensor, *, fused: bool) -> Callable[[], None]:
    learner = attach(model, rule, x)
    optimizer = sgd([parameter for _, parameter in learner.trained_parameters()], fused=fused)
    learner.bind(optimizer)

    def step() -> None:
        optimizer.zero_grad()
        learner.backward(x, y)
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18", choices=[name for name in MODELS if name != "mlp"])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--unfused", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    leave_compiler_out()  # as a worker does; for everybody
    x, y = torch.randn(given.batch, 3, 32, 32), torch.randint(0, 10, (given.batch,))

    def fresh() -> torch.nn.Module:
        model = build(MODELS[given.model].choose({"width": given.width}), channels=3, size=32, classes=10)
        initialise(model, 0)
        return model.train()

    rules = [rule for rule in RULES if rule not in FULLY_CONNECTED]
    fused = not given.unfused
    candidates = {CONTROL: plain(fresh(), x, y, fused=fused)}
    candidates |= {rule: ours(fresh(), rule, x, y, fused=fused) for rule in rules}
    if given.model == "resnet18":
        candidates["ASAP by hand"] = plain(AsapResNet18(given.width).train(), x, y, fused=fused)
    print(
        f"{given.model}, width {given.width}, float32, CIFAR shape, batch {given.batch}, "
        f"{'fused SGD' if fused else 'SGD'}; {terms(given.rounds)}\n"
    )
    print(table(interleaved(candidates, rounds=given.rounds), control=CONTROL))


if __name__ == "__main__":
    main()
