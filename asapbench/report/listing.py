"""`asapbench list`: one row for each cell of the database, with its state and what it has come to.

What all cells share is in the heading, so that a row names only what it differs in.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asapbench.errors import SuiteError
from asapbench.report.configuration import MISSING, counted, distinguishing_fields, state_text
from asapbench.report.quantity import Sorting
from asapbench.report.recorded import discarded_note
from asapbench.report.render import Format
from asapbench.report.table import Column, Field, Group, Note, Row, Table
from asapbench.suite.cell import name
from asapbench.suite.columns import field_text
from asapbench.suite.options import nearest, there_are
from asapbench.suite.plugins import not_installed
from asapbench.suite.select import only

if TYPE_CHECKING:
    from asapbench.store import Store
    from asapbench.store.listing import Listed, Trained
    from asapbench.suite.cell import Cell

STATES = ("pending", "running", "done", "diverged", "failed", "out_of_memory", "interrupted", "outdated", "discarded")
"""What `--state` takes. The others are states of attempts; `outdated` is done under an earlier revision of the code."""

_NARROWEST = 16
"""Columns of a terminal that a label gets at least."""

_PER_CELL = {"seed", "cell"}
"""Keys of `--only` that are not the same for all cells of a group."""


@dataclass(frozen=True)
class Wanted:
    """Which cells are listed, in which order; `limit` is how many at most, None all.

    `digits` are those of accuracies in percent; None: two, and all of them in records.
    """

    suites: Sequence[str] = ()
    filters: Sequence[str] = ()
    states: Sequence[str] = ()
    sort: Sorting | None = None
    reverse: bool = False
    limit: int | None = None
    digits: int | None = None


def states_of(text: str, *, option: str = "--state") -> tuple[str, ...]:
    """The states of `done,failed`. Raises SuiteError.

    >>> states_of("done, out-of-memory")
    ('done', 'out_of_memory')
    """
    words = [word.strip().replace("-", "_") for word in text.split(",") if word.strip()]
    for word in words or [text]:
        if word not in STATES:
            raise SuiteError(f'{option} {text}: no state is called "{word}"{nearest(word, STATES)}{there_are(STATES)}')
    return tuple(words)


def passing(rows: Sequence[Listed], filters: Sequence[str]) -> list[Listed]:
    """The rows whose cells can be read and pass the filters of `--only`. Raises SuiteError as `select.only`."""
    if not filters:
        return list(rows)
    readable = [row for row in rows if row.first is not None]
    if {text.partition("=")[0].strip() for text in filters} & _PER_CELL:
        cells = [row.cell for row in readable]
        passed = {cell.stored_id for cell in only([cell for cell in cells if cell is not None], filters)}
        return [row for row in readable if row.cell_id in passed]
    groups = {row.first.group: row.first for row in readable if row.first is not None}
    kept = {cell.group for cell in only(list(groups.values()), filters)}
    return [row for row in readable if row.first is not None and row.first.group in kept]


def cells_table(
    store: Store,
    wanted: Wanted,
    *,
    form: Format = Format.TERMINAL,
    width: int | None = None,
    now: datetime | None = None,
) -> Table:
    """The cells as a table, in `width` columns of a terminal: a long label continues below its row.

    CSV, JSON and text without a width have records instead of rows; those of CSV and JSON have accuracies as fractions
    of 1. Raises SuiteError for a filter that no cell passes, StoreError for an unknown suite.
    """
    everything = passing(store.listed(wanted.suites), wanted.filters)
    asked = wanted.states or [state for state in STATES if state != "discarded"]
    chosen = [row for row in everything if row.state in asked]
    complete = wanted.sort in (Sorting.ACCURACY, Sorting.VALIDATION, Sorting.TIME)
    trained = _trained(store, chosen) if complete else {}
    chosen = _sorted(chosen, trained, wanted)
    shown = chosen if wanted.limit is None else chosen[: wanted.limit]
    trained = trained if complete else _trained(store, shown)
    labels = _Labels(store, shown)
    discards = store.discards() if "discarded" in asked else {}
    reasons = {row.cell_id: discards[row.cell_id].reason or "" for row in shown if row.cell_id in discards}
    columns, records, rows = dict[Column, list[str]](), dict[str, Sequence[Any]](), list[Row]()
    if form in (Format.CSV, Format.JSON):
        records = _records(shown, trained, labels, discards, wanted.digits)
    else:
        digits = 2 if wanted.digits is None else wanted.digits
        columns = _columns(shown, trained, labels, reasons, now=now or datetime.now(UTC), digits=digits)
        if form is Format.TERMINAL and width is None:
            records = {column.title: texts for column, texts in columns.items()}
        else:
            rows = list(_rows(columns, width=width))
    return Table(
        title=labels.shared or counted(len(chosen), "cell"),
        caption="Accuracy in percent at the last epoch; time is that of training, without evaluation."
        if shown
        else "No cell is in this state."
        if everything
        else "No cell is recorded yet.",
        columns=tuple(columns),
        groups=(Group("", tuple(rows)),),
        notes=tuple(_notes(chosen, everything, shown, wanted, labels)),
        numbers=(),
        records=records,
    )


def _trained(store: Store, rows: Sequence[Listed]) -> dict[str, Trained]:
    """By lineage."""
    return store.trained([row.lineage for row in rows if row.lineage is not None])


def _sorted(rows: Sequence[Listed], trained: dict[str, Trained], wanted: Wanted) -> list[Listed]:
    """The rows in the order asked for. Those without the value are last, in either direction."""

    def of_trained(field: str) -> Callable[[Listed], Any]:
        return lambda row: getattr(trained.get(row.lineage or ""), field, None)

    largest_first: dict[Sorting, Callable[[Listed], Any]] = {
        Sorting.ACCURACY: of_trained("test_accuracy"),
        Sorting.VALIDATION: of_trained("validation_accuracy"),
        Sorting.EPOCHS: lambda row: row.epochs_done,
        Sorting.TIME: of_trained("seconds"),
        Sorting.AGE: lambda row: row.since,
    }
    smallest_first: dict[Sorting, Callable[[Listed], Any]] = {
        Sorting.CELL: lambda row: row.cell_id,
        Sorting.STATE: lambda row: STATES.index(row.state),
    }
    if wanted.sort is None:
        return list(reversed(rows)) if wanted.reverse else list(rows)
    key = (largest_first | smallest_first)[wanted.sort]
    known = [row for row in rows if key(row) is not None]
    known.sort(key=key, reverse=(wanted.sort in largest_first) != wanted.reverse)
    return [*known, *(row for row in rows if key(row) is None)]


class _Labels:
    """The label of each row by what distinguishes it, and what all of them share."""

    def __init__(self, store: Store, rows: Sequence[Listed]) -> None:
        groups = {row.first.group: row.first for row in rows if row.first is not None}
        own, self.shared = distinguishing_fields(list(groups.values())) if groups else ({}, "")
        if len(groups) == 1:  # nothing differs but the seed
            self.shared = ", ".join((self.shared, *(field_text(cell, "rule") for cell in groups.values())))
            own = {}
        unreadable = [row.cell_id for row in rows if row.first is None]
        self.unreadable = store.labels(unreadable) if unreadable else {}
        self._before_seed = {
            group: "".join(f"{field_text(cell, field)}, " for field in own.get(group, ()))
            for group, cell in groups.items()
        }

    def of(self, row: Listed) -> str:
        """`ASAP(k=4), lr 0.03, seed 0`."""
        if row.first is None:
            return self.unreadable[row.cell_id]
        return f"{self._before_seed[row.first.group]}seed {row.seed}"


def _columns(
    rows: Sequence[Listed],
    trained: dict[str, Trained],
    labels: _Labels,
    reasons: Mapping[str, str],
    *,
    now: datetime,
    digits: int,
) -> dict[Column, list[str]]:
    """The columns and their texts, the labels last."""
    values, states = [trained.get(row.lineage or "") for row in rows], {state: state_text(state) for state in STATES}
    texts = list(map(labels.of, rows))
    if reasons:
        both = [(text, reasons.get(row.cell_id)) for text, row in zip(texts, rows, strict=True)]
        texts = [": ".join(filter(None, one)) for one in both]
    columns = {
        Column("cell", "left"): [row.short for row in rows],
        Column("state", "left"): [states[row.state] for row in rows],
        Column("test"): [_percent(one.test_accuracy if one else None, digits) for one in values],
    }
    if any(one is not None and one.validation_accuracy is not None for one in values):
        columns[Column("val")] = [_percent(one.validation_accuracy if one else None, digits) for one in values]
    columns |= {
        Column("epochs"): [f"{row.epochs_done}/{row.first.epochs if row.first else '?'}" for row in rows],
        Column("time"): [_duration(one.seconds) if one else MISSING for one in values],
        Column("age"): [MISSING if row.since is None else _age(row.since, now) for row in rows],
        Column("label and reason" if reasons else "label", "left"): texts,
    }
    return columns


def _rows(columns: Mapping[Column, Sequence[str]], *, width: int | None) -> Iterator[Row]:
    taken = [max(map(len, (column.title, *texts))) + 2 for column, texts in columns.items()]
    room = None if width is None else max(width - sum(taken[:-1]), _NARROWEST)
    blank = (Field(""),) * (len(columns) - 1)
    for *values, label in zip(*columns.values(), strict=True):
        lines = [label] if room is None else textwrap.wrap(label, room) or [""]
        yield Row((*map(Field, values), Field(lines[0])))
        yield from (Row((*blank, Field(line))) for line in lines[1:])


def _notes(
    chosen: Sequence[Listed], everything: Sequence[Listed], shown: Sequence[Listed], wanted: Wanted, labels: _Labels
) -> Iterator[Note]:
    if more := len(chosen) - len(shown):
        yield Note(f"{counted(more, 'more cell')} not shown: --limit 0 lists all.")
    if "discarded" not in wanted.states:
        yield from discarded_note(sum(row.state == "discarded" for row in everything), suites=wanted.suites)
    if labels.unreadable:
        yield Note(f"Listed by their label alone: {not_installed(list(labels.unreadable.values()))}")


def _records(
    rows: Sequence[Listed],
    trained: dict[str, Trained],
    labels: _Labels,
    discards: Mapping[str, Any],
    digits: int | None,
) -> dict[str, Sequence[Any]]:
    values, decisions = [trained.get(row.lineage or "") for row in rows], [discards.get(row.cell_id) for row in rows]
    groups = [row.first and row.first.group for row in rows]
    first = {group: row.first for group, row in zip(groups, rows, strict=True) if row.first}

    def shared(value: Callable[[Cell], Any]) -> list[Any]:
        """What the cells of a group have in common, for each row."""
        return list(map({group: value(cell) for group, cell in first.items()}.get, groups))

    def named(kind: str) -> list[Any]:
        return shared(lambda cell: name(kind, getattr(cell, kind)))

    return {
        "cell": [row.cell_id for row in rows],
        "short_id": [row.short for row in rows],
        "group_id": groups,
        "label": list(map(labels.of, rows)),
        **{kind: named(kind) for kind in ("dataset", "model", "rule")},
        "lr": shared(lambda cell: cell.lr),
        "seed": [row.seed for row in rows],
        "state": [row.state for row in rows],
        "test_accuracy": [_rounded(one.test_accuracy, digits) if one else None for one in values],
        "validation_accuracy": [_rounded(one.validation_accuracy, digits) if one else None for one in values],
        "epochs_done": [row.epochs_done for row in rows],
        "epochs": shared(lambda cell: cell.epochs),
        "seconds": [one.seconds if one else None for one in values],
        "since": [row.since for row in rows],
        "reason": [one.reason if one else None for one in decisions],
        "discarded_at": [one.decided_at if one else None for one in decisions],
    }


def _percent(fraction: float | None, digits: int) -> str:
    return MISSING if fraction is None else f"{100 * fraction:.{digits}f}"


def _rounded(fraction: float | None, digits: int | None) -> float | None:
    """An accuracy with so many digits in percent."""
    return fraction if fraction is None or digits is None else round(fraction, digits + 2)


def _duration(seconds: float) -> str:
    """`42 s`, `3m 05s`, `2h 10m`, `3d 4h`: short, for a column."""
    whole = round(seconds)
    for size, unit, part, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit} {rest:02d}{smaller}"
    return f"{whole} s"


def _age(since: str, now: datetime) -> str:
    """How long ago, in one unit: `5 min`, `3 h`, `12 d`."""
    passed = max((now - datetime.fromisoformat(since)).total_seconds(), 0.0)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{passed // size:.0f} {unit}"
    return f"{passed:.0f} s"
