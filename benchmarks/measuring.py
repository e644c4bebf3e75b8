"""Interleaved timing: each candidate in turn, round after round; medians and spread."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from tabulate import tabulate


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Seconds of each candidate in each of `rounds`, after `warm_up` rounds; by default of the process's CPU time."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + warm_up):
        for name, run in candidates.items():
            before = clock()
            run()
            if number >= warm_up:
                found[name].append(clock() - before)
    return found


def table(found: Mapping[str, list[float]], *, control: str, unit: str = "s", factor: float = 1.0) -> str:
    """Median, minimum and maximum of the seconds times `factor`, and the same of the rounds' ratios to `control`."""
    rows = []
    for name, seconds in found.items():
        ratios = [a / b for a, b in zip(seconds, found[control], strict=True)]
        rows.append([name, *spread([factor * value for value in seconds]), *spread(ratios)])
    head = ["", f"median {unit}", "min", "max", f"/ {control}", "min", "max"]
    return tabulate(rows, head, floatfmt=".3f", tablefmt="github")


def terms(rounds: int) -> str:
    """The conditions of the figures."""
    return (
        f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{torch.get_num_threads()} thread, torch {torch.__version__}, Python {platform.python_version()}, "
        f"process CPU time, interleaved, n = {rounds}"
    )


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, minimum and maximum."""
    return statistics.median(values), min(values), max(values)
