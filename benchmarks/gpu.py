"""Training on a GPU: the table of `asapbench bench` for Table 1's networks and rules, and its 70 cells in GPU-hours.

python benchmarks/gpu.py                                               # every cell of Table 1, TF32, fastest kernels
python benchmarks/gpu.py --only model=resnet18 --only dataset=cifar10 --precision float32,tf32,bf16 --slots 4 --eager
python benchmarks/gpu.py --device cpu --set model.width=2 --only dataset=svhn --rounds 1   # its logic, without a GPU

Floors and peaks: asapbench/analysis/speed.py. GPU-hours are training alone, on one slot, at the cells' own number of
epochs; evaluating the test data after each epoch adds about 7 % of the arithmetic. Aims on an H100: ResNet-18 on
CIFAR-10 at most 1.2 s an epoch under BP and ASAP (floor at TF32 0.34 and 0.31 s), the 70 cells under 6 hours.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from asapbench.analysis.speed import Speed
from asapbench.analysis.speed.bench import Bench, bench, chosen
from asapbench.errors import AsapbenchError
from asapbench.report.out import deliver
from asapbench.report.render import Format
from asapbench.report.speed import speed_table
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.suite.recipe import PRECISIONS
from asapbench.training.settings import TrainingSettings

TABLE1 = ("mnist", "svhn", "cifar10", "cifar100", "tiny_imagenet")
RULES = ("bp", "kp", "fa", "dfa", "asap")


def cells_of(filters: list[str], settings: list[str], precision: str) -> list[Cell]:
    """Table 1's cells that pass the filters, in one precision. A filter need not fit every suite."""
    found = chosen(TABLE1, [f"rule={','.join(RULES)}", *filters], settings)
    return [replace(cell, precision=precision) for cell in found]


def hours(speeds: list[Speed]) -> str:
    """What the measured cells take in all their epochs; the 70 of Table 1 where all of them were measured."""
    measured = [(speed, seconds) for speed in speeds if (seconds := speed.epoch_seconds("own")) is not None]
    total = sum(speed.cell.epochs * seconds for speed, seconds in measured) / 3600
    whole = sum(cell.rule.name in RULES for suite in TABLE1 for cell in load(suite).cells)
    return f"{len(measured)} of the {whole} cells of Table 1 in all their epochs: {total:.2f} hours of this device"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--precision", default="tf32", help=f"of {', '.join(PRECISIONS)}; several with commas")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--eager", action="store_true", help="also the loop in plain PyTorch")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile's kernels")
    parser.add_argument("--cuda-graphs", action="store_true")
    parser.add_argument("--peak-tflops", type=float)
    parser.add_argument("--peak-bandwidth", type=float)
    parser.add_argument("--out", type=Path, help="a folder for the tables as CSV")
    given = parser.parse_args()
    for precision in given.precision.split(","):
        if precision not in PRECISIONS:
            parser.error(f"--precision {precision}: there are {', '.join(PRECISIONS)}")
        wanted = Bench(
            training=TrainingSettings(
                device=given.device,
                deterministic=given.deterministic,
                compiled=given.compile,
                cuda_graphs=given.cuda_graphs,
            ),
            rounds=given.rounds,
            seconds=given.seconds,
            slots=given.slots,
            eager=given.eager,
        )
        try:
            found = bench(
                cells_of(given.only, given.set, precision), wanted, say=lambda text: print(text, file=sys.stderr)
            )
            table = speed_table(found, teraflops=given.peak_tflops, gigabytes=given.peak_bandwidth)
            deliver(table, form=Format.TERMINAL, out=None)
            if given.out is not None:
                deliver(table, form=Format.CSV, out=given.out / f"speed-{precision}.csv")
        except AsapbenchError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(f"\n{precision}: {hours(list(found.speeds))}\n")
        if found.stopped:
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
