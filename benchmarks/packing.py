"""Slots of one thread beside one slot of all cores' threads: samples a second of all slots together.

python benchmarks/packing.py --widths 8 64 --precisions float32 bf16 --rules bp asap --rounds 5

The trainer's own steps of ResNet-18 on CIFAR-10's shape, batch 128, without evaluation and checkpoints, as `asapbench
bench` measures them: wall time, so let nothing else run beside it. The two arrangements take turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from itertools import product

import torch
from tabulate import tabulate

from asapbench.analysis.speed import LoopName
from asapbench.analysis.speed.bench import Bench, bench, chosen
from asapbench.suite.cell import Cell
from asapbench.training.settings import TrainingSettings


def rate(cell: Cell, *, slots: int, threads: int, seconds: float) -> float:
    """Samples a second of one measurement, over all slots."""
    wanted = Bench(
        training=TrainingSettings(device="cpu", threads=threads), slots=slots, rounds=1, seconds=seconds, eager=False
    )
    (speed,) = bench([cell], wanted, say=lambda _: None).speeds
    name: LoopName = "together" if slots > 1 else "own"
    found = speed.loops[name]
    if found.rate is None:
        raise SystemExit(f"{cell.label}: {found.error}")
    return found.rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"])
    parser.add_argument("--rules", nargs="+", default=["bp", "asap"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement; at least one step")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    rows = []
    for width, precision, rule in product(given.widths, given.precisions, given.rules):
        filters = ["model=resnet18", f"rule={rule}"]
        (cell,) = chosen(["cifar10"], filters, [f"model.width={width}", f"precision={precision}"])
        found: list[tuple[float, float]] = []
        for _ in range(given.rounds):
            one = rate(cell, slots=1, threads=given.cores, seconds=given.seconds)
            found.append((one, rate(cell, slots=given.cores, threads=1, seconds=given.seconds)))
        ratios = [several / one for one, several in found]
        medians = [statistics.median(values) for values in zip(*found, strict=True)]
        rows.append([rule, width, precision, *medians, statistics.median(ratios), min(ratios), max(ratios)])
        print(f"{rule}, width {width}, {precision}: {statistics.median(ratios):.2f}", file=sys.stderr)
    print(f"{platform.processor() or platform.machine()}, {given.cores} cores, torch {torch.__version__}, "
          f"n = {given.rounds}, samples/s, medians\n")  # fmt: skip
    head = ["rule", "width", "precision", f"1 slot, {given.cores} threads", f"{given.cores} slots, 1 thread", "ratio"]
    formats = ("", "", "", ".0f", ".0f", ".2f", ".2f", ".2f")
    print(tabulate(rows, [*head, "min", "max"], floatfmt=formats, tablefmt="github"))


if __name__ == "__main__":
    main()
