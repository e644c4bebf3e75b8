"""From what the user asked for to a Table or an Illustration. The database is opened only where one is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from asapbench.errors import AsapbenchError, SuiteError
from asapbench.report.figures import FIGURES, OF_ACCURACIES, Illustration, paper_figure
from asapbench.report.figures.alignment import angle_curves
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.curves import learning_curves
from asapbench.report.forward_alignment import forward_alignment_table
from asapbench.report.learning_rates import table3
from asapbench.report.paper import ACCURACIES, accuracy_table
from asapbench.report.quantity import Angle, Metric, Quantity
from asapbench.report.recorded import differing_plugins, recorded_results, recorded_suite
from asapbench.report.suite import suite_table
from asapbench.report.table import Note, Table
from asapbench.suite.plugins import lacking
from asapbench.suite.select import only

SECTION = "A.2"
"""What `--table` calls the numbers of section A.2, which the paper prints in its text."""


@dataclass(frozen=True)
class Wanted:
    """What `asapbench report` was asked for: one of `table`, `figure` and `suite`, or `curves` or `alignment` of cells.

    The cells are those of `suite`, all where there is none, that pass the filters `only`.
    """

    table: str | None = None
    figure: int | None = None
    suite: str | None = None
    curves: Quantity | None = None
    alignment: Angle | None = None
    only: tuple[str, ...] = ()
    metric: Metric | None = None
    allow_deviations: bool = False


def report(wanted: Wanted, *, url: str) -> Table | Illustration:
    """What is wanted. Raises AsapbenchError where that is nothing, more than one thing, or not to be had."""
    asked = {
        "--table": wanted.table,
        "--figure": wanted.figure,
        "--curves": wanted.curves,
        "--alignment": wanted.alignment,
        "--suite": wanted.suite if wanted.curves is None and wanted.alignment is None else None,
    }
    named = [option for option, value in asked.items() if value is not None]
    if len(named) != 1:
        which = f"only one of {', '.join(named)}" if named else "what to report"
        figures = ", ".join(map(str, FIGURES))
        raise AsapbenchError(
            f"report: name {which}: --table (1 to 5, {SECTION}), --figure ({figures}), --curves accuracy, "
            "--alignment weights or --suite NAME"
        )
    by_epoch = wanted.curves or wanted.alignment
    if wanted.only and by_epoch is None:
        raise AsapbenchError(f"--only: goes with --curves or --alignment, not with {named[0]}; leave it out")
    if wanted.table is not None:
        return paper_table(wanted.table, url=url, metric=wanted.metric, allow_deviations=wanted.allow_deviations)
    if wanted.allow_deviations and wanted.figure != OF_ACCURACIES:
        raise AsapbenchError(f"--allow-deviations: goes with --table or --figure 9, not with {named[0]}; leave it out")
    if wanted.figure is not None:
        made = paper_figure(wanted.figure, url=url, metric=wanted.metric, allow_deviations=wanted.allow_deviations)
        return replace(made, table=_naming(made.table, url))
    if by_epoch is not None:
        if wanted.metric is not None:
            raise AsapbenchError("--metric: curves show every epoch; leave it out")
        return by_epoch_report(by_epoch, url=url, suite=wanted.suite, filters=wanted.only)
    return suite_report(wanted.suite or "", url=url, metric=wanted.metric)


def paper_table(table: str, *, url: str, metric: Metric | None = None, allow_deviations: bool = False) -> Table:
    """Printed table `table` (1 to 5, or A.2 for that section's numbers) from the database at `url`.

    Table 3 needs no database, and the others are shown as published before there is any. `metric` defaults to the
    paper's. Raises AsapbenchError for a table there is not, StoreError for a database that was named and is not there.
    """
    table = table.upper()
    if table == "3":
        if metric is not None:
            raise AsapbenchError("--metric: Table 3 holds learning rates, which have no metric; leave it out")
        if allow_deviations:
            raise AsapbenchError("--allow-deviations: Table 3 holds the suites' own learning rates; leave it out")
        return table3()
    if table not in (*map(str, ACCURACIES), SECTION):
        raise AsapbenchError(f"--table {table}: the paper has no such table; there are 1 to 5, and {SECTION}")
    if table == SECTION and allow_deviations:
        raise AsapbenchError(f"--allow-deviations: {SECTION} has readings, each in a row of its own; leave it out")
    results = recorded_results(url)
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

    with Store.read_only(url) as store:
        known = recorded_suite(store, suite)
        (cells, unreadable), results = store.readable_cells(known.name), store.results(suite=known.name)
        notes = [Note(lacking(unreadable))] if unreadable else []
        notes += differing_plugins(store, results)
    table = suite_table(
        known.name,
        cells,
        results,
        heading=known.title,
        metric=metric or Metric.LAST,
        file=known.file,
        notes=(*known.notes, *notes),
    )
    return _naming(table, url)


def by_epoch_report(
    shown: Quantity | Angle, *, url: str, suite: str | None = None, filters: Sequence[str] = ()
) -> Illustration:
    """Learning curves or angles of the cells of a suite, by its name or file, or of all, that pass the filters.

    Raises SuiteError where neither is given or a filter passes none, AsapbenchError where nothing is recorded,
    StoreError for a database or a suite there is not.
    """
    from asapbench.store import Store

    option, words = ("--curves", "learning curves") if isinstance(shown, Quantity) else ("--alignment", "alignment")
    if suite is None and not filters:
        raise SuiteError(f"{option}: name a suite with --suite, or cells with --only, as in --only cell=744498a257")
    with Store.read_only(url) as store:
        known = None if suite is None else recorded_suite(store, suite)
        heading = f"{known.title}, {words}" if known else words.capitalize()
        results = store.results(suite=known.name if known else None)
        chosen = {cell.id for cell in only([result.cell for result in results], filters)} if results else set()
        kept = [(result, result.attempt.lineage) for result in results if result.cell.id in chosen]
        if isinstance(shown, Quantity):
            trained = [Recorded(result, store.epochs(lineage)) for result, lineage in kept]
            return learning_curves(trained, quantity=shown, heading=heading)
        angled = [Recorded(result, store.alignment(lineage)) for result, lineage in kept]
        return angle_curves(angled, angle=shown, heading=heading)


def _naming(table: Table, url: str) -> Table:
    """The table, its commands naming the database they are about where that is not the usual one."""
    from asapbench.store import db_option

    option = db_option(url)
    notes = [replace(note, commands=tuple(command + option for command in note.commands)) for note in table.notes]
    return replace(table, notes=tuple(notes))
