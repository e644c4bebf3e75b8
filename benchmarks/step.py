"""A training step of each rule beside one in plain PyTorch: nn modules, autograd, torch.optim.SGD.

python benchmarks/step.py --model resnet18 --width 64 --batch 32 --rounds 9
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from measuring import interleaved, table, terms

from asapbench.models import build, initialise
from asapbench.rules import RULES, attach
from asapbench.suite.catalog import FULLY_CONNECTED, MODELS

CONTROL = "plain PyTorch"


def plain(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def ours(model: torch.nn.Module, rule: str, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    learner = attach(model, rule, x)
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=1e-3, momentum=0.9, weight_decay=5e-4)
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
    given = parser.parse_args()
    torch.set_num_threads(1)
    x, y = torch.randn(given.batch, 3, 32, 32), torch.randint(0, 10, (given.batch,))

    def fresh() -> torch.nn.Module:
        model = build(MODELS[given.model].choose({"width": given.width}), channels=3, size=32, classes=10)
        initialise(model, 0)
        return model.train()

    rules = [rule for rule in RULES if rule not in FULLY_CONNECTED]
    candidates = {CONTROL: plain(fresh(), x, y)} | {rule: ours(fresh(), rule, x, y) for rule in rules}
    print(f"{given.model}, width {given.width}, float32, CIFAR shape, batch {given.batch}; {terms(given.rounds)}\n")
    print(table(interleaved(candidates, rounds=given.rounds), control=CONTROL))


if __name__ == "__main__":
    main()
