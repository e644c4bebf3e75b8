"""The cost of recording an epoch, compared with a bare durable commit of one row on the same disk.

python benchmarks/recording.py --rounds 200 --folder .

Wall time, because the disk is the bottleneck. Epochs of several slots share one commit.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from measuring import conditions, interleaved, made_up_epoch, table

from asapbench.store import Claim, Measured, OwnerProcess, Provenance
from asapbench.store.store import Store
from asapbench.suite.load import load

CONTROL = "bare commit"


def bare(path: Path) -> Callable[[], None]:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE epoch (number INTEGER, loss REAL, accuracy REAL)")

    numbers = count()

    def commit() -> None:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO epoch VALUES (?, 0.5, 0.5)", (next(numbers),))
        database.execute("COMMIT")

    return commit


def ours(store: Store, slots: int) -> Callable[[], None]:
    provenance = Provenance(None, None, {}, {})
    claims: list[Claim] = []
    for cell in load("cifar10").cells[:slots]:
        claim = store.claim(cell, owner=OwnerProcess.of_this_process(), provenance=provenance, device="cpu")
        assert claim is not None
        claims.append(claim)

    numbers = count(1)

    def record() -> None:
        row = made_up_epoch(next(numbers))
        store.record_many([Measured(claim, [row]) for claim in claims])

    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="where the databases are made: on the disk to measure"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        stores = {slots: Store.open(f"sqlite:///{folder}/{slots}.sqlite") for slots in (1, 4)}
        candidates = {CONTROL: bare(folder / "bare.sqlite")}
        candidates |= {f"an epoch of {slots} slots": ours(store, slots) for slots, store in stores.items()}
        found = interleaved(candidates, rounds=given.rounds, warm_up=5, clock=time.perf_counter)
        for store in stores.values():
            store.close()
    print(f"SQLite {sqlite3.sqlite_version}, write-ahead log, synchronous = FULL; "
          f"{conditions(given.rounds, figures='wall time, interleaved')}\n")  # fmt: skip
    print(table(found, control=CONTROL, unit="ms", factor=1e3))


if __name__ == "__main__":
    main()
