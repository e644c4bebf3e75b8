"""`asapbench report`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asapbench.cli.options import Db
from asapbench.report.metric import Metric
from asapbench.report.render import Format
from asapbench.store import DEFAULT_URL


def report(
    table: Annotated[
        int | None, typer.Option("--table", help="A table of the paper, measured beside published.")
    ] = None,
    suite: Annotated[str | None, typer.Option("--suite", help="A suite, by name or file: rules side by side.")] = None,
    metric: Annotated[
        Metric | None,
        typer.Option(
            "--metric",
            help="Epoch whose test accuracy is shown: last, best test epoch (the paper's convention), or best "
            "validation epoch. If left out: best for tables, last for suites.",
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="What the report is written as.")] = Format.TERMINAL,
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file, whole or not at all.")] = None,
    db: Db = DEFAULT_URL,
    allow_deviations: Annotated[
        bool,
        typer.Option(
            "--allow-deviations", help="Also show cells that deviate from the shipped suites, with footnotes."
        ),
    ] = False,
) -> None:
    """Report measured accuracies with spread and sample count, beside the published numbers."""
    from asapbench.errors import AsapbenchError
    from asapbench.report.build import paper_table, suite_report
    from asapbench.report.out import show, write_whole
    from asapbench.report.render import render

    if table is not None and suite is None:
        made = paper_table(table, url=db, metric=metric, allow_deviations=allow_deviations)
    elif suite is not None and table is None:
        if allow_deviations:
            raise AsapbenchError("--allow-deviations: a suite's report shows deviating cells anyway; leave it out")
        made = suite_report(suite, url=db, metric=metric)
    else:
        both = "one of them, not both" if table is not None else "what to report"
        raise AsapbenchError(f"report: name {both}: --table 1, --table 3 or --suite NAME")
    if out is None:
        show(made, form)
    else:
        write_whole(out, render(made, form))
