"""What a page shows of a database, read once: the chosen cells of the chosen suites, and what is recorded of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from asapbench.certificate import Certificate
from asapbench.errors import AsapbenchError
from asapbench.metrics import Alignment, EpochMetrics, GradientQuality
from asapbench.report.recorded import RecordedSuite, current_certificates, recorded_suite
from asapbench.suite.cell import Cell
from asapbench.suite.select import only

if TYPE_CHECKING:
    from asapbench.store import Provenance, Result, Store


@dataclass(frozen=True)
class Trained:
    """The current attempt of a cell and what its lineage recorded. `ran`: what its attempts ran on, oldest first."""

    result: Result
    epochs: Sequence[EpochMetrics]
    angles: Sequence[Alignment]
    qualities: Sequence[GradientQuality]
    ran: Sequence[Provenance]


@dataclass(frozen=True)
class ChosenSuite:
    """A suite, the cells of it that were chosen, and the text of the suite file of the run, where it is known."""

    suite: RecordedSuite
    cells: tuple[Cell, ...]
    text: str | None
    source: str

    @property
    def file_name(self) -> str:
        """The name of the suite file, without the folder on the machine of the run."""
        return re.split(r"[/\\]", self.source)[-1]


@dataclass(frozen=True)
class Content:
    """What was read. Each cell is once in `trained`, whatever the number of its suites."""

    database: str
    suites: tuple[ChosenSuite, ...]
    trained: tuple[Trained, ...]
    certificates: tuple[Certificate, ...]

    @cached_property
    def suites_of(self) -> dict[str, list[int]]:
        """By identity of a cell, the places in `suites` of the suites that have it."""
        found: dict[str, list[int]] = {}
        for place, chosen in enumerate(self.suites):
            for cell in chosen.cells:
                found.setdefault(cell.id, []).append(place)
        return found

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every chosen cell once, trained or not."""
        listed = [cell for chosen in self.suites for cell in chosen.cells]
        return tuple({cell.id: cell for cell in (*listed, *(one.result.cell for one in self.trained))}.values())


def read(url: str, *, suites: Sequence[str] = (), filters: Sequence[str] = ()) -> Content:
    """The content of the database at `url`: of these suites, by name or file, or of all; cells that pass the filters.

    Raises StoreError without a database, AsapbenchError where it holds nothing of a suite or nothing at all, and
    SuiteError for a filter that no cell passes.
    """
    from asapbench.store import Store

    with Store.read_only(url) as store:
        records = {record.name: record for record in store.suites()}
        known = [recorded_suite(store, name, option="") for name in suites or records]
        results = [one for suite in known for one in store.results(suite=suite.name)] if suites else store.results()
        members = {suite.name: store.readable_cells(suite.name)[0] for suite in known}
        listed = [*(cell for cells in members.values() for cell in cells), *(one.cell for one in results)]
        if not listed:
            raise AsapbenchError(f"{store.name} holds no cell that can be read: run a suite first, or name another")
        passed = {cell.id for cell in only(listed, filters)}
        chosen = [
            ChosenSuite(
                suite,
                tuple(cell for cell in members[suite.name] if cell.id in passed),
                text=records[suite.name].text,
                source=records[suite.name].source,
            )
            for suite in {suite.name: suite for suite in known}.values()
        ]
        return Content(
            store.name,
            tuple(one for one in chosen if one.cells),
            tuple(_trained(store, _in_order(listed, [one for one in results if one.cell.id in passed]))),
            tuple(current_certificates(store)),
        )


def _in_order(cells: Sequence[Cell], results: Sequence[Result]) -> list[Result]:
    """Each result once, in the order of the cells."""
    by_cell = {one.cell.id: one for one in results}
    return [by_cell[cell_id] for cell_id in dict.fromkeys(cell.id for cell in cells) if cell_id in by_cell]


def _trained(store: Store, results: Sequence[Result]) -> list[Trained]:
    lineages = [one.attempt.lineage for one in results]
    ran = store.provenances_of(lineages)
    return [
        Trained(result, store.epochs(line), store.alignment(line), store.gradient_quality(line), ran[line])
        for result, line in zip(results, lineages, strict=True)
    ]
