"""The runner with many slots: epochs recorded, their delay, and what the one writer costs.

python benchmarks/runner.py --slots 10 100 1000
python benchmarks/runner.py --slots 10 100 1000 --db postgresql   (a server of its own, or the URL of a database)

Simulated workers (`simulated_workers.py`) each send an epoch per second, in the format of real workers, to the real
runner, store and view. The window starts when every slot trains; in it cells end, and their slots take the next ones.

Targets at 1,000 slots: 1,000 epochs recorded per second, each within 1 s, under one core and 500 MB.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import importlib
import io
import itertools
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import simulated_workers
from measuring import conditions, in_new_process
from rich.console import Console
from tabulate import tabulate

from asapbench.cli.progress import LiveView, PlainView
from asapbench.machine.hardware import hardware, versions
from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.assignment import Options, assign
from asapbench.running.executors import LocalExecutor
from asapbench.running.plan import plan_cells
from asapbench.running.runner import Runner
from asapbench.store import Claim, Measured, Provenance
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.worker import process
from asapbench.worker.files import Files

NODE = 64
"""Slots of one machine of the simulated cluster: they share its memory, by which the runner admits cells."""
SETTLE_SECONDS = 3.0
FILL_SECONDS = 240.0
"""How long all slots may take to start."""
OWN = "postgresql"


@dataclass(frozen=True)
class Terms:
    """The conditions of one measurement."""

    url: str
    slots: int
    cells: int
    epochs: int
    seconds: float
    view: str
    profile: bool


@dataclass(frozen=True)
class Found:
    """The figures of one measurement. `delays`: seconds from an event to its durable row; `longest`: of all rows."""

    window: float
    delays: list[float]
    longest: float
    cpu: float
    peak_bytes: int
    fill: float
    claims: list[float]
    heartbeats: list[float]
    stop: float


class TimedStore(Store):
    """A store that records when each row became durable."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rows: list[tuple[float, float]] = []
        self.calls: dict[str, list[tuple[float, float]]] = {"claim": [], "heartbeat": []}

    def record_many(self, measured: Sequence[Measured]) -> None:
        super().record_many(measured)
        self._durable([row for item in measured for row in item.epochs])

    def record_epochs(self, claim: Claim, rows: Sequence[EpochMetrics], alignment: Sequence[Any] = ()) -> None:
        super().record_epochs(claim, rows, alignment)
        self._durable(rows)

    def claim(self, *arguments: Any, **given: Any) -> Claim | None:
        with self._timed("claim"):
            return super().claim(*arguments, **given)

    def heartbeat(self, held: Sequence[Claim]) -> list[Claim]:
        with self._timed("heartbeat"):
            return super().heartbeat(held)

    def _durable(self, rows: Sequence[EpochMetrics]) -> None:
        now = time.monotonic()
        self.rows += [(now, now - row.seconds) for row in rows]

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.calls[name].append((began, time.monotonic() - began))


class Window:
    """The time that is measured: it starts when every slot trains, and its end stops the run."""

    def __init__(self, terms: Terms, stop: Callable[[], None]) -> None:
        self._terms, self._stop = terms, stop
        self._training: set[int] = set()
        self.started = time.monotonic()
        self.filled = self.begin = self.end = 0.0
        self.cpu = 0.0
        self.profile = cProfile.Profile()

    def train(self, slot: Slot) -> None:
        self._training.add(slot.number)
        if not self.filled and len(self._training) == self._terms.slots:
            self.filled = time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        if self.end:
            return
        if not self.filled:
            if now - self.started > FILL_SECONDS:
                self._stop()
        elif not self.begin and now - self.filled >= SETTLE_SECONDS:
            self.begin, self.cpu = now, time.process_time()
            if self._terms.profile:
                self.profile.enable()
        elif self.begin and now - self.begin >= self._terms.seconds:
            self.profile.disable()
            self.end, self.cpu = now, time.process_time() - self.cpu
            self._stop()


def watched(view: PlainView | LiveView, window: Window) -> PlainView | LiveView:
    """`view`, which now also reports cells and ticks to the window."""
    began, tick = view.began, view.tick

    def begin(slot: Slot, cell: Cell, **given: Any) -> None:
        window.train(slot)
        began(slot, cell, **given)

    def ticking() -> None:
        window.tick()
        tick()

    view.began, view.tick = begin, ticking  # type: ignore[method-assign]
    return view


def slots_of(number: int) -> list[Slot]:
    return [Slot(n, "cpu", node=f"node{n // NODE}") for n in range(number)]


def cells_of(terms: Terms) -> list[Cell]:
    """Cells of quickstart's configurations, with new seeds in every measurement."""
    by_group = {cell.group: replace(cell, epochs=terms.epochs) for cell in load("quickstart").cells}
    configurations = list(by_group.values())
    first = int(time.time()) % 10**6 * 1_000
    seeds = range(first, first + -(-terms.cells // len(configurations)))
    return [cell.with_seed(seed) for cell, seed in itertools.product(configurations, seeds)][: terms.cells]


def measured(terms: Terms) -> Found:
    """One run, in a process of its own."""
    cells, slots = cells_of(terms), slots_of(terms.slots)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name, TimedStore.open(terms.url) as store:
        assert isinstance(store, TimedStore)
        folder = Path(name)
        files = Files(folder / "files")
        files.make()
        store.record_suite("runner", "benchmarks/runner.py", cells)
        workers = context.Process(target=simulated_workers.serve, args=(folder / "socket",), daemon=True)
        workers.start()
        while not (folder / "socket").exists():
            time.sleep(0.05)
        process.start = simulated_workers.Processes(folder / "socket")  # type: ignore[assignment]
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the view's lines, of this process
        view = PlainView() if terms.view == "plain" else LiveView(live_console())
        window = Window(terms, lambda: runner.request_stop("time limit"))
        runner = Runner(
            store,
            cells,
            LocalExecutor(slots, files),
            options=Options(data=folder, files=files),
            view=watched(view, window),
        )
        view.begin(plan_cells(store, cells, slots), slots)
        runner.run()
        stopped = time.monotonic() - window.end
        view.close()
        workers.kill()
        if not window.end:
            raise SystemExit(f"{terms.slots} slots did not start within {FILL_SECONDS:.0f} s")
        if terms.profile:
            window.profile.create_stats()
            profiled(window.profile)

    def within(times: list[tuple[float, float]]) -> list[float]:
        return [value for at, value in times if window.begin <= at <= window.end]

    return Found(
        window=window.end - window.begin,
        delays=within(store.rows),
        longest=max(delay for _, delay in store.rows),
        cpu=window.cpu,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        fill=window.filled - window.started,
        claims=[seconds for _, seconds in store.calls["claim"]],
        heartbeats=[seconds for _, seconds in store.calls["heartbeat"]],
        stop=stopped,
    )


def claimed(terms: Terms) -> tuple[float, float]:
    """Wall and CPU seconds of claiming every cell, one after the other, as the runner does."""
    cells, (slot,) = cells_of(terms), slots_of(1)
    provenance = Provenance(None, None, versions(), hardware())
    with Store.open(terms.url) as store:
        store.record_suite("claims", "benchmarks/runner.py", cells)
        options = Options(data=Path(), files=Files(Path("files")))
        wall, cpu = time.monotonic(), time.process_time()
        for cell in cells:
            assert assign(store, cell, slot, provenance=provenance, options=options, say=print) is not None
        return time.monotonic() - wall, time.process_time() - cpu


def live_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, height=50)


def profiled(profile: cProfile.Profile) -> None:
    """Prints the main thread's profile on standard error."""
    import pstats

    pstats.Stats(profile, stream=sys.__stderr__).sort_stats("cumulative").print_stats(60)


@contextlib.contextmanager
def database(wanted: str) -> Iterator[Callable[[], str]]:
    """Makes the URL of a database for each measurement: SQLite in a new folder, PostgreSQL on a server of its own, or
    the one that was named.
    """
    with contextlib.ExitStack() as stack:
        if wanted == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir="."))
            numbers = itertools.count()
            yield lambda: f"sqlite:///{folder}/{next(numbers)}.sqlite"
        elif wanted == OWN:
            sys.path.append(str(Path(__file__).parents[1] / "tests"))
            postgresql = importlib.import_module("postgresql")
            if postgresql.programs() is None:
                raise SystemExit(
                    f"{postgresql.TO_GET_ONE}; or name a database: --db postgresql+psycopg://USER@HOST/NAME"
                )
            server = stack.enter_context(postgresql.server(durable=True))
            yield lambda: stack.enter_context(server.database())
        else:
            yield lambda: wanted


def row(name: str, terms: Terms, found: Found) -> list[object]:
    delays = sorted(found.delays) or [float("nan")]
    offered = terms.slots * found.window / simulated_workers.EPOCH_SECONDS
    return [
        name,
        terms.slots,
        len(found.delays) / found.window,
        len(found.delays) / offered,
        statistics.median(delays),
        delays[int(0.99 * (len(delays) - 1))],
        delays[-1],
        found.longest,
        found.cpu / found.window,
        found.peak_bytes / 1e6,
        found.fill,
        1e3 * statistics.median(found.claims),
        1e3 * statistics.median(found.heartbeats or [float("nan")]),
        found.stop,
        len(found.delays),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--db", nargs="+", default=["sqlite"], help="sqlite, postgresql (own server), or a URL")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30, help="of a cell: the slot then takes the next one")
    parser.add_argument(
        "--claims", type=int, default=10_000, help="cells that are claimed one after the other; 0: none"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the window is")
    parser.add_argument("--view", choices=("plain", "live"), default="plain")
    parser.add_argument("--profile", action="store_true", help="what the runner's main thread does (it gets slower)")
    given = parser.parse_args()
    rows, claims = [], []
    for wanted in given.db:
        name = "SQLite" if wanted == "sqlite" else "PostgreSQL"
        with database(wanted) as url:
            terms = Terms(url(), 0, given.cells, given.epochs, given.seconds, given.view, given.profile)
            for slots in given.slots:
                terms = replace(terms, url=url(), slots=slots)
                rows.append(row(name, terms, in_new_process(measured, terms)))
            if given.claims:
                wall, cpu = in_new_process(claimed, replace(terms, url=url(), cells=given.claims))
                claims.append([name, given.claims, wall, cpu])
    print(f"An epoch a second a slot, two signs of life, {given.epochs} epochs a cell, {given.cells:,} cells, "
          f"{given.view} view; window {given.seconds:.0f} s, n = rows in it; "
          f"{conditions(figures='wall time')}\n")  # fmt: skip
    head = [
        "database", "slots", "epochs/s", "/ offered", "delay s: median", "99 %", "most", "most, start to stop", "cores",
        "peak MB", "all slots train after s", "claim ms", "heartbeat ms", "stop s", "n",
    ]  # fmt: skip
    formats = ("", "", ".1f", ".3f", ".3f", ".3f", ".3f", ".3f", ".3f", ".0f", ".1f", ".1f", ".1f", ".1f", "")
    print(tabulate(rows, head, floatfmt=formats, tablefmt="github"))
    print()
    print(tabulate(claims, ["database", "cells claimed", "wall s", "CPU s"], floatfmt=".1f", tablefmt="github"))


if __name__ == "__main__":
    main()
