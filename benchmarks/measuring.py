"""Interleaved timing: process CPU time of each candidate in turn, round after round, medians and spread."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from tabulate import tabulate


def interleaved(candidates: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of CPU time of each candidate in each of `rounds`, after one round that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, run in candidates.items():
            before = time.process_time()
            run()
            if number:
                found[name].append(time.process_time() - before)
    return found


def table(found: Mapping[str, list[float]], *, control: str) -> str:
    """Median seconds, least and most, and the ratio to `control`: median of the rounds' ratios, least and most."""
    rows = []
    for name, seconds in found.items():
        ratios = [a / b for a, b in zip(seconds, found[control], strict=True)]
        rows.append([name, *spread(seconds), *spread(ratios)])
    head = ["", "median s", "min", "max", f"/ {control}", "min", "max"]
    return tabulate(rows, head, floatfmt=".3f", tablefmt="github")


def terms(rounds: int) -> str:
    """What the figures hold for."""
    return (
        f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{torch.get_num_threads()} thread, torch {torch.__version__}, Python {platform.python_version()}, "
        f"process CPU time, interleaved, n = {rounds}"
    )


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, least and most."""
    return statistics.median(values), min(values), max(values)
