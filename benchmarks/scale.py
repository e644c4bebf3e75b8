"""Commands on large suites and databases: wall time, CPU time and memory of whole processes.

python benchmarks/scale.py --cells 10000 100000 --epochs 20 --configurations 40 --rounds 5

For each number of cells, a database of made-up results is written: one finished attempt per cell, with `--epochs` rows;
the cells of a configuration differ in the seed. Targets (100,000 cells of 20 epochs): `list`, `status` and `report` in
under 3 s and 300 MB each. On a machine with other work, the minimum says more than the median.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import conditions, in_new_process
from tabulate import tabulate

if TYPE_CHECKING:
    from asapbench.suite.cell import Cell

SUITE = """\
[suite]
name = "large"

[defaults]
dataset = "cifar10"
epochs = {epochs}
batch_size = [{batch_sizes}]
seeds = [{seeds}]
"""
GRID = """
[[grid]]
model = "{model}"
lr = {{ bp = [1e-2, 3e-2], kp = 3e-2, fa = 3e-3, dfa = 3e-3, asap = [1e-2, 3e-2, 1e-1], as = [1e-2, 3e-2] }}
"""
MODELS = ("resnet18", "resnet18_nsc", "resnet34", "alexnet")
CELLS_OF_GRIDS = 40
"""Configurations of the grids with one batch size."""


def write_suite(folder: Path, *, cells: int, epochs: int, configurations: int = CELLS_OF_GRIDS) -> Path:
    path = folder / "large.toml"
    sizes = max(configurations // CELLS_OF_GRIDS, 1)
    seeds = ", ".join(map(str, range(cells // (sizes * CELLS_OF_GRIDS))))
    batch_sizes = ", ".join(map(str, range(128, 128 + sizes)))
    grids = [GRID.format(model=model) for model in MODELS]  # a grid has at most 100,000 cells
    head = SUITE.format(epochs=epochs, seeds=seeds, batch_sizes=batch_sizes)
    path.write_text("".join([head, *grids]), encoding="utf-8")
    return path


def fill(path: Path, suite: Path) -> None:
    """Writes made-up results of the suite's cells, past the store, which commits each cell on its own.

    Run it in its own process: a child's peak memory is at least its parent's memory at the start of the child.
    """
    from asapbench.store import OwnerProcess, Provenance
    from asapbench.store.store import Store
    from asapbench.suite.load import load

    loaded = load(str(suite))
    with Store.open(f"sqlite:///{path}") as store:
        store.record_suite(loaded.name, loaded.source, list(loaded.cells), text=loaded.text)
        claim = store.claim(
            loaded.cells[0],
            owner=OwnerProcess.of_this_process(),
            provenance=Provenance(None, None, {"torch": "2.14.1"}, {"processor": "made up"}),
            device="cuda",
        )
        assert claim is not None
        store.finish(claim, "done")
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    names = [row[1] for row in database.execute("PRAGMA table_info(attempt)")]
    first = dict(zip(names, database.execute("SELECT * FROM attempt").fetchone(), strict=True))
    database.execute("DELETE FROM attempt")
    attempts = (made_up_attempt(cell, number, first) for number, cell in enumerate(loaded.cells))
    marks = ", ".join("?" * len(names))
    database.executemany(f"INSERT INTO attempt VALUES ({marks})", attempts)
    columns = "attempt_id, lineage, epoch, train_loss, train_accuracy, test_loss, test_accuracy, lr, seconds"
    columns += ", samples_per_second"
    marks = ", ".join("?" * 10)
    database.executemany(f"INSERT INTO epoch_metrics ({columns}) VALUES ({marks})", made_up_epochs(loaded.cells))
    database.commit()
    database.close()


def attempt_id(number: int) -> str:
    return f"{number:032x}"


def made_up_attempt(cell: Cell, number: int, first: dict[str, object]) -> tuple[object, ...]:
    values = first | {"id": attempt_id(number), "lineage": attempt_id(number), "cell_id": cell.id, "number": 1}
    values |= {"epochs_done": cell.epochs, "last_test_accuracy": 0.9, "best_test_accuracy": 0.91, "best_test_epoch": 9}
    return tuple(values.values())


def made_up_epochs(cells: tuple[Cell, ...]) -> Iterator[tuple[object, ...]]:
    draw = random.Random(0)
    for number, cell in enumerate(cells):
        for epoch in range(1, cell.epochs + 1):
            x = draw.random()
            yield attempt_id(number), attempt_id(number), epoch, 1 + x, x, 1 + x, x, 0.1, 4 + x, 12_000 - 100 * x


def measured(arguments: list[str], folder: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds, peak MB."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ASAPBENCH")}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "asapbench", *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"asapbench {' '.join(arguments)} ended with status {os.waitstatus_to_exitcode(status)}")
    process.returncode = 0
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--configurations", type=int, default=CELLS_OF_GRIDS)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = []
    for cells in given.cells:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            suite = write_suite(folder, cells=cells, epochs=given.epochs, configurations=given.configurations)
            in_new_process(fill, folder / "large.sqlite", suite)
            db = ["--db", "large.sqlite"]
            commands = {
                "--help": ["--help"],
                "run --dry-run, no database": [
                    "run",
                    "large.toml",
                    "--dry-run",
                    "--device",
                    "cpu",
                    "--db",
                    "none.sqlite",
                ],
                "run --dry-run": ["run", "large.toml", "--dry-run", "--device", "cpu", *db],
                "list --limit 40": ["list", "--limit", "40", *db],
                "list --limit 40 --sort accuracy": ["list", "--limit", "40", "--sort", "accuracy", *db],
                "list": ["list", *db],  # the output is no terminal: all cells
                "list --format csv": ["list", "--format", "csv", *db],
                "list --format json": ["list", "--format", "json", *db],
                "status": ["status", *db],
                "report --suite": ["report", "--suite", "large", *db],
                "report --table 1": ["report", "--table", "1", *db],
            }
            for title, arguments in commands.items():
                found = [measured(arguments, folder) for _ in range(given.rounds)]
                walls, cpus, peaks = zip(*found, strict=True)
                rows.append([f"{cells:,}", title, min(walls), statistics.median(walls), min(cpus), max(peaks)])
    print(
        f"{given.epochs} epochs a cell, {given.configurations} configurations; "
        f"{conditions(given.rounds, figures='whole processes')}\n"
    )
    head = ["cells", "asapbench", "wall s, minimum", "median", "CPU s, minimum", "peak MB"]
    print(tabulate(rows, head, floatfmt=("", "", ".2f", ".2f", ".2f", ".0f"), tablefmt="github"))


if __name__ == "__main__":
    main()
