"""From the options of `asapbench report` to a Table or an Illustration. Only reports that need a database open it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from asapbench.analysis.comparison import Interval, PairedTest
from asapbench.analysis.rank_correlation import FEWEST
from asapbench.errors import AsapbenchError, SuiteError
from asapbench.report.certified import with_notes
from asapbench.report.compare import comparison_table
from asapbench.report.figures import FIGURES, OF_ACCURACIES, Illustration, paper_figure
from asapbench.report.figures.alignment import angle_curves
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.curves import learning_curves
from asapbench.report.figures.gradient_quality import quality_curves
from asapbench.report.forward_alignment import forward_alignment_table, readings
from asapbench.report.pairs import ComparedSuite
from asapbench.report.paper import ACCURACIES, accuracy_table, table3
from asapbench.report.published import printed_table
from asapbench.report.quantity import Angle, GradientMeasure, Metric, Quantity, Wanted
from asapbench.report.recorded import (
    chosen_notes,
    differing_plugins,
    discarded_note,
    left_out_note,
    naming_discarded,
    passing,
    recorded_certificates,
    recorded_results,
    recorded_suite,
    suites_there,
    to_run,
)
from asapbench.report.reduced import reduced_rows
from asapbench.report.selection import keys_of, read_selection, swept
from asapbench.report.statistics import Spread
from asapbench.report.suite_reports import suite_report
from asapbench.report.table import Note, Table
from asapbench.suite import plugins
from asapbench.suite.select import matching, only
from asapbench.suite.spelled import spelled

if TYPE_CHECKING:
    from asapbench.store import Outcome

SECTION = "A.2"
"""The name in `--table` of the numbers that the paper prints in the text of section A.2."""

_NAMES: dict[type, tuple[str, str]] = {
    Quantity: ("--curves", "learning curves"),
    Angle: ("--alignment", "alignment"),
    GradientMeasure: ("--gradient-quality", "gradient quality"),
}
"""The option that asks for a report by epoch, and its name in a heading."""


def report(wanted: Wanted, *, url: str) -> Table | Illustration:
    """The report that `wanted` names. Raises AsapbenchError if it names none, several, or one that cannot be made."""
    by_epoch = wanted.curves or wanted.alignment or wanted.gradient_quality
    asked = {
        "--table": wanted.table,
        "--figure": wanted.figure,
        "--curves": wanted.curves,
        "--alignment": wanted.alignment,
        "--gradient-quality": wanted.gradient_quality,
        "--tuned": wanted.tuned,
        "--suite": wanted.suite if by_epoch is None else None,
    }
    named = [option for option, value in asked.items() if value is not None]
    if wanted.reduced is not None and not named:
        raise AsapbenchError("--reduced: goes with --table: add --table 1, 2, 4 or 5")
    if len(named) != 1:
        which = f"only one of {', '.join(named)}" if named else "what to report"
        figures, known = ", ".join(map(str, FIGURES)), "" if named else suites_there(url)
        raise AsapbenchError(
            f"report: name {which}: --table (1 to 5, {SECTION}), --figure ({figures}), --curves accuracy, "
            f"--alignment weights, --gradient-quality norm-ratio, --tuned SUITE or --suite NAME{known}"
        )
    _require_fitting(wanted, named[0])
    has_spread = "--table", "--suite", "--curves", "--tuned"
    if wanted.spread is not Spread.SD and named[0] not in has_spread:
        raise AsapbenchError(f"--spread: goes with {', '.join(has_spread)}, not with {named[0]}; leave it out")
    if wanted.table is not None and wanted.reduced is None:
        return paper_table(
            wanted.table,
            url=url,
            metric=wanted.metric,
            allow_deviations=wanted.allow_deviations,
            spread=wanted.spread,
            filters=wanted.only,
        )
    if wanted.allow_deviations and wanted.figure != OF_ACCURACIES:
        other = named[0] if wanted.reduced is None else "--reduced"
        raise AsapbenchError(f"--allow-deviations: goes with --table or --figure 9, not with {other}; leave it out")
    if wanted.figure is not None:
        made = paper_figure(
            wanted.figure,
            url=url,
            metric=wanted.metric,
            allow_deviations=wanted.allow_deviations,
            filters=wanted.only,
        )
        return replace(made, table=with_options(made.table, url))
    if by_epoch is not None:
        if wanted.metric is not None:
            raise AsapbenchError("--metric: curves show every epoch; leave it out")
        return by_epoch_report(
            by_epoch, url=url, suite=wanted.suite, filters=wanted.only, spread=wanted.spread, lines=wanted.lines
        )
    of_suite = suite_report(wanted, url=url)
    if isinstance(of_suite, Table):
        return with_options(of_suite, url)
    return replace(of_suite, table=with_options(of_suite.table, url))


def _require_fitting(wanted: Wanted, named: str) -> None:
    """Raises AsapbenchError for an option that belongs to another report than the `named` one."""
    belongs = {
        "--reduced": (wanted.reduced is not None, "--table"),
        "--lines": (wanted.lines, "--alignment"),
        "--select": (wanted.select is not None, "--suite"),
        "--ranks": (wanted.ranks, "--suite"),
        "--pareto": (wanted.pareto is not None, "--suite"),
        "--time-to": (wanted.time_to is not None, "--suite"),
        "--budget": (wanted.budget, "--tuned"),
    }
    for option, (given, report_option) in belongs.items():
        if given and named != report_option:
            raise AsapbenchError(f"{option}: goes with {report_option}, not with {named}; leave it out")
    for option, given in {"--target": wanted.target is not None, "--profile": wanted.profile}.items():
        if given and wanted.time_to is None:
            raise AsapbenchError(f"{option}: goes with --time-to: add --time-to epochs, seconds or accesses")


def paper_table(
    table: str,
    *,
    url: str,
    metric: Metric | None = None,
    allow_deviations: bool = False,
    spread: Spread = Spread.SD,
    filters: Sequence[str] = (),
) -> Table:
    """Printed table `table` (1 to 5, or A.2 for the numbers of that section) from the database at `url`.

    Its measured numbers are those of cells that pass the filters. Table 3 needs no database. Without one, the others
    show the published numbers alone. `metric` is by default the paper's. Raises AsapbenchError for an unknown table,
    StoreError for a named database that does not exist, SuiteError for a filter that no cell passes.
    """
    table, chosen = table.upper(), metric or Metric.BEST
    if table == "3" and metric is not None:
        raise AsapbenchError("--metric: Table 3 holds learning rates, which have no metric; leave it out")
    if table == "3" and allow_deviations:
        raise AsapbenchError("--allow-deviations: Table 3 holds the suites' own learning rates; leave it out")
    if table == "3" and spread is not Spread.SD:
        raise AsapbenchError("--spread: Table 3 holds learning rates, which have no spread; leave it out")
    if table == SECTION and allow_deviations:
        raise AsapbenchError(f"--allow-deviations: {SECTION} has readings, each in a row of its own; leave it out")
    if table == "3" and filters:
        raise AsapbenchError("--only: Table 3 holds the suites' learning rates, and no result; leave it out")
    if table == "3":
        return table3()
    if table == SECTION:
        results, notes = recorded_results(url, filters, of=[cell for one in readings() for cell in one.cells])
        made = forward_alignment_table(results, metric=chosen, spread=spread)
    elif table in map(str, ACCURACIES):
        of = [reference.cell for reference in printed_table(int(table)).references]
        results, notes = recorded_results(url, filters, of=of)
        made = accuracy_table(int(table), results, metric=chosen, allow_deviations=allow_deviations, spread=spread)
        made = replace(made, notes=(*made.notes, *_reduced_note(int(table), results, url)))
    else:
        raise AsapbenchError(f"--table {table}: the paper has no such table; there are 1 to 5, and {SECTION}")
    made = replace(made, notes=(*made.notes, *notes))
    return with_options(with_notes(made, recorded_certificates(url)), url)


def _reduced_note(table: int, results: Sequence[Outcome], url: str) -> list[Note]:
    """The commands that show an order of what is smaller than the table's cells, and else the same."""
    from asapbench.store import Store

    one_seed = list({outcome.cell.group: outcome for outcome in results}.values())
    rows = reduced_rows(table, [outcome.cell for outcome in one_seed], one_seed)
    measured = [{row.cells[place].stored_id for place in row.means} for row in rows if len(row.means) >= FEWEST]
    if not measured:
        return []
    with Store.read_only(url) as store:
        known = store.suites_of(sorted(set.union(*measured)))
    suites = [suite for suite, cells in known.items() if any(len(cells & row) >= FEWEST for row in measured)]
    commands = [f"asapbench report --table {table} --reduced {shlex.quote(suite)}" for suite in suites]
    return [Note("Smaller trainings, by their order and gaps:", tuple(commands))] if commands else []


def comparison(
    rules: tuple[str, str],
    *,
    url: str,
    suites: Sequence[str] = (),
    filters: Sequence[str] = (),
    metric: Metric | None = None,
    test: PairedTest = PairedTest.T,
    interval: Interval = Interval.T,
    select: str | None = None,
) -> Table:
    """Two rules beside each other, in the `suites`, by name or file, or in all of the database; cells pass the filters.

    `metric` defaults to the last epoch. `select` names swept settings of which one value is chosen for each rule.
    Raises SuiteError for an unknown rule, a filter that no cell passes or a setting that was not swept, AsapbenchError
    where no configuration has both rules, StoreError for a database or a suite that does not exist.
    """
    from asapbench.store import Store

    chosen, named = metric or Metric.LAST, {spelled("rule", text)[0] for text in rules}
    with Store.read_only(url) as store, ExitStack() as causes:
        asked = suites or [record.name for record in store.suites()]
        known = [recorded_suite(store, suite) for suite in asked]
        read = [store.suite_outcomes(one.name) for one in known]
        discarded = [cell for one in known for cell in store.discarded_cells(suite=one.name)]
        number = len({cell.stored_id for cell in matching(discarded, filters) if cell.rule.name in named})
        causes.enter_context(
            naming_discarded(store, filters, suites=suites and [one.name for one in known], rules=named)
        )
        every = only([cell for found in read for cell in found.cells], filters)
        wanted, keys = {cell.stored_id for cell in every}, () if select is None else keys_of(select, swept(every))
        compared, notes = [], []
        for suite, one, found in zip(asked, known, read, strict=True):
            own = [cell for cell in found.cells if cell.stored_id in wanted]
            results = [outcome for outcome in found.outcomes if outcome.cell.stored_id in wanted]
            selection, run = None, to_run(one, suite)
            if keys and (of_rules := [cell for cell in own if cell.rule.name in named]):
                selection, why_not = read_selection(store, of_rules, results, keys, metric=chosen, suite=run)
                notes += why_not
            compared.append(ComparedSuite(one.title, run, own, results, selection))
        unreadable = {cell: label for found in read for cell, label in found.unreadable.items()}
        every_result = [result for one in compared for result in one.results]
        notes += [*left_out_note(list(unreadable.values())), *differing_plugins(store, every_result)]
        notes += discarded_note(number, suites=suites)
        table = comparison_table(compared, rules, metric=chosen, test=test, interval=interval)
    return with_options(replace(table, notes=(*table.notes, *notes)), url)


def by_epoch_report(
    shown: Quantity | Angle | GradientMeasure,
    *,
    url: str,
    suite: str | None = None,
    filters: Sequence[str] = (),
    spread: Spread = Spread.SD,
    lines: bool = False,
) -> Illustration:
    """Learning curves, angles or gradient quality of the cells of a suite, by its name or file, or of all cells.

    The cells are those that pass the filters.

    Raises SuiteError without suite and filters or if no cell passes, AsapbenchError if nothing is recorded, StoreError
    for a database or a suite that does not exist.
    """
    from asapbench.store import Store

    option, words = _NAMES[type(shown)]
    if suite is None and not filters:
        raise SuiteError(f"{option}: name a suite with --suite, or cells with --only, as in --only cell=744498a257")
    with Store.read_only(url) as store, ExitStack() as causes:
        known = None if suite is None else recorded_suite(store, suite)
        causes.enter_context(naming_discarded(store, filters, suites=[known.name] if known else []))
        heading = f"{known.title}, {words}" if known else words.capitalize()
        results = passing(store.results(suite=known.name if known else None), filters)
        if isinstance(shown, Quantity):
            epochs = [Recorded(result, store.epochs(result.attempt.lineage)) for result in results]
            figure = learning_curves(epochs, quantity=shown, heading=heading, spread=spread)
        elif isinstance(shown, GradientMeasure):
            compared = [Recorded(result, store.gradient_quality(result.attempt.lineage)) for result in results]
            figure = quality_curves(compared, measure=shown, heading=heading)
        else:
            angles = [Recorded(result, store.alignment(result.attempt.lineage)) for result in results]
            figure = angle_curves(angles, angle=shown, heading=heading, lines=lines)
        if known is None:
            unreadable = [f"cell {one[:10]}" for one in store.unreadable_cells()]
        else:
            unreadable = list(store.readable_cells(known.name)[1].values())
        notes = [*left_out_note(unreadable), *differing_plugins(store, results)]
        notes += chosen_notes(store, filters, suite=known.name if known else None)
    table = replace(figure.table, notes=(*figure.table.notes, *notes))
    return replace(figure, table=with_options(table, url))


def with_options(table: Table, url: str) -> Table:
    """The table; its commands name the plug-ins, and the database if it is not the default one.

    Of the measured results that come with asapbench it says so.
    """
    from asapbench.store.records import IS_MEASURED, MEASURED_URL, db_option

    table = with_option(table, f"{plugins.options()}{db_option(url)}")
    if url != MEASURED_URL:
        return table
    if table.title:
        return replace(table, caption=f"{IS_MEASURED} {table.caption}")
    return replace(table, notes=(Note(IS_MEASURED), *table.notes))


def with_option(table: Table, option: str) -> Table:
    """The table; its commands end in `option`."""
    from asapbench.store import to_paste

    notes = [replace(note, commands=to_paste(note.commands, option)) for note in table.notes]
    return replace(table, notes=tuple(notes))
