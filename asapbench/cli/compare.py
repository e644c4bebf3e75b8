"""`asapbench compare`: parse, call, print."""

from __future__ import annotations

from typing import Annotated

import typer

from asapbench.analysis.comparison import Interval, PairedTest
from asapbench.cli.options import Db, Form, Only, Out, with_measured
from asapbench.cli.settings import declared, with_settings
from asapbench.report.layout import Layout
from asapbench.report.quantity import Metric, Numbers
from asapbench.store import DEFAULT_URL

_Rule = typer.Argument(metavar="RULE", help="A rule, with options as in 'asap(k=4)'.")


@with_measured
@with_settings()
def compare(
    first: Annotated[str, _Rule],
    second: Annotated[str, _Rule],
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", metavar="SUITE", help="A suite, by name or file. Repeatable. [default: all]"),
    ] = None,
    only: Only = None,
    metric: Annotated[Metric, typer.Option("--metric", help="Epoch whose test accuracy is compared.")] = Metric.LAST,
    test: Annotated[
        PairedTest, typer.Option("--test", help="Test of the paired differences: t-test or signed ranks.")
    ] = PairedTest.T,
    interval: Annotated[
        Interval, typer.Option("--interval", help="Interval of the mean difference: t distribution or bootstrap.")
    ] = Interval.T,
    select: Annotated[str | None, declared(Numbers, "select")] = None,
    form: Form = None,
    out: Out = None,
    db: Db = DEFAULT_URL,
    *,
    layout: Layout,
) -> None:
    """Test whether two rules differ, by differences paired by seed.

    A row for each configuration that both have: mean difference, 95 % interval, p, p corrected by Holm for all rows,
    and the answer in words.

    Example: asapbench compare asap dfa --suite quickstart
    """
    from asapbench.report.build import comparison
    from asapbench.report.out import deliver

    table = comparison(
        (first, second),
        url=db,
        suites=suite or (),
        filters=only or (),
        metric=metric,
        test=test,
        interval=interval,
        select=select,
    )
    deliver(table, form=form, out=out, layout=layout)
