"""Lines over epochs: what learning curves and curves of angles have in common.

A line is the mean over the seeds of one configuration. Only comparable trainings are averaged: those that are done;
without any, those under way, up to the epoch that all of them have reached; without any, diverged ones. The label names
such a state, and a mean never jumps because one seed ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asapbench.errors import AsapbenchError
from asapbench.report.configuration import distinguishing_fields, names, number, shared_options, state_text
from asapbench.report.figures.style import Sheet, panels, require_room, title_panel
from asapbench.report.statistics import Spread, Summary, spread_and_count, usual_count
from asapbench.report.table import Column, Field, Note, Number, Row, Table, grouped
from asapbench.store import Result
from asapbench.suite.cell import Cell, title
from asapbench.suite.columns import field_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 5
"""A printed table shows at least so many epochs, if there are as many; CSV and JSON hold all."""

_OF_PANEL = ("dataset", "model")

RowT = TypeVar("RowT")


@dataclass(frozen=True)
class Recorded(Generic[RowT]):
    """The current attempt of a cell, and the rows that its lineage recorded, in the order of their epochs."""

    result: Result
    rows: Sequence[RowT]


@dataclass(frozen=True)
class Line:
    """One quantity: at each of `epochs` its summary over seeds."""

    label: str
    epochs: tuple[int, ...]
    points: tuple[Summary, ...]

    @property
    def end(self) -> Summary:
        """The summary at the last epoch that has a number."""
        return next((point for point in reversed(self.points) if point.n), Summary())


@dataclass(frozen=True)
class Averaged:
    """The lines of one configuration over `n` seeds, whose trainings are in `state`.

    `label` has the fields in which configurations differ, or is the caller's. `panel` has those of the data set and
    the model, without the options that all models share; `beside` those besides data set, model and rule.
    """

    cell: Cell
    label: str
    panel: str
    beside: str
    state: str
    n: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class ByEpoch:
    """The numbers of the picture. `shared` is what all configurations have in common; `left_out` counts the trainings
    that are not comparable, by state. `band` is what a line's band shows.
    """

    heading: str
    metric: str
    unit: str
    shared: str
    configurations: tuple[Averaged, ...]
    left_out: Counter[str]
    band: Spread = Spread.SD

    @property
    def names(self) -> list[str]:
        """The label of each configuration, with its remarks."""
        return [one.label + self._remarks(one) for one in self.configurations]

    @property
    def names_in_panel(self) -> list[str]:
        """As `names`, without what the title of the configuration's panel says."""
        return [
            ", ".join(filter(None, (title("rule", one.cell.rule), one.beside))) + self._remarks(one)
            for one in self.configurations
        ]

    def _remarks(self, one: Averaged) -> str:
        """The state if that is not done, and n if that is not the usual one."""
        remarks = "" if one.state == "done" else one.state, "" if one.n == usual_count(self._ends) else f"n = {one.n}"
        inner = ", ".join(filter(None, remarks))
        return f" ({inner})" if inner else ""

    @property
    def spread(self) -> str:
        """What a line and its band are, for a caption."""
        return spread_and_count(self._ends, spread=self.band, others="beside it")

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Every point of every line in long form."""
        return tuple(
            number(
                point,
                names=names(one.cell),
                metric=self.metric,
                unit=self.unit,
                variant=", ".join(text for text in (one.label, line.label, f"epoch {epoch}") if text),
            )
            for one in self.configurations
            for line in one.lines
            for epoch, point in zip(line.epochs, line.points, strict=True)
        )

    def table(
        self,
        caption: str,
        lines: Iterable[tuple[str, str, Line]],
        *,
        stub: str,
        field: Callable[[Summary | None], Field],
        notes: Sequence[Note] = (),
    ) -> Table:
        """The table from the group, name and line of each row. `field` shows a point; None: no such epoch."""
        epochs = self.shown_epochs
        rows = []
        for group, name, line in lines:
            points = dict(zip(line.epochs, line.points, strict=True))
            rows.append((group, [Row((Field(name), *(field(points.get(epoch)) for epoch in epochs)))]))
        return Table(
            title=self.heading,
            caption=f"{caption}; CSV and JSON have all of them.",
            columns=(Column(stub, "left"), *(Column(str(epoch)) for epoch in epochs)),
            groups=grouped(rows),
            notes=tuple(notes),
            numbers=self.numbers,
        )

    @property
    def shown_epochs(self) -> list[int]:
        """The first epoch, the last one of every line, and some between them at equal distances."""
        lines = [line for one in self.configurations for line in one.lines if line.epochs]
        there = sorted({epoch for line in lines for epoch in line.epochs})
        first, steps = there[0], (len(there) - 1) / (_COLUMNS - 1)
        between = {there[round(first + n * steps) - first] for n in range(_COLUMNS)}
        return sorted(between.union(line.epochs[-1] for line in lines))

    @property
    def _ends(self) -> list[Summary]:
        return [line.end for one in self.configurations for line in one.lines]


def by_epoch(
    recorded: Iterable[Recorded[RowT]],
    lines: Callable[[Sequence[Recorded[RowT]]], Iterable[Line]],
    *,
    heading: str,
    metric: str,
    unit: str,
    missing: str,
    label: Callable[[Cell], str] | None = None,
    spread: Spread = Spread.SD,
) -> ByEpoch:
    """A configuration for each `Cell.group` that has rows, in the order in which they first appear.

    `lines` makes the lines of one configuration from its comparable trainings. `label` names a configuration; by
    default the fields in which it differs from the others do. Outdated results are left out. Raises AsapbenchError,
    with the text `missing`, where there is no configuration.
    """
    groups: dict[str, list[Recorded[RowT]]] = {}
    for one in recorded:
        if one.rows and not one.result.outdated:
            groups.setdefault(one.result.cell.group, []).append(one)
    if not groups:
        raise AsapbenchError(missing)
    chosen = [_comparable(members) for members in groups.values()]
    cells = [members[0].result.cell for members in chosen]
    own, shared = distinguishing_fields(cells)
    options = shared_options(cells) if "model" in own[cells[0].group] else ""
    configurations = []
    for cell, members in zip(cells, chosen, strict=True):
        texts = {
            name: field_text(cell, name).removesuffix(options if name == "model" else "") for name in own[cell.group]
        }
        configurations.append(
            Averaged(
                cell=cell,
                label=label(cell) if label else ", ".join(texts.values()),
                panel=", ".join(text for name, text in texts.items() if name in _OF_PANEL),
                beside=", ".join(text for name, text in texts.items() if name not in (*_OF_PANEL, "rule")),
                state="/".join(_states([members])),
                n=len(members),
                lines=tuple(lines(members)),
            )
        )
    left_out = _states(groups.values()) - _states(chosen)
    shared = ", ".join(filter(None, (shared, options[1:-1])))
    return ByEpoch(heading, metric, unit, shared, tuple(configurations), left_out, spread)


def _comparable(members: Sequence[Recorded[RowT]]) -> Sequence[Recorded[RowT]]:
    """The trainings that may be averaged: the done ones, else those under way, else the diverged ones."""
    done = [one for one in members if one.result.attempt.state == "done"]
    under_way = [one for one in members if one.result.attempt.state not in ("done", "diverged")]
    return done or under_way or members


def _states(groups: Iterable[Sequence[Recorded[RowT]]]) -> Counter[str]:
    return Counter(state_text(one.result.attempt.state) for members in groups for one in members)


def configuration_panels(
    found: ByEpoch, described: str, *, option: str, most: int, columns: int, sheet: Sheet, **layout: Any
) -> tuple[Figure, list[Axes]]:
    """As `style.panels`, with a panel for each configuration, below its name.

    `described` is below the heading; `option` asks for the picture. Raises AsapbenchError for more than `most`.
    """
    count = len(found.configurations)
    require_room(option, count, most, what="configurations", fix="choose with --only")
    figure, grid = panels(found.heading, described, count, sheet=sheet, columns=columns, **layout)
    for axes, name in zip(grid, found.names, strict=True):
        title_panel(axes, name)
    return figure, grid


def draw_line(axes: Axes, line: Line, *, label: str, style: dict[str, Any], band: Spread) -> Any:
    """The means, and a band of their spread where there is one; returns the line."""
    import numpy as np

    means = np.array([np.nan if point.mean is None else point.mean for point in line.points])
    ends = [band.ends(point) for point in line.points]
    every = max(1, len(means) // 10)
    (drawn,) = axes.plot(line.epochs, means, label=label, markevery=every, **style)
    if any(ends):
        low, high = zip(*(pair or (mean, mean) for pair, mean in zip(ends, means, strict=True)), strict=True)
        axes.fill_between(line.epochs, low, high, color=style["color"], alpha=0.15, linewidth=0)
    return drawn


def label_epochs(axes: Axes) -> None:
    """An x axis of whole epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
