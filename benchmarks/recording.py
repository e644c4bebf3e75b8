"""What it costs to record an epoch, beside a bare durable commit of one row on the same disk.

python benchmarks/recording.py --rounds 200 --folder .

Wall time, because it is the disk that is waited for; interleaved, medians. Epochs of several slots share one commit.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from asapbench.metrics import EpochMetrics
from asapbench.store import Claim, Measured, OwnerProcess, Provenance
from asapbench.store.store import Store
from asapbench.suite.load import load

CONTROL = "bare commit"


def bare(path: Path) -> Callable[[int], None]:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE epoch (number INTEGER, loss REAL, accuracy REAL)")

    def commit(number: int) -> None:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO epoch VALUES (?, 0.5, 0.5)", (number,))
        database.execute("COMMIT")

    return commit


def ours(store: Store, slots: int) -> Callable[[int], None]:
    provenance = Provenance(None, None, {}, {})
    claims: list[Claim] = []
    for cell in load("cifar10").cells[:slots]:
        claim = store.claim(cell, owner=OwnerProcess.of_this_process(), provenance=provenance, device="cpu")
        assert claim is not None
        claims.append(claim)

    def record(number: int) -> None:
        row = EpochMetrics(
            epoch=number + 1,
            train_loss=0.5,
            train_accuracy=0.5,
            test_loss=0.5,
            test_accuracy=0.5,
            validation_loss=None,
            validation_accuracy=None,
            lr=0.1,
            seconds=4.0,
            samples_per_second=12_000.0,
            peak_memory_bytes=None,
        )
        store.record_many([Measured(claim, [row]) for claim in claims])

    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="where the databases are made: on the disk asked of"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        stores = {slots: Store.open(f"sqlite:///{folder}/{slots}.sqlite") for slots in (1, 4)}
        candidates = {CONTROL: bare(folder / "bare.sqlite")}
        candidates |= {f"an epoch of {slots} slots": ours(store, slots) for slots, store in stores.items()}
        found: dict[str, list[float]] = {title: [] for title in candidates}
        for number in range(given.rounds + 5):
            for title, record in candidates.items():
                began = time.perf_counter()
                record(number)
                if number >= 5:
                    found[title].append(time.perf_counter() - began)
        for store in stores.values():
            store.close()
    control = statistics.median(found[CONTROL])
    rows = []
    for title, seconds in found.items():
        low, _, high = statistics.quantiles(seconds, n=4)
        median = statistics.median(seconds)
        rows.append([title, 1e3 * median, 1e3 * low, 1e3 * high, median / control])
    print(f"SQLite {sqlite3.sqlite_version}, write-ahead log, synchronous = FULL; {platform.machine()}, "
          f"{os.cpu_count()} cores; n = {given.rounds}, median and quartiles\n")  # fmt: skip
    head = ["", "median ms", "25 %", "75 %", f"/ {CONTROL}"]
    print(tabulate(rows, head, floatfmt=("", ".2f", ".2f", ".2f", ".2f"), tablefmt="github"))


if __name__ == "__main__":
    main()
