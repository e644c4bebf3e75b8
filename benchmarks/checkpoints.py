"""How long a checkpoint blocks the training thread: written there, or by the writer's thread.

python benchmarks/checkpoints.py --rounds 11

The state of a ResNet-18 with SGD's momentum, on the CPU, one thread, wall time. The first snapshot makes the buffers
that the others use again; it is not in the medians.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import spread
from tabulate import tabulate

from asapbench.models import build
from asapbench.suite.catalog import MODELS
from asapbench.training import checkpoint
from asapbench.training.writer import Writer


def state(width: int) -> dict[str, Any]:
    """The content of a checkpoint of a ResNet-18, without small values."""
    model = build(MODELS["resnet18"].choose({"width": width}), channels=3, size=32, classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def seconds(action: Callable[[], object]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="Where files are written. [default: a temporary folder]")
    given = parser.parse_args()
    torch.set_num_threads(1)
    content = state(given.width)
    found: dict[str, list[float]] = {"written there": [], "snapshot": [], "snapshot until durable": []}
    with tempfile.TemporaryDirectory(dir=given.folder) as name, closing(Writer(torch.device("cpu"))) as writer:
        alone, beside = Path(name) / "alone", Path(name) / "beside"
        for number in range(1, given.rounds + 2):
            found["written there"].append(seconds(partial(checkpoint.write, content, alone, number=number)))
            make_durable = partial(checkpoint.write, directory=beside, number=number)
            found["snapshot"].append(seconds(partial(writer.write, content, make_durable)))
            writer.wait()
            found["snapshot until durable"].append(writer.seconds)
        size = max(checkpoint.files(beside)).stat().st_size
    print(f"{size / 1e6:.0f} MB; torch {torch.__version__}, 1 thread, wall time, n = {given.rounds}")
    rows = [[name, times[0] * 1e3, *(1e3 * value for value in spread(times[1:]))] for name, times in found.items()]
    print(tabulate(rows, ["", "first ms", "median ms", "min", "max"], floatfmt=".0f", tablefmt="github"))


if __name__ == "__main__":
    main()
