"""`asapbench data`: what data sets there are, fetch them, verify them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Command
from asapbench.cli.text import printing_is_optional, say
from asapbench.data import files
from asapbench.errors import DataError
from asapbench.escape import visible
from asapbench.suite.catalog import DATASETS, DatasetEntry

if TYPE_CHECKING:
    from asapbench.data.prepare import Received

app = typer.Typer(help="Data sets: list, fetch and verify them.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the data sets; else ASAPBENCH_DATA, else ./data.", show_default=False),
]
HEADERS = ("name", "data set", "images", "here", "where")


@app.command("list", cls=Command)
def list_(data: Folder = None) -> None:
    """Each data set: what it is, its size, whether it is here (by file sizes; `verify` reads every byte)."""
    root = files.data_root(data)
    rows = [(entry.name, entry.title, _images(entry), _here(entry, root), _where(entry, root)) for entry in _entries()]
    _print_table(rows)


@app.command(cls=Command)
def prepare(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Data sets, as `list` names them.")],
    data: Folder = None,
) -> None:
    """Download data sets once, verify and unpack them. What is here and right is left alone."""
    root = files.data_root(data)
    for name in names:
        files.known(name)
    from asapbench.data.prepare import prepare as fetch

    printing_is_optional()
    for name in names:
        with _progress(name) as received:
            fetch(name, root, say=say, received=received)
        say(f"{name}: complete")


@app.command(cls=Command)
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Data sets; all that are here if none is named."),
    ] = None,
    data: Folder = None,
) -> None:
    """Read every byte of data sets and compare it with what was published."""
    root = files.data_root(data)
    for name in names or ():
        files.known(name)
    from asapbench.data.prepare import verify as examine

    wrong = []
    for name in names or DATASETS:
        verdict = examine(name, root)
        say(f"{name}: {verdict.state}" + (f" ({verdict.faults})" if verdict.state == "damaged" else ""))
        if verdict.state == "damaged" or (names and verdict.state == "missing"):
            wrong.append(name)
    if wrong:
        raise DataError(f"{', '.join(wrong)}: not complete as published: {files.mend(' '.join(wrong), root)}")


def _entries() -> list[DatasetEntry]:
    return list(DATASETS.values())


def _images(entry: DatasetEntry) -> str:
    shape = f"{entry.channels}x{entry.size}x{entry.size}"
    return f"{entry.train:,} + {entry.test:,} of {shape}, {entry.classes} classes"


def _here(entry: DatasetEntry, root: Path) -> str:
    from asapbench.data import tiny_imagenet

    if not files.FILES.get(entry.name, (None,)):
        return "built in"
    found = files.faults(entry.choose(), root)
    if not found:
        return "yes"
    if entry.name == "tiny_imagenet" and (classes := tiny_imagenet.complete_classes(root)):
        return f"the first {classes} classes"
    return "no" if files.nothing_there(entry.name, found) else f"incomplete ({len(found)} files)"


def _where(entry: DatasetEntry, root: Path) -> str:
    folder = files.locate(entry.name, root)
    return "with scikit-learn" if folder is None else str(folder)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """A table on a terminal; aligned plain text, one line a row, anywhere else."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        from tabulate import tabulate

        say(tabulate(rows, headers=HEADERS, tablefmt="plain", disable_numparse=True))
        return
    table = Table(*HEADERS)
    for row in rows:
        table.add_row(*(Text(visible(text)) for text in row))
    console.print(table)


@contextmanager
def _progress(name: str) -> Iterator[Received]:
    """A bar while a download goes on; nothing where no one watches."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(name, total=None, visible=False)
        yield lambda done, total: progress.update(bar, completed=done, total=total, visible=True)
