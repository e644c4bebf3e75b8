"""`asapbench data`: list, fetch and verify data sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import CatalogCommand, with_plugins
from asapbench.cli.text import print_table, printing_is_optional, say
from asapbench.data.files import data_root, fix
from asapbench.errors import DataError
from asapbench.streams import is_terminal

if TYPE_CHECKING:
    from asapbench.data.prepare import Received
    from asapbench.data.published import Published

app = typer.Typer(name="data", help="List, fetch and verify data sets.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Folder of the data sets; else ASAPBENCH_DATA, else ./data.", show_default=False
    ),
]
HEADERS = ("name", "training + test", "images", "classes", "here")


@app.command("list", cls=CatalogCommand)
@with_plugins
def list_(data: Folder = None) -> None:
    """List the data sets, their size, and whether they are here.

    This checks names and sizes of files; `verify` reads every byte.
    """
    from asapbench.data.lookup import published

    root = data_root(data)
    say(f"Data sets in {root}; `asapbench data prepare NAME` fetches one")
    rows = [
        (d.name, f"{d.train:,} + {d.test:,}", f"{d.channels}x{d.size}x{d.size}", str(d.classes), _here(d, root))
        for d in published()
    ]
    print_table(HEADERS, rows, left=("name", "here"))


@app.command(cls=CatalogCommand)
@with_plugins
def prepare(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Data sets, as `list` names them.")],
    data: Folder = None,
) -> None:
    """Download data sets once, verify and unpack them. Files that are here and right are not touched.

    Example: asapbench data prepare mnist
    """
    from asapbench.data.lookup import published_set
    from asapbench.data.prepare import prepare as fetch

    root = data_root(data)
    wanted = [published_set(name) for name in names]
    printing_is_optional()
    for dataset in wanted:
        with _progress(dataset.name) as received:
            fetch(dataset, root, say=say, received=received)
        say(f"{dataset.name}: complete")


@app.command(cls=CatalogCommand)
@with_plugins
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Data sets; all that are here if none is named."),
    ] = None,
    data: Folder = None,
) -> None:
    """Verify every byte of data sets against published checksums."""
    from asapbench.data.lookup import published, published_set
    from asapbench.data.prepare import verify as examine

    root = data_root(data)
    wanted = [published_set(name) for name in names] if names else published()
    wrong = []
    for dataset in wanted:
        verdict = examine(dataset, root)
        say(f"{dataset.name}: {verdict.state}" + (f" ({verdict.faults})" if verdict.state == "damaged" else ""))
        if verdict.state == "damaged" or (names and verdict.state == "missing"):
            wrong.append(dataset.name)
    if wrong:
        raise DataError(f"{', '.join(wrong)}: not complete as published: {fix(' '.join(wrong), root)}")


def _here(dataset: Published, root: Path) -> str:
    if dataset.folder(root) is None:
        return "built in"
    found = dataset.faults(dataset.choose(), root)
    if not found:
        return "yes"
    if (part := dataset.part_there(root)) is not None:
        return f"in part: {dataset.changed(part)}"
    return "no" if dataset.is_absent(found, root) else f"incomplete ({len(found)} files)"


@contextmanager
def _progress(name: str) -> Iterator[Received]:
    """A bar during a download, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not is_terminal(sys.stderr)) as progress:
        bar = progress.add_task(name, total=None, visible=False)
        yield lambda done, total: progress.update(bar, completed=done, total=total, visible=True)
