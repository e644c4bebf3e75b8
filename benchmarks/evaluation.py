"""Forward passes of an evaluation, by examples per pass, memory order and precision, and with BatchNorm folded.

python benchmarks/evaluation.py --models resnet18 alexnet --width 8 --rounds 5

The control passes 250 examples at once, in contiguous order, in float32. Folded: each BatchNorm is multiplied into the
convolution before it, which changes the last bits; `difference` is the largest difference of the float32 logits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import product

import torch
from measuring import conditions, interleaved, table
from plain_training import network
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from asapbench.machine.kinds import KINDS
from asapbench.training.environment import arithmetic
from asapbench.training.optimizer import leave_compiler_out

CONTROL = KINDS["cpu"].evaluated_together
ORDERS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


@torch.no_grad()
def logits(model: nn.Module, x: Tensor, together: int, precision: str) -> Tensor:
    """(N, classes) of all examples, `together` at a time."""
    with arithmetic(x.device, precision):
        return torch.cat([model(part) for part in torch.split(x, together)])


def trained(name: str, width: int, x: Tensor) -> nn.Module:
    """A model whose running statistics are those of `x`."""
    model = network(width, model=name)
    with torch.no_grad():
        model(x)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet18", "alexnet"])
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--together", type=int, nargs="+", default=[50, 125, CONTROL, 500])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    leave_compiler_out()
    for name in given.models:
        x = torch.randn(given.images, 3, 32, 32)
        model = trained(name, given.width, x[:100])
        candidates: dict[str, Callable[[], Tensor]] = {}
        for precision, (order, form), together in product(("float32", "bf16"), ORDERS.items(), given.together):
            here = trained(name, given.width, x[:100]).to(memory_format=form)
            run = partial(logits, here, x.contiguous(memory_format=form), together, precision)
            candidates[f"{precision}, {order}, {together}"] = run
            if together == CONTROL:
                run = partial(
                    logits, fuse(here).to(memory_format=form), x.contiguous(memory_format=form), together, precision
                )
                candidates[f"{precision}, {order}, {together}, folded"] = run
        difference = (logits(fuse(model), x, CONTROL, "float32") - logits(model, x, CONTROL, "float32")).abs().max()
        print(f"{name}, width {given.width}, {given.images} images; {conditions(given.rounds)}; {difference=:.1g}\n")
        control = f"float32, contiguous, {CONTROL}"
        print(table(interleaved(candidates, rounds=given.rounds), control=control), end="\n\n")


if __name__ == "__main__":
    main()
