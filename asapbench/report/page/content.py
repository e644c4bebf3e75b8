"""What a page shows of a database, read once: the chosen cells of the chosen suites, and what is recorded of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from asapbench.analysis.shortcut import NAME as SHORTCUT
from asapbench.certificate import Certificate
from asapbench.errors import AsapbenchError
from asapbench.metrics import Alignment, EpochMetrics, GradientQuality, Measurement
from asapbench.report.quantity import USUAL, Metric, Numbers
from asapbench.report.recorded import (
    RecordedSuite,
    chosen_notes,
    current_certificates,
    differing_plugins,
    naming_discarded,
    recorded_suite,
    to_run,
    why_left_out,
)
from asapbench.report.selection import Selection, keys_of, read_selection, swept
from asapbench.report.table import Note
from asapbench.report.tuned import Tuned, tuned_of
from asapbench.suite.cell import Cell
from asapbench.suite.plugins import lacking
from asapbench.suite.select import matching, only

if TYPE_CHECKING:
    from asapbench.store import Provenance, Result, Store
    from asapbench.store.records import Discard


@dataclass(frozen=True)
class Trained:
    """The current attempt of a cell and what its lineage recorded.

    `ran`: what its attempts ran on, oldest first. `shortcut`: what `analyze shortcut` measured of it.
    """

    result: Result
    epochs: Sequence[EpochMetrics]
    angles: Sequence[Alignment]
    qualities: Sequence[GradientQuality]
    ran: Sequence[Provenance]
    shortcut: Sequence[Measurement]


@dataclass(frozen=True)
class ChosenSuite:
    """A suite, the cells of it that were chosen, and what a reader of its table must know.

    `text` is the content of the suite file of the run, where it is known; `selection` is what was chosen among swept
    values, `tuned` what its search found.
    """

    suite: RecordedSuite
    cells: tuple[Cell, ...]
    text: str | None
    source: str
    notes: tuple[Note, ...] = ()
    selection: Selection | None = None
    tuned: tuple[Tuned, ...] = ()

    @property
    def drawn(self) -> list[Cell]:
        """The cells that charts draw: with a selection, those with the chosen values."""
        if self.selection is None:
            return list(self.cells)
        groups = {configuration.cell.group for configuration in self.selection.found.values()}
        return [cell for cell in self.cells if cell.group in groups]

    @property
    def file_name(self) -> str:
        """The name of the suite file, without the folder on the machine of the run."""
        return re.split(r"[/\\]", self.source)[-1]


@dataclass(frozen=True)
class Content:
    """What was read. Each cell is once in `trained`, whatever the number of its suites; discarded ones are not."""

    suites: tuple[ChosenSuite, ...]
    trained: tuple[Trained, ...]
    certificates: tuple[Certificate, ...]
    discarded: tuple[tuple[Cell, Discard], ...]

    @cached_property
    def suites_of(self) -> dict[str, list[int]]:
        """By identity of a cell, the places in `suites` of the suites that have it."""
        found: dict[str, list[int]] = {}
        for place, chosen in enumerate(self.suites):
            for cell in chosen.cells:
                found.setdefault(cell.id, []).append(place)
        return found

    @property
    def selected(self) -> list[str]:
        """The swept settings of which a value was chosen."""
        return list(dict.fromkeys(key for one in self.suites if one.selection for key in one.selection.keys))

    @cached_property
    def drawn(self) -> tuple[Trained, ...]:
        """What charts draw of `trained`: what any suite draws, and what is in no suite."""
        left_out = self.suites_of.keys() - {cell.id for chosen in self.suites for cell in chosen.drawn}
        return tuple(one for one in self.trained if one.result.cell.id not in left_out)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every chosen cell once, trained or not."""
        listed = [cell for chosen in self.suites for cell in chosen.cells]
        return tuple({cell.id: cell for cell in (*listed, *(one.result.cell for one in self.trained))}.values())


def read(url: str, *, suites: Sequence[str] = (), filters: Sequence[str] = (), numbers: Numbers = USUAL) -> Content:
    """The content of the database at `url`: of these suites, by name or file, or of all; cells that pass the filters.

    Raises StoreError without a database, AsapbenchError where it holds nothing of a suite or nothing at all, and
    SuiteError for a filter that no cell passes or a setting that was not swept.
    """
    from asapbench.store import Store

    with Store.read_only(url) as store:
        records = {record.name: record for record in store.suites()}
        known = [recorded_suite(store, name, option="") for name in suites or records]
        results = [one for suite in known for one in store.results(suite=suite.name)] if suites else store.results()
        members = {suite.name: store.readable_cells(suite.name) for suite in known}
        listed = [*(cell for cells, _ in members.values() for cell in cells), *(one.cell for one in results)]
        if not listed:
            raise AsapbenchError(_nothing(store, [suite.name for suite in known] if suites else []))
        metric = numbers.metric or Metric.LAST
        with naming_discarded(store, filters, suites=[suite.name for suite in known] if suites else []):
            passed = {cell.stored_id for cell in only(listed, filters)}
        results = [one for one in results if one.cell.stored_id in passed]
        chosen = [
            ChosenSuite(
                suite,
                tuple(cell for cell in members[name][0] if cell.stored_id in passed),
                text=records[name].text if suite.file or suite.notes else None,  # no list of trials
                source=records[name].source,
                notes=tuple(_notes(store, suite, results, filters, unreadable=list(members[name][1].values()))),
                tuned=tuple(one for one in tuned_of(store, suite, metric) if one.cell.stored_id in passed),
            )
            for name, suite in {suite.name: suite for suite in known}.items()
        ]
        return Content(
            tuple(_selected(store, [one for one in chosen if one.cells], results, numbers)),
            tuple(_trained(store, _in_order(listed, results))),
            tuple(current_certificates(store)),
            tuple(_discarded(store, filters, suites=[suite.name for suite in known] if suites else [None])),
        )


def _selected(
    store: Store, suites: Sequence[ChosenSuite], results: Sequence[Result], numbers: Numbers
) -> Iterator[ChosenSuite]:
    """The suites, with what `numbers.select` chooses in each that has several values of it."""
    known = [swept(one.cells) if numbers.select is not None else [] for one in suites]
    keys = () if numbers.select is None else keys_of(numbers.select, list(dict.fromkeys(chain.from_iterable(known))))
    for one, names in zip(suites, known, strict=True):
        if own := [key for key in keys if key in names]:
            wanted, run = {cell.id for cell in one.cells}, to_run(one.suite, one.suite.name)
            of_suite = [result for result in results if result.cell.id in wanted]
            metric = numbers.metric or Metric.LAST
            selection, notes = read_selection(store, one.cells, of_suite, own, metric=metric, suite=run)
            yield replace(one, selection=selection, notes=(*one.notes, *notes))
        else:
            yield one


def _nothing(store: Store, suites: Sequence[str]) -> str:
    """Why a page of these suites, or of all, would be empty."""
    if discarded := why_left_out(store, suites=suites):
        return f"{store.name} holds no cell to show: {discarded}"
    return f"{store.name} holds no cell that can be read: run a suite first, or name another"


def _discarded(store: Store, filters: Sequence[str], *, suites: Sequence[str | None]) -> Iterator[tuple[Cell, Discard]]:
    """The discarded cells of these suites, or of all (None), that match the filters; each once."""
    why = store.discards()
    found = {cell.stored_id: cell for suite in suites for cell in store.discarded_cells(suite=suite)}
    for cell in matching(found.values(), filters):
        yield cell, why[cell.stored_id]


def _notes(
    store: Store, suite: RecordedSuite, results: Sequence[Result], filters: Sequence[str], *, unreadable: Sequence[str]
) -> Iterator[Note]:
    yield from suite.notes
    if unreadable:
        yield Note(lacking(unreadable))
    yield from differing_plugins(store, results)
    yield from chosen_notes(store, filters, suite=suite.name)


def _in_order(cells: Sequence[Cell], results: Sequence[Result]) -> list[Result]:
    """Each result once, in the order of the cells."""
    by_cell = {one.cell.id: one for one in results}
    return [by_cell[cell_id] for cell_id in dict.fromkeys(cell.id for cell in cells) if cell_id in by_cell]


def _trained(store: Store, results: Sequence[Result]) -> list[Trained]:
    lineages = [one.attempt.lineage for one in results]
    ran = store.provenances_of(lineages)
    shortcuts = store.measurements(SHORTCUT, [one.attempt.id for one in results])
    return [
        Trained(
            result,
            store.epochs(line),
            store.alignment(line),
            store.gradient_quality(line),
            ran[line],
            shortcuts.get(result.attempt.id, ()),
        )
        for result, line in zip(results, lineages, strict=True)
    ]
