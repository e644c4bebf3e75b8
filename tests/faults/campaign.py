"""A campaign: faults done to a running `asapbench`, one after another at random moments, until the suite is done.

After each fault every epoch recorded before it must be there with the same values. At the end of a suite the curves
and the kept weights must have the same bits as those of an undisturbed run, no cell may have been trained twice, no
process may be left, and the database must be whole. `Campaign` counts what is not so; it asserts nothing.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from injuries import INJURIES, possible, signal_to
from small_runs import DB, curves, query, recorded, start, wait_until, workers, write_suite

IMPATIENT = (str(Path(__file__).parent / "no_retries.py"),)
SLOTS = ("--slots", "2", "--checkpoint-every", "0.2s", "--keep-weights")
HUNG = ("--hang-after", "60s")
DIGESTS = "SELECT cell_id, weights_path, weights_digest FROM attempt WHERE state = 'done' ORDER BY 1"
TRAINED_TWICE = "SELECT count(*) - 1 FROM attempt WHERE state = 'done' GROUP BY cell_id HAVING count(*) > 1"
STARTED_TWICE = """
SELECT count(DISTINCT epoch_metrics.lineage) - 1 FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id
GROUP BY cell_id HAVING count(DISTINCT epoch_metrics.lineage) > 1
"""
RESTARTS = 50
"""A suite that is not done after so many is stuck."""


@dataclass
class Damage:
    """What a fault has cost; all of it should be 0 but `injected`."""

    injected: int = 0
    epochs_lost: int = 0
    bits_differ: int = 0
    trained_twice: int = 0
    orphans: int = 0
    tracebacks: int = 0

    def total(self) -> int:
        return sum(asdict(self).values()) - self.injected


@dataclass(frozen=True)
class Undisturbed:
    """What a run ends with that nothing disturbs: its curves, and the digest of each cell's kept weights."""

    curves: list[tuple]
    digests: dict[str, str]

    @classmethod
    def of(cls, folder: Path) -> Undisturbed:
        return cls(curves(folder), {cell: digest for cell, _, digest in query(folder, DIGESTS)})


@dataclass
class Campaign:
    """`faults` injuries of the given kinds, as many suites as they take, each in a folder of its own below `root`."""

    root: Path
    logs: Path
    chance: random.Random
    undisturbed: Undisturbed
    damage: dict[str, Damage] = field(default_factory=dict)
    folder: Path = Path()
    process: subprocess.Popen[str] | None = None
    log: Path = Path()
    suites: int = 0
    restarts: int = 0
    kind: str = ""
    launched: list[subprocess.Popen[str]] = field(default_factory=list)

    def inflict(self, kinds: Sequence[str]) -> dict[str, Damage]:
        """Injects each of `kinds` in turn, and lets the last suite end. Returns the damage by kind."""
        self._begin()
        for kind in kinds:
            while not self._wait_for_a_moment():
                self._check_suite()
                self._begin()
            self.kind = kind
            count = self.damage.setdefault(kind, Damage())
            before = set(self._curves())
            INJURIES[kind](self)
            count.injected += 1
            self._look_after(before)
        while self.alive() or not self.done():
            self._end_and_continue()
        self._check_suite()
        return self.damage

    def end_everything(self) -> None:
        """Leaves no process behind, whatever went wrong."""
        for process in self.launched:
            process.kill()
            process.wait()

    def keep_what_is_left(self) -> None:
        """Copies the suites that something was wrong with beside their logs: the disk they are on may go."""
        if self.root != self.logs:
            for folder in self.root.glob("suite-*"):
                shutil.copytree(folder, self.logs / folder.name)

    # What injuries use

    @property
    def database(self) -> Path:
        return self.folder / DB

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def done(self) -> bool:
        return self.process is not None and self.process.poll() == 0

    def launch(self, *arguments: str) -> subprocess.Popen[str]:
        """`asapbench ARGUMENTS` in the suite's folder."""
        with self.log.open("a") as output:
            self.launched.append(start(self.folder, *arguments, *SLOTS, *HUNG, program=IMPATIENT, output=output))
        return self.launched[-1]

    def wait_for_end(self, process: subprocess.Popen[str], what: str) -> None:
        wait_until(lambda: process.poll() is not None, what, seconds=300)

    # The course of a suite

    def _begin(self) -> None:
        self.folder = self.root / f"suite-{self.suites}"
        self.suites += 1
        self.folder.mkdir()
        write_suite(self.folder)
        self.log = self.logs / f"{self.folder.name}.txt"
        self.restarts = 0
        self.process = self.launch("run", "small.toml")

    def _continue(self) -> None:
        self.restarts += 1
        assert self.restarts <= RESTARTS, self.log.read_text()
        known = self.database.exists() and recorded(self.folder) > 0
        self.process = self.launch("resume") if known else self.launch("run", "small.toml")

    def _end_and_continue(self) -> None:
        """Waits for the process to end, and begins another where there is work left."""
        assert self.process is not None
        self.wait_for_end(self.process, "the run to end")
        self._count_orphans()
        if self.process.returncode != 0:
            self._continue()

    def _wait_for_a_moment(self) -> bool:
        """A random moment: some of them while processes start, most after one or a few more epochs. False: done."""
        if not self.alive():
            self._end_and_continue()
        if self.done():
            return False
        wanted = recorded(self.folder) + self.chance.choice((0, 1, 1, 1, 2, 3))
        wait_until(lambda: recorded(self.folder) >= wanted or not self.alive(), "a few epochs", seconds=300)
        delay = self.chance.uniform(0.0, 1.0) * (3.0 if self.chance.random() < 0.2 else 0.7)
        assert self.process is not None
        try:
            self.process.wait(delay)
        except subprocess.TimeoutExpired:
            return True
        return self._wait_for_a_moment()

    # The bar

    def _curves(self) -> list[tuple]:
        """What is recorded; a database that is locked for a moment is not an empty one."""
        deadline = time.monotonic() + 60
        while self.database.exists():
            try:
                return curves(self.folder)
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        return []

    def _look_after(self, before: set[tuple]) -> None:
        if not self.alive():
            self._count_orphans()
        count, after = self.damage[self.kind], set(self._curves())
        count.epochs_lost += len(before - after)
        count.bits_differ += len(after - set(self.undisturbed.curves))

    def _count_orphans(self) -> None:
        """Workers notice that their parent is gone as soon as they are given time by a busy machine."""
        try:
            wait_until(lambda: not workers(self.folder), "the workers to end with their parent", seconds=60)
        except AssertionError:
            left = workers(self.folder)
            self.damage.setdefault(self.kind, Damage()).orphans += len(left)
            for pid in left:
                signal_to(pid, signal.SIGKILL)

    def _check_suite(self) -> None:
        printed = self.log.read_text()
        count = self.damage.setdefault(self.kind, Damage())
        ended = Undisturbed.of(self.folder)
        count.epochs_lost += len(set(self.undisturbed.curves) - set(ended.curves))
        count.bits_differ += len(ended.curves) - len(self.undisturbed.curves)
        count.bits_differ += sum(digest != ended.digests.get(cell) for cell, digest in self.undisturbed.digests.items())
        count.bits_differ += sum(_digest(Path(path)) != digest for _, path, digest in query(self.folder, DIGESTS))
        count.trained_twice += sum(number for (number,) in query(self.folder, TRAINED_TWICE))
        count.trained_twice += sum(number for (number,) in query(self.folder, STARTED_TWICE))
        count.bits_differ += query(self.folder, "PRAGMA integrity_check") != [("ok",)]
        # Ctrl-C while Python starts is Python's own affair.
        count.tracebacks += max(0, printed.count("Traceback (") - printed.count("KeyboardInterrupt"))
        if not count.total():
            shutil.rmtree(self.folder)


def kinds_of(number: int, root: Path, chance: random.Random) -> list[str]:
    """`number` kinds that are possible below `root`, each as often as any other, in random order."""
    names = possible(root)
    chance.shuffle(names)
    repeated = [names[n % len(names)] for n in range(number)]
    chance.shuffle(repeated)
    return repeated


def table(damage: dict[str, dict[str, int]]) -> list[str]:
    """Lines to print: a kind a line."""
    columns = list(asdict(Damage()))
    lines = [f"{'fault':<40}" + "".join(f"{name.replace('_', ' '):>15}" for name in columns)]
    for kind in sorted(damage):
        lines.append(f"{kind:<40}" + "".join(f"{damage[kind][name]:>15}" for name in columns))
    total = {name: sum(row[name] for row in damage.values()) for name in columns}
    return [*lines, f"{'all':<40}" + "".join(f"{total[name]:>15}" for name in columns)]


def _digest(path: Path) -> str:
    """The SHA-256 of kept weights as they lie on disk, without the line that says what it should be."""
    return hashlib.sha256(path.read_bytes().partition(b"\n")[2]).hexdigest()
