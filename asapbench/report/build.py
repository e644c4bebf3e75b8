"""From what the user asked for to a Table or an Illustration. The database is opened only where one is needed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from asapbench.errors import AsapbenchError
from asapbench.report.figures import Illustration, paper_figure
from asapbench.report.forward_alignment import forward_alignment_table
from asapbench.report.learning_rates import table3
from asapbench.report.metric import Metric
from asapbench.report.paper import ACCURACIES, accuracy_table
from asapbench.report.suite import suite_table
from asapbench.report.table import Table
from asapbench.suite.load import Suite, load, shipped
from asapbench.suite.options import nearest

SECTION = "A.2"
"""What `--table` calls the numbers of section A.2, which the paper prints in its text."""


@dataclass(frozen=True)
class Wanted:
    """What `asapbench report` was asked for: one of `table`, `figure` and `suite`."""

    table: str | None = None
    figure: int | None = None
    suite: str | None = None
    metric: Metric | None = None
    allow_deviations: bool = False


def report(wanted: Wanted, *, url: str) -> Table | Illustration:
    """What is wanted. Raises AsapbenchError where that is nothing, more than one thing, or not to be had."""
    asked = {"--table": wanted.table, "--figure": wanted.figure, "--suite": wanted.suite}
    named = [option for option, value in asked.items() if value is not None]
    if len(named) != 1:
        which = f"one of {' and '.join(named)}, not both" if named else "what to report"
        raise AsapbenchError(f"report: name {which}: --table 1, --figure 11 or --suite NAME")
    if wanted.table is not None:
        return paper_table(wanted.table, url=url, metric=wanted.metric, allow_deviations=wanted.allow_deviations)
    if wanted.allow_deviations:
        raise AsapbenchError(f"--allow-deviations: goes with --table, not with {named[0]}; leave it out")
    if wanted.figure is not None:
        made = paper_figure(wanted.figure, url=url, metric=wanted.metric)
        return replace(made, table=_naming(made.table, url))
    return suite_report(wanted.suite or "", url=url, metric=wanted.metric)


def paper_table(table: str, *, url: str, metric: Metric | None = None, allow_deviations: bool = False) -> Table:
    """Printed table `table` (1 to 5, or A.2 for that section's numbers) from the database at `url`.

    Table 3 needs no database. `metric` defaults to the paper's. Raises AsapbenchError for a table there is not,
    StoreError for a database there is not.
    """
    if table == "3":
        if metric is not None:
            raise AsapbenchError("--metric: Table 3 holds learning rates, which have no metric; leave it out")
        return table3()
    if table not in (*map(str, ACCURACIES), SECTION):
        raise AsapbenchError(f"--table {table}: the paper has no such table; there are 1 to 5, and {SECTION}")
    if table == SECTION and allow_deviations:
        raise AsapbenchError(f"--allow-deviations: {SECTION} has readings, each in a row of its own; leave it out")
    from asapbench.store import Store

    with Store.read_only(url) as store:
        results = store.results()
    chosen = metric or Metric.BEST
    if table == SECTION:
        made = forward_alignment_table(results, metric=chosen)
    else:
        made = accuracy_table(int(table), results, metric=chosen, allow_deviations=allow_deviations)
    return _naming(made, url)


def suite_report(suite: str, *, url: str, metric: Metric | None = None) -> Table:
    """The report of a suite, by its name or file, from the database at `url`. `metric` defaults to the last epoch.

    Raises AsapbenchError where the database holds nothing of it, StoreError for a database there is not.
    """
    from asapbench.store import Store

    file = _suite_file(suite)
    name = file.name if file else suite
    with Store.read_only(url) as store:
        cells, results = store.suite_cells(name), store.results(suite=name)
    if not cells:
        run = f"asapbench run {suite}" if file else "asapbench run FILE"
        near = "" if file else nearest(suite, shipped())
        raise AsapbenchError(f'--suite {suite}: the database holds nothing of suite "{name}"{near}; to train it: {run}')
    return _naming(suite_table(name, cells, results, metric=metric or Metric.LAST, shipped=file), url)


def _naming(table: Table, url: str) -> Table:
    """The table, its commands naming the database they are about where that is not the usual one."""
    from asapbench.store import DEFAULT_URL

    if url == DEFAULT_URL:
        return table
    option = f" --db {shlex.quote(url)}"
    notes = [replace(note, commands=tuple(command + option for command in note.commands)) for note in table.notes]
    return replace(table, notes=tuple(notes))


def _suite_file(suite: str) -> Suite | None:
    return load(suite) if Path(suite).is_file() or suite in shipped() else None
