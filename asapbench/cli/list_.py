"""`list`: the cells of the database, one a line."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated

import typer

from asapbench.cli.options import Db, Form, Only, Out, joined, with_measured
from asapbench.cli.settings import declared
from asapbench.report.layout import Layout
from asapbench.report.quantity import Sorting
from asapbench.store import DEFAULT_URL
from asapbench.streams import is_terminal

_LIMIT = 40
"""Cells that a terminal shows by default."""


@with_measured
def list_(
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="SUITE", help="Suites that the database knows. [default: all]")
    ] = None,
    only: Only = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE[,STATE]",
            help="Only cells that are pending, running, done, diverged, failed, out_of_memory, interrupted, outdated "
            "or discarded. Repeatable. [default: all but discarded]",
        ),
    ] = None,
    sort: Annotated[
        Sorting | None,
        typer.Option(help="Sort: the largest number, the newest age first. [default: the order of the suites]"),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help=f"At most N cells, 0: all. [default: {_LIMIT} on a terminal, else all]"),
    ] = None,
    digits: Annotated[int | None, declared(Layout, "digits")] = None,
    form: Form = None,
    out: Out = None,
    db: Db = DEFAULT_URL,
) -> None:
    """List cells with state, accuracy, epochs, time and age. Short: `asapbench ls`.

    Example: asapbench list --state done --sort accuracy
    """
    from asapbench.report.build import with_options
    from asapbench.report.listing import Wanted, cells_table, states_of
    from asapbench.report.out import STANDARD_OUTPUT, chosen_format, deliver
    from asapbench.report.render import Format
    from asapbench.store import Store

    chosen = chosen_format(form, out) or Format.TERMINAL
    is_printed = out in (None, STANDARD_OUTPUT) and chosen is Format.TERMINAL
    on_terminal = is_printed and is_terminal(sys.stdout)
    most = limit if limit is not None else _LIMIT if on_terminal else 0
    wanted = Wanted(
        suites=suites or (),
        filters=only or (),
        states=states_of(joined(state)) if state else (),
        sort=sort,
        reverse=reverse,
        limit=most or None,
        digits=digits,
    )
    width = shutil.get_terminal_size().columns if on_terminal else None
    with Store.read_only(db) as store:
        table = cells_table(store, wanted, form=chosen, width=width)
    deliver(with_options(table, db), form=form, out=out, is_uncut=True)
