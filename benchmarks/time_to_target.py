"""`report --time-to` on large suites, beside `report --suite`: wall time, CPU time and memory of whole processes.

python benchmarks/time_to_target.py --cells 100000 --epochs 20 --rounds 3

The database is that of `scale.py`, with made-up accuracies on held-out examples. On a machine with other work, the
minimum says more than the median.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
from pathlib import Path

from measuring import conditions, in_new_process
from scale import fill, measured, write_suite
from tabulate import tabulate


def with_validation(folder: Path, suite: Path) -> None:
    """Fills the database of a suite that holds examples out and names a target, which half of its trainings reach."""
    text = suite.read_text(encoding="utf-8").replace("[defaults]", "target = 0.95\n\n[defaults]\nvalidation = 5000")
    suite.write_text(text, encoding="utf-8")
    fill(folder / "large.sqlite", suite)
    database = sqlite3.connect(folder / "large.sqlite")
    database.execute("UPDATE epoch_metrics SET validation_accuracy = test_accuracy, validation_loss = test_loss")
    database.commit()
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_new_process(with_validation, folder, write_suite(folder, cells=given.cells, epochs=given.epochs))
        of_suite = ["report", "--suite", "large", "--db", "large.sqlite"]
        for options in ([], ["--time-to", "epochs"], ["--time-to", "seconds"], ["--time-to", "accesses"]):
            found = [measured([*of_suite, *options], folder) for _ in range(given.rounds)]
            walls, cpus, peaks = zip(*found, strict=True)
            title = " ".join(["report --suite", *options])
            rows.append([title, min(walls), statistics.median(walls), min(cpus), max(peaks)])
    print(f"{given.cells:,} cells of {given.epochs} epochs; {conditions(given.rounds, figures='whole processes')}\n")
    head = ["asapbench", "wall s, minimum", "median", "CPU s, minimum", "peak MB"]
    print(tabulate(rows, head, floatfmt=("", ".2f", ".2f", ".2f", ".0f"), tablefmt="github"))


if __name__ == "__main__":
    main()
