"""Reports of one suite: what they read from the database, and the kinds that the options ask for."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asapbench.errors import AsapbenchError
from asapbench.report.certified import with_notes
from asapbench.report.commands import commands_to_train
from asapbench.report.configuration import counted
from asapbench.report.controls import Memory
from asapbench.report.cost import costs, counted_peak, gpu_peaks
from asapbench.report.figures import Illustration
from asapbench.report.figures.budget import budget_figure
from asapbench.report.figures.pareto import pareto_figure
from asapbench.report.figures.profile import profile_figure
from asapbench.report.figures.ranks import ranks_figure
from asapbench.report.paper import ACCURACIES
from asapbench.report.quantity import Metric, Wanted
from asapbench.report.recorded import (
    RecordedSuite,
    chosen_notes,
    current_certificates,
    differing_plugins,
    left_out_note,
    naming_discarded,
    passing,
    recorded_suite,
    to_run,
)
from asapbench.report.reduced import SIZES, reduced_rows, reduced_table
from asapbench.report.selection import Selection, keys_of, read_selection, swept
from asapbench.report.statistics import Spread
from asapbench.report.suite import Layout, layout_of, suite_table, unfinished
from asapbench.report.table import Note, Table
from asapbench.report.time_to import time_table, timed, timed_cells, untimed
from asapbench.report.tuned import read_tuned, tuned_table
from asapbench.store.records import FINAL
from asapbench.suite import plugins
from asapbench.suite.load import load, shipped
from asapbench.suite.select import matching, only
from asapbench.suite.target import Target, checked_target

if TYPE_CHECKING:
    from asapbench.store import Outcome, Store
    from asapbench.suite.cell import Cell


_FEW = 3
"""Commands that a reader pastes one by one; more become one that names each cell."""


def suite_report(wanted: Wanted, *, url: str) -> Table | Illustration:
    """The report of the cells of a suite, by its name or file, that pass the filters, from the database at `url`.

    Raises SuiteError for a setting that was not swept or a filter that no cell passes, AsapbenchError if the database
    holds nothing of the suite or too little for the report, StoreError for a database that does not exist.
    """
    from asapbench.store import Store

    kinds = [
        (wanted.tuned is not None, _tuned),
        (wanted.reduced is not None, _reduced),
        (wanted.time_to is not None, _times),
        (wanted.pareto is not None, _pareto),
        (wanted.ranks, _ranks),
        (True, _accuracies),
    ]
    if wanted.time_to is not None:
        _require_times_alone(wanted)
    elif wanted.ranks and wanted.pareto:
        raise AsapbenchError("--pareto: goes without --ranks, which is another report; leave one out")
    make = next(make for is_asked, make in kinds if is_asked)
    with Store.read_only(url) as store:
        return make(store, wanted)


def _require_times_alone(wanted: Wanted) -> None:
    """Raises AsapbenchError for options that say something of accuracies beside `--time-to`."""
    others = {
        "--metric": (wanted.metric is not None, "the first epoch that reaches the target counts"),
        "--spread": (wanted.spread is not Spread.SD, "times have the median, the smallest and the largest"),
        "--ranks": (wanted.ranks, "times have a --profile"),
        "--pareto": (wanted.pareto is not None, "it is another report"),
    }
    for option, (given, why) in others.items():
        if given:
            raise AsapbenchError(f"{option}: does not go with --time-to: {why}; leave it out")


@dataclass(frozen=True)
class _Read:
    """What a report needs of a suite. `run` is what `asapbench run` takes, `notes` belong to every kind of report."""

    known: RecordedSuite
    run: str
    metric: Metric
    cells: Sequence[Cell]
    results: Sequence[Outcome]
    selection: Selection | None
    notes: Sequence[Note]

    def layout(self, spread: Spread = Spread.SD) -> Layout:
        """Its rows and columns."""
        return layout_of(
            self.cells,
            self.results,
            metric=self.metric,
            file=self.known.file,
            spread=spread,
            selection=self.selection,
        )


def _read(store: Store, wanted: Wanted) -> _Read:
    """The suite of the options, by default at the last epoch; with one value of what they select."""
    asked, metric = wanted.reduced or wanted.suite or "", wanted.metric or Metric.LAST
    known = recorded_suite(store, asked, option="--suite " if wanted.reduced is None else "--reduced ")
    found, run = store.suite_outcomes(known.name), to_run(known, asked)
    with naming_discarded(store, wanted.only, suites=[known.name]):
        cells, results = only(found.cells, wanted.only), passing(found.outcomes, wanted.only)
    notes = [*known.notes, *left_out_note(list(found.unreadable.values())), *differing_plugins(store, results)]
    notes += chosen_notes(store, wanted.only, suite=known.name)
    selection = None
    if wanted.select is not None:
        keys = keys_of(wanted.select, swept(cells))
        selection, why_not = read_selection(store, cells, results, keys, metric=metric, suite=run)
        notes += why_not
    return _Read(known, run, metric, cells, results, selection, notes)


def _accuracies(store: Store, wanted: Wanted) -> Table:
    read = _read(store, wanted)
    table = suite_table(
        read.known.name,
        read.cells,
        read.results,
        heading=read.known.title,
        metric=read.metric,
        file=read.known.file,
        spread=wanted.spread,
        selection=read.selection,
        notes=read.notes,
    )
    return with_notes(table, current_certificates(store))


def _reduced(store: Store, wanted: Wanted) -> Table:
    """A table of the paper beside the smaller trainings of a suite."""
    if wanted.table not in {str(table) for table in ACCURACIES}:
        raise AsapbenchError(f"--reduced: goes with --table 1, 2, 4 or 5, not with {wanted.table}; leave it out")
    read, table = _read(store, wanted), int(wanted.table or 0)
    in_file = load(read.run).cells if read.run in shipped() or os.path.isfile(read.run) else ()
    every = [*read.cells, *matching(in_file, wanted.only)]
    rows = reduced_rows(table, every, read.results, metric=read.metric)
    if not rows:
        raise AsapbenchError(
            f"--reduced {wanted.reduced}: no cell of the suite is one of Table {table} that differs in size alone "
            f"({', '.join(sorted(SIZES))}): name another table or another suite"
        )
    groups = {cell.group for row in rows for cell in row.cells.values()}
    left = _not_ended(store, read, [cell for cell in every if cell.group in groups])
    made = reduced_table(
        table,
        rows,
        suite=read.known.name,
        metric=read.metric,
        spread=wanted.spread,
        notes=(*_to_train(read, left, in_file), *read.notes),
    )
    return with_notes(made, current_certificates(store))


def _not_ended(store: Store, read: _Read, cells: Sequence[Cell]) -> set[str]:
    """The identities of the cells that have no result yet, without discarded ones."""
    ended = {one.cell.id for one in read.results if not one.outdated and one.attempt.state in FINAL}
    return {cell.id for cell in cells} - ended - {cell.id for cell in store.discarded_cells(suite=read.known.name)}


def _to_train(read: _Read, left: set[str], in_file: Sequence[Cell]) -> Iterator[Note]:
    """How many cells are left, and the commands that train them: those of the suite's file, and no others of it."""
    if left:
        of_file = left & {cell.id for cell in in_file}
        commands = list(commands_to_train(of_file, suite=read.run, cells=in_file)) if of_file else []
        if len(commands) > _FEW:
            listed = ",".join(cell.short for cell in in_file if cell.id in of_file)
            commands = [f"asapbench run {shlex.quote(read.run)} --only cell={listed}"]
        if left - of_file:
            commands.append(f"asapbench resume {shlex.quote(read.known.name)}")
        yield Note(f"{counted(len(left), 'training')} of this table not finished. To train:", tuple(commands))


def _ranks(store: Store, wanted: Wanted) -> Illustration:
    """The average ranks of the rules over a suite's rows."""
    read = _read(store, wanted)
    heading = f"{read.known.title}, average ranks"
    return ranks_figure(read.layout(), heading=heading, metric=read.metric, notes=read.notes)


def _times(store: Store, wanted: Wanted) -> Table | Illustration:
    """What each rule needs to reach a validation accuracy; or its performance profile."""
    from asapbench.store import db_option, to_paste

    assert wanted.time_to is not None
    read = _read(store, wanted)
    target = _target(read.known, wanted.target)
    cells, left_out = timed_cells(read.cells, target), untimed(read.cells, target, suite=read.run)
    if not cells:
        option = f"{plugins.options()}{db_option(store.url)}"
        lines = (" && ".join(to_paste(note.commands, option)) for note in left_out)
        why = "; ".join(f"{note.text} {line}".rstrip() for note, line in zip(left_out, lines, strict=True))
        raise AsapbenchError(f"--time-to: {why}")
    kept = {cell.id for cell in cells}
    read = replace(
        read,
        cells=cells,
        results=[result for result in read.results if result.cell.id in kept],
        selection=read.selection and replace(read.selection, cells=tuple(timed_cells(read.selection.cells, target))),
        notes=[*read.notes, *left_out],
    )
    found = timed(store, read.layout(), cells, read.results, to=wanted.time_to, target=target)
    heading, notes = read.known.title, read.notes
    if wanted.profile:
        return profile_figure(found, heading=heading, notes=notes)
    return time_table(found, name=read.known.name, heading=heading, cells=cells, results=read.results, notes=notes)


def _target(known: RecordedSuite, given: float | None) -> Target:
    """The target that is asked for, else the suite's. Raises AsapbenchError."""
    if given is not None:
        try:
            return Target(checked_target(given))
        except ValueError as error:
            raise AsapbenchError(f"--target: {error}") from error
    if known.target is None:
        raise AsapbenchError(
            f"--time-to: suite {known.name} names no target: add --target 0.6, or target = 0.6 under [suite] of its "
            "file and name the file with --suite"
        )
    return known.target


def _pareto(store: Store, wanted: Wanted) -> Illustration:
    """Accuracy against the cost of a step."""
    assert wanted.pareto is not None
    read = _read(store, wanted)
    results = store.results_of([one.cell.id for one in read.results])
    return pareto_figure(
        read.layout(wanted.spread),
        costs(wanted.pareto, results, store),
        Memory(gpu_peaks(results, store), counted_peak),
        heading=f"{read.known.title}, accuracy against {wanted.pareto}",
        metric=read.metric,
        suite=read.run,
        filters=wanted.only,
        notes=(*read.notes, *unfinished(read.known.name, read.cells, read.results)),
    )


def _tuned(store: Store, wanted: Wanted) -> Table | Illustration:
    """The rules, tuned with the same budget and as published; or what more trials would give."""
    metric = wanted.metric or Metric.LAST
    known = recorded_suite(store, wanted.tuned or "", option="--tuned ", command="tune")
    tuned = read_tuned(store, known, metric)
    kept = {cell.id for cell in only([one.cell for one in tuned], wanted.only)}
    tuned = [one for one in tuned if one.cell.id in kept]
    notes = [*known.notes, *chosen_notes(store, wanted.only, suite=known.name)]
    if wanted.budget:
        return budget_figure(tuned, heading=known.title, notes=notes)
    return tuned_table(known, tuned, heading=known.title, metric=metric, spread=wanted.spread, notes=notes)
