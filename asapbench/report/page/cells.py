"""The cells of a page, one by one: state, accuracy, what each ran on, why it ended, and the command that trains it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asapbench.report.configuration import MISSING, state_text
from asapbench.report.page.command import commands
from asapbench.report.page.content import Content, Trained
from asapbench.store.records import to_paste
from asapbench.suite.cell import Cell
from asapbench.suite.columns import distinct_labels

if TYPE_CHECKING:
    from asapbench.store.records import Discard

_WITH_REASON = ("diverged", "failed", "out_of_memory", "interrupted", "discarded")


@dataclass(frozen=True)
class CellRow:
    """A row. Accuracies are percent as text, `epochs` is `6 of 6`, `environments` are names, as in `E1`.

    `reason` is the last line of the error, `details` all of it and the end of the log. `command` trains the cell;
    some need the database.
    """

    id: str
    label: str
    suites: tuple[str, ...]
    state: str
    last: str
    best: str
    epochs: str
    minutes: str
    device: str
    environments: tuple[str, ...]
    command: str
    needs_database: bool
    reason: str = ""
    details: str = ""

    @property
    def ended_badly(self) -> bool:
        """Whether it diverged, failed, was interrupted, or was discarded."""
        return self.state.replace(" ", "_") in _WITH_REASON


def rows(content: Content, ran_on: dict[str, list[str]], *, option: str) -> list[CellRow]:
    """A row for each chosen cell, the discarded ones last.

    `option` ends the commands that need the database.
    """
    discarded = [cell for cell, _ in content.discarded]
    known, labels = commands(content), distinct_labels([*content.cells, *discarded])
    trained = {one.result.cell.id: one for one in content.trained}

    def row(cell: Cell, discard: Discard | None = None) -> CellRow:
        command = known.get(cell.id)
        return _row(
            content,
            cell,
            trained.get(cell.id),
            discard,
            label=labels[cell.id],
            environments=tuple(ran_on.get(cell.id, ())),
            command=command or " && ".join(to_paste([f"asapbench rerun --only cell={cell.short}"], option)),
            needs_database=command is None,
        )

    return [*map(row, content.cells), *(row(*one) for one in content.discarded)]


def _row(
    content: Content,
    cell: Cell,
    one: Trained | None,
    discard: Discard | None,
    *,
    label: str,
    environments: tuple[str, ...],
    command: str,
    needs_database: bool,
) -> CellRow:
    suites = tuple(content.suites[place].suite.name for place in content.suites_of.get(cell.id, ()))
    if one is None:
        state, reason = ("pending", "") if discard is None else ("discarded", discard.reason or "no reason given")
        nothing = (MISSING,) * 5
        return CellRow(cell.short, label, suites, state, *nothing, environments, command, needs_database, reason)
    attempt = one.result.attempt
    error = (attempt.error or "").strip()
    log = (attempt.log_tail or "").strip()
    return CellRow(
        cell.short,
        label,
        suites,
        "outdated" if one.result.outdated else state_text(attempt.state),
        _percent(attempt.last_test_accuracy),
        _percent(attempt.best_test_accuracy),
        f"{attempt.epochs_done} of {cell.epochs}",
        f"{sum(epoch.seconds for epoch in one.epochs) / 60:.1f}",
        attempt.device.split()[0],
        environments,
        command,
        needs_database,
        reason=error.splitlines()[-1] if error else "",
        details="\n\n".join(part for part in (error, "" if log in error else log) if part),
    )


def counts(found: list[CellRow]) -> list[tuple[str, int]]:
    """How many cells are in each state, the most frequent state first."""
    return Counter(row.state for row in found).most_common()


def _percent(fraction: float | None) -> str:
    return MISSING if fraction is None else f"{100 * fraction:.2f}"
