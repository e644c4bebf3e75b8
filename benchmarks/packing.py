"""Training on n single-threaded slots beside one slot of n threads: samples a second of all slots together.

python benchmarks/packing.py quickstart --only model=resnet10 --only rule=asap
python benchmarks/packing.py cpu --only model=resnet18 --only rule=asap --set dataset.train_size=2000 --set epochs=4

Real runs of `asapbench run`, in turn, each with one cell (its first, with seeds 0 to n - 1) for each slot at a time. A
slot's rate is its cells' median over their epochs but the first; wall time, so let nothing else run beside it.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile

import torch
from tabulate import tabulate

from asapbench.store.store import Store


def rate(given: argparse.Namespace, *, slots: int, threads: int) -> float:
    """Samples a second of one run, over all slots."""
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/packing.sqlite"
        command = [sys.executable, "-m", "asapbench", "run", given.suite, "--db", database, "--device", "cpu"]
        command += ["--slots", str(slots), "--threads", str(threads), "--seeds", f"0-{given.cores - 1}"]
        command += [part for one in given.only for part in ("--only", one)]
        command += [part for one in given.set for part in ("--set", one)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr or done.stdout}")
        with Store.read_only(database) as store:
            found = [store.epochs(result.attempt.lineage) for result in store.all_results()]
    if len(found) != given.cores or any(len(epochs) < 2 for epochs in found):
        raise SystemExit(f"choose one configuration of at least 2 epochs with --only: {len(found)} cells were trained")
    rates = [statistics.median(epoch.samples_per_second for epoch in epochs[1:]) for epochs in found]
    return sum(rates) * slots / len(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    found: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        for slots in sorted({1, given.cores}):
            threads = given.cores // slots
            title = f"{slots} slot{'s' * (slots > 1)}, {threads} thread{'s' * (threads > 1)} each"
            found.setdefault(title, []).append(rate(given, slots=slots, threads=threads))
    control = next(iter(found.values()))
    rows = []
    for title, rates in found.items():
        ratios = [ours / theirs for ours, theirs in zip(rates, control, strict=True)]
        spread = [statistics.median(ratios), min(ratios), max(ratios)]
        rows.append([title, statistics.median(rates), min(rates), max(rates), *spread])
    print(f"{given.suite} {' '.join([*given.only, *given.set])}; {platform.machine()}, {given.cores} cores, "
          f"torch {torch.__version__}, n = {given.rounds}, medians\n")  # fmt: skip
    head = ["", "samples/s", "min", "max", f"/ {next(iter(found))}", "min", "max"]
    print(tabulate(rows, head, floatfmt=("", ".0f", ".0f", ".0f", ".2f", ".2f", ".2f"), tablefmt="github"))


if __name__ == "__main__":
    main()
