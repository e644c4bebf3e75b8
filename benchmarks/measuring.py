"""Interleaved timing, the tables of its figures and their conditions. Imports no torch."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import ParamSpec, TypeVar

from tabulate import tabulate

from asapbench.machine import processor
from asapbench.metrics import EpochMetrics

P = ParamSpec("P")
T = TypeVar("T")


def seconds(run: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter, calls: int = 1) -> float:
    """Seconds of one call of `run`, the mean of `calls`."""
    before = clock()
    for _ in range(calls):
        run()
    return (clock() - before) / calls


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Seconds of each candidate in each of `rounds`, after `warm_up` rounds; by default of the process's CPU time."""
    timed = {name: partial(seconds, run, clock=clock) for name, run in candidates.items()}
    return in_turn(timed, rounds=rounds, warm_up=warm_up)


def in_turn(candidates: Mapping[str, Callable[[], float]], *, rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """What each candidate returns in each of `rounds`, after `warm_up` rounds."""
    found = [{name: run() for name, run in candidates.items()} for _ in range(rounds + warm_up)]
    return {name: [one[name] for one in found[warm_up:]] for name in candidates}


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, minimum and maximum."""
    return statistics.median(values), min(values), max(values)


def ratios(found: Mapping[str, list[float]], name: str, *, to: str) -> tuple[float, float, float]:
    """Median, minimum and maximum of the rounds' ratios."""
    return spread([a / b for a, b in zip(found[name], found[to], strict=True)])


def table(found: Mapping[str, list[float]], *, control: str, unit: str = "s", factor: float = 1.0) -> str:
    """Median, minimum and maximum of the seconds times `factor`, and the same of the rounds' ratios to `control`."""
    rows = [
        [name, *(factor * value for value in spread(found[name])), *ratios(found, name, to=control)] for name in found
    ]
    head = ["", f"median {unit}", "min", "max", f"/ {control}", "min", "max"]
    return tabulate(rows, head, floatfmt=".3f", tablefmt="github")


def conditions(rounds: int | None = None, *, figures: str = "process CPU time, interleaved") -> str:
    """The conditions of the figures: machine, versions, what they are and the number of rounds."""
    torch = sys.modules.get("torch")
    used = [torch.backends.cpu.get_cpu_capability(), f"{torch.get_num_threads()} thread"] if torch else []
    machine = [processor.name(), f"{os.cpu_count()} cores", *used]
    software = [f"torch {version('torch')}", f"Python {platform.python_version()}"]
    return ", ".join([*machine, *software, figures, *([] if rounds is None else [f"n = {rounds}"])])


def in_new_process(work: Callable[P, T], *arguments: P.args, **given: P.kwargs) -> T:
    """What `work` returns; in a spawned process, so that its peak memory is its own and not that of its parent."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments, **given).result()


def made_up_epoch(number: int, *, seconds: float = 4.0) -> EpochMetrics:
    """Metrics of an epoch, for benchmarks that train nothing."""
    return EpochMetrics(
        epoch=number, train_loss=0.5, train_accuracy=0.5, test_loss=0.5, test_accuracy=0.5, validation_loss=0.5,
        validation_accuracy=0.5, lr=0.1, seconds=seconds, samples_per_second=12_000.0, peak_memory_bytes=2 * 10**9,
    )  # fmt: skip
