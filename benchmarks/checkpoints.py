"""How long a checkpoint blocks the training thread if that thread writes it, or if the writer's thread does.

python benchmarks/checkpoints.py --rounds 11

The state of a ResNet-18 with SGD's momentum, on the CPU, one thread, wall time. The first snapshot allocates the
buffers that the others reuse; the medians leave it out.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from measuring import conditions, in_turn, seconds, spread
from plain_training import network, sgd
from tabulate import tabulate

from asapbench.training import checkpoint
from asapbench.training.writer import Writer


def state(width: int) -> dict[str, Any]:
    """The content of a checkpoint of a ResNet-18, without small values."""
    model = network(width)
    optimizer = sgd(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="Where files are written. [default: a temporary folder]")
    given = parser.parse_args()
    torch.set_num_threads(1)
    content = state(given.width)
    with tempfile.TemporaryDirectory(dir=given.folder) as name, closing(Writer(torch.device("cpu"))) as writer:
        alone, beside = Path(name) / "alone", Path(name) / "beside"
        numbers = count(1)

        def snapshot() -> float:
            make_durable = partial(checkpoint.write, directory=beside, number=next(numbers))
            return seconds(partial(writer.write, content, make_durable))

        def durable() -> float:
            writer.wait()
            return writer.seconds

        written = partial(checkpoint.write, content, alone)
        candidates = {
            "training thread": lambda: seconds(lambda: written(number=next(numbers))),
            "snapshot": snapshot,
            "snapshot until durable": durable,
        }
        found = in_turn(candidates, rounds=given.rounds + 1, warm_up=0)
        size = max(checkpoint.files(beside)).stat().st_size
    print(f"{size / 1e6:.0f} MB; {conditions(given.rounds, figures='wall time')}\n")
    rows = [[name, times[0] * 1e3, *(1e3 * value for value in spread(times[1:]))] for name, times in found.items()]
    print(tabulate(rows, ["", "first ms", "median ms", "min", "max"], floatfmt=".0f", tablefmt="github"))


if __name__ == "__main__":
    main()
