"""`asapbench report`: parse, call, print."""

from __future__ import annotations

from typing import Annotated

import typer

from asapbench.cli.options import Db, Form, Only, Out
from asapbench.report.quantity import Angle, Metric, Quantity
from asapbench.store import DEFAULT_URL


def report(
    table: Annotated[
        str | None,
        typer.Option("--table", help="A table of the paper, 1 to 5, or A.2: measured and published."),
    ] = None,
    figure: Annotated[
        int | None,
        typer.Option("--figure", help="A figure of the paper, 6, 9, 10 or 11: its numbers, or with --out its picture."),
    ] = None,
    curves: Annotated[
        Quantity | None,
        typer.Option("--curves", help="Learning curves of a suite's cells, or of all, that match --only."),
    ] = None,
    alignment: Annotated[
        Angle | None,
        typer.Option(
            "--alignment", help="Each layer's angle by epoch, of a suite's cells, or of all, that match --only."
        ),
    ] = None,
    only: Only = None,
    suite: Annotated[str | None, typer.Option("--suite", help="A suite, by name or file: rules side by side.")] = None,
    metric: Annotated[
        Metric | None,
        typer.Option(
            "--metric",
            help="Epoch whose test accuracy is shown: last, best test epoch (the paper's convention), or best "
            "validation epoch. Default: best for tables, last for suites.",
        ),
    ] = None,
    form: Form = None,
    out: Out = None,
    db: Db = DEFAULT_URL,
    allow_deviations: Annotated[
        bool,
        typer.Option(
            "--allow-deviations", help="Also show cells that deviate from the shipped suites, with footnotes."
        ),
    ] = False,
) -> None:
    """Show tables and figures of measured and published results."""
    from asapbench.report.build import Wanted
    from asapbench.report.build import report as made
    from asapbench.report.out import deliver

    wanted = Wanted(
        table=table,
        figure=figure,
        suite=suite,
        curves=curves,
        alignment=alignment,
        only=tuple(only or ()),
        metric=metric,
        allow_deviations=allow_deviations,
    )
    deliver(made(wanted, url=db), form=form, out=out)
