"""`html`: write the page of a database."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from asapbench.cli.options import Db, Only, with_measured
from asapbench.cli.settings import with_settings
from asapbench.cli.text import printing_is_optional, say, size
from asapbench.report.quantity import USUAL, Numbers
from asapbench.store import DEFAULT_URL


@with_measured
@with_settings()
def html(
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="SUITE", help="Suites that the database knows. [default: all]")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")] = Path("report.html"),
    numbers: Numbers = USUAL,
    only: Only = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.")] = False,
    db: Db = DEFAULT_URL,
) -> None:
    """Write one HTML file with tables, charts and every cell.

    It opens from disk in any browser and needs no network: tables with published numbers, learning curves to filter,
    angles and gradients by layer, speed, memory, failures with their reasons, hardware, versions, and the command that
    trains each cell.
    """
    from asapbench import durable
    from asapbench.report.out import write_whole
    from asapbench.report.page import page

    printing_is_optional()
    durable.check_place(out, f"--out {out}", replace=force)
    write_whole(out, page(db, suites=suites or (), filters=only or (), numbers=numbers, say=partial(say, err=True)))
    say(f"{out}: {size(out.stat().st_size)}; open it in a browser")
