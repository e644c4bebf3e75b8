"""The page of a large database: seconds to write it, its size, and seconds until a browser shows it.

python benchmarks/page.py --cells 40 120 2000 --rows 20000 --rounds 3

For each number of cells a database of made-up results is written, with `--rows` epochs in all. The page is open when
its script has run: it can be read and filtered. Then come the first chart, which plotly waits for, and, after a scroll
to the end, every chart. These need playwright and Chromium, and are blank without.
Targets (20,000 rows): under 8 MB, open with the first chart in under 3 s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import conditions, in_new_process
from scale import fill, measured, write_suite
from tabulate import tabulate

CHROMIUM = "/usr/bin/chromium"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
NEXT = """() => {
    const plot = [...document.querySelectorAll(".plot")].find((plot) => !plot.querySelector("svg"));
    plot?.scrollIntoView();
    return plot === undefined;
}"""
"""Scrolls to the first chart that is not drawn; whether there is none."""


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, or None."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        yield None
        return
    with sync_playwright() as started:
        if not Path(CHROMIUM).exists():
            yield None
            return
        opened = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


def opening(chromium: Any, path: Path) -> tuple[float, float, float]:
    """Seconds until the page is open, until its first chart is drawn, and until all are."""
    page = chromium.new_context(viewport={"width": 1400, "height": 900}).new_page()
    began = time.monotonic()
    page.goto(path.as_uri())
    opened = time.monotonic() - began
    page.evaluate("document.getElementById('learning').scrollIntoView()")
    while not page.evaluate("document.querySelector('#learning .plot svg') !== null"):
        time.sleep(0.01)
    first = time.monotonic() - began
    while not page.evaluate(NEXT):
        time.sleep(0.02)
    every = time.monotonic() - began
    page.context.close()
    return opened, first, every


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[40, 120, 2_000])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rows = []
    for cells in given.cells:
        with tempfile.TemporaryDirectory() as name, browser() as chromium:
            folder, epochs = Path(name), max(1, given.rows // cells)
            in_new_process(fill, folder / "large.sqlite", write_suite(folder, cells=cells, epochs=epochs))
            command = ["html", "--db", "large.sqlite", "--out", "page.html", "--force"]
            written = [measured(command, folder) for _ in range(given.rounds)]
            wall, _, peak = (statistics.median(values) for values in zip(*written, strict=True))
            size = (folder / "page.html").stat().st_size / 1e6
            row = [f"{cells:,}", f"{cells * epochs:,}", f"{wall:.2f}", f"{peak:.0f}", f"{size:.2f}"]
            if chromium is not None:
                opened = [opening(chromium, folder / "page.html") for _ in range(given.rounds)]
                row += [f"{statistics.median(values):.2f}" for values in zip(*opened, strict=True)]
            rows.append(row)
    print(f"Medians; {conditions(given.rounds, figures='whole processes')}\n")
    head = ["cells", "epoch rows", "written after s", "peak MB", "MB", "open after s", "first chart", "every chart"]
    print(tabulate(rows, head, tablefmt="github", colalign=["right"] * len(rows[0]), disable_numparse=True))


if __name__ == "__main__":
    main()
