"""`report --pareto`: accuracy against the cost of a training step, and the rules that no other rule surpasses in both.

BP with activation checkpointing and with gradient accumulation are always controls: where a suite lacks them, a note
says how to train them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.errors import AsapbenchError
from asapbench.report.configuration import MISSING, measured_field, names, number
from asapbench.report.cost import Costs
from asapbench.report.figures import style
from asapbench.report.figures.looks import looks, matplotlib_line
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import Sheet
from asapbench.report.grid import control_of
from asapbench.report.quantity import Cost, Metric
from asapbench.report.statistics import Spread, Summary, spread_and_count, usual_count
from asapbench.report.suite import Layout
from asapbench.report.table import Column, Field, Note, Number, Row, Table, grouped, numeric
from asapbench.rules.bp import BP, CHECKPOINTING, MICRO_BATCHES
from asapbench.suite.cell import Cell, plain, title
from asapbench.suite.options import Choice, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CONTROLS: dict[str, Value] = {CHECKPOINTING.name: True, MICRO_BATCHES.name: 2}
"""The options of BP that make it a control, and a value for a command."""

_LISTED = 3

_FAR = 8
"""Costs that differ by more than this factor are on a logarithmic axis."""


@dataclass(frozen=True)
class Point:
    """A rule in one panel. `cost` is in the unit that is shown, None where it is not known.

    `chosen` is its chosen value, where there is a selection; `variant` as of `Layout`.
    """

    cell: Cell
    accuracy: Summary
    cost: float | None
    chosen: Field | None = None
    variant: str = ""

    @property
    def is_placed(self) -> bool:
        """Whether it has both coordinates, and no training diverged."""
        return self.cost is not None and self.accuracy.mean is not None and not self.accuracy.diverged

    @property
    def place(self) -> tuple[float, float]:
        """Cost and accuracy of a point that has both."""
        assert self.cost is not None
        assert self.accuracy.mean is not None
        return self.cost, self.accuracy.mean

    def surpasses(self, other: Point) -> bool:
        """Whether it is at least as accurate and as cheap, and better in one.

        >>> cheap, dear = (Point(None, Summary((90.0,)), cost) for cost in (1.0, 2.0))
        >>> cheap.surpasses(dear), dear.surpasses(cheap), cheap.surpasses(cheap)
        (True, False, False)
        """
        (cost, accuracy), (other_cost, other_accuracy) = self.place, other.place
        return cost <= other_cost and accuracy >= other_accuracy and self.place != other.place


@dataclass(frozen=True)
class Panel:
    """The rules on one model and data set, or one row of a suite where more varies."""

    heading: str
    points: tuple[Point, ...]

    @property
    def placed(self) -> list[Point]:
        """Those that are drawn and compared, the cheapest first."""
        return sorted((point for point in self.points if point.is_placed), key=lambda point: point.place)

    def surpassed_by(self, point: Point) -> list[Point]:
        """Those that make `point` no choice, the most accurate first."""
        found = [one for one in self.placed if point.is_placed and one.surpasses(point)]
        return sorted(found, key=lambda one: -one.place[1])

    @property
    def front(self) -> list[Point]:
        """Those that none surpasses, the cheapest first."""
        return [point for point in self.placed if not self.surpassed_by(point)]


def pareto_figure(
    layout: Layout, costs: Costs, *, heading: str, metric: Metric, suite: str, notes: Sequence[Note] = ()
) -> Illustration:
    """One panel for each row of the suite. `suite` is what `asapbench run` takes.

    Raises AsapbenchError where no rule has both an accuracy and a cost.
    """
    found = _panels(layout, costs)
    if not any(panel.placed for panel in found):
        raise AsapbenchError(
            f"--pareto {costs.kind}: no rule has both an accuracy and this cost: wait until a training is done, or "
            "name another cost"
        )
    summaries = [point.accuracy for panel in found for point in panel.points]
    explained = layout.selection.explained(metric, where="For each rule") if layout.selection else ""
    caption = (
        f"Test accuracy in percent {metric.described}, {spread_and_count(summaries, spread=layout.spread)}, against "
        f"{costs.kind.described}.{explained}"
    )
    more = (*_without_choice(layout), *_lacking_controls(found, layout.grid.cells, suite), *notes)
    return Illustration(
        _table(found, layout, costs, heading=heading, caption=caption, metric=metric, notes=more),
        lambda sheet: _draw(found, costs.kind, layout.spread, heading=heading, caption=caption, sheet=sheet),
    )


def _panels(layout: Layout, costs: Costs) -> list[Panel]:
    panels = []
    for row in layout.grid.rows:
        first = next(iter(row.values()))
        points = []
        for cell in row.values():
            if (trained := layout.found.get(cell.group)) is None or not trained.summary.ended:
                continue
            cost = costs.of_groups.get(trained.cell.group)
            chosen = layout.chosen_field(cell, layout.selection) if layout.selection else None
            shown = None if cost is None else cost / costs.kind.scale
            points.append(Point(trained.cell, trained.summary, shown, chosen, layout.variant(cell)))
        panels.append(Panel(_place(first, layout), tuple(points)))
    return [panel for panel in panels if panel.points]


def _place(cell: Cell, layout: Layout) -> str:
    model = title("model", cell.model).removesuffix(layout.grid.shared)
    return ", ".join(filter(None, (title("dataset", cell.dataset), model, layout.grid.variant(cell))))


def _without_choice(layout: Layout) -> Iterator[Note]:
    """Why a rule is not shown, where a selection has no choice for it."""
    impossible = layout.selection.impossible if layout.selection else {}
    for cell in layout.grid.cells:
        if why := impossible.get(cell.group):
            yield Note(f"Not shown: {title('rule', cell.rule)} on {_place(cell, layout)}: {why}.")


def _lacking_controls(panels: Sequence[Panel], cells: Sequence[Cell], suite: str) -> Iterator[Note]:
    """How to train the controls that a panel lacks; `cells` are those of the report."""
    options = [name for name in _CONTROLS if any(not _has(panel, name) for panel in panels)]
    found = {name: command for name in options if (command := _command(name, cells, suite))}
    if not any(point.cell.rule.name == "bp" for panel in panels for point in panel.points):
        yield Note("The control of every cost, BP, is not among these rules: add it to the suite.")
    elif found:
        yield Note(
            "Exact gradients in as little memory are the control of a rule that needs less. A panel lacks BP with "
            f"{' and with '.join(found)}. To train them, with the same --set as these cells, and more parts until "
            "they need what the rule needs:",
            tuple(found.values()),
        )


def _command(option: str, cells: Sequence[Cell], suite: str) -> str | None:
    """What trains plain BP with an option more, where the batches are large enough for it; None where none is."""
    bp, value = BP.entry, _CONTROLS[option]
    of_bp = [cell for cell in cells if cell.rule.name == bp.name]
    others = {name for cell in of_bp for name in control_of(cell.rule)}
    plain_bp = [cell for cell in of_bp if not control_of(cell.rule)]
    fit = [one for one in plain_bp if not bp.fault(bp.with_options(one.rule, **{option: value}), one.batch_size)]
    if not fit:
        return None
    filters = [f"rule={bp.name}", *(f"rule.{name}={plain(bp.option(name).default)}" for name in sorted(others))]
    if len(fit) < len(plain_bp):
        filters.append(f"batch_size={','.join(map(str, sorted({cell.batch_size for cell in fit})))}")
    only = " ".join(f"--only {text}" for text in filters)
    return f"asapbench run {shlex.quote(suite)} {only} --set rule.{option}={plain(value)}"


def _has(panel: Panel, option: str) -> bool:
    return any(option in control_of(point.cell.rule) for point in panel.points)


def _table(
    panels: Sequence[Panel],
    layout: Layout,
    costs: Costs,
    *,
    heading: str,
    caption: str,
    metric: Metric,
    notes: Sequence[Note],
) -> Table:
    more: list[tuple[Column, Callable[[Point], Field]]] = []
    accuracies = [point.accuracy for panel in panels for point in panel.points]
    if any(one.n not in (0, usual_count(accuracies)) for one in accuracies):
        more.append((Column("n"), lambda point: Field(str(point.accuracy.n or ""))))
    if layout.selection is not None:
        more.append((Column(", ".join(layout.selection.keys)), lambda point: point.chosen or Field("")))
    rows = [
        (panel.heading, [_row(panel, point, layout, [field(point) for _, field in more]) for point in panel.points])
        for panel in panels
    ]
    return Table(
        title=heading,
        caption=f"{caption} Dominated: another rule is at least as accurate and as cheap, and better in one.",
        columns=(
            Column("Rule", "left"),
            Column("accuracy"),
            *(column for column, _ in more),
            Column(costs.kind.words),
            Column("/ BP"),
            Column("dominated by", "left"),
        ),
        groups=grouped(rows),
        notes=(*layout.footnotes.notes(), *costs.notes, *notes),
        numbers=tuple(
            n for panel in panels for point in panel.points for n in _numbers(panel, point, costs.kind, metric)
        ),
    )


def _row(panel: Panel, point: Point, layout: Layout, more: Sequence[Field]) -> Row:
    rules = ((one.cell.rule, one.cost) for one in panel.points)
    bp = next((cost for rule, cost in rules if rule.name == "bp" and not control_of(rule)), None)
    cost = Field(MISSING, emphasis="faint") if point.cost is None else Field(_figures(point.cost))
    ratio = Field("") if bp is None or point.cost is None else numeric("{:.3f}", point.cost / bp)
    on_front = point in panel.front
    stub = Field(title("rule", point.cell.rule), emphasis="strong" if on_front else "plain")
    accuracy = measured_field(point.accuracy, layout.footnotes, layout.spread)
    return Row((stub, accuracy, *more, cost, ratio, Field(_named(panel.surpassed_by(point)))))


def _named(points: Sequence[Point]) -> str:
    """The first rules, and how many more there are."""
    titles = [title("rule", one.cell.rule) for one in points]
    more = len(titles) - _LISTED
    return ", ".join(titles[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _figures(value: float) -> str:
    """Three significant figures, or all digits in front of the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _numbers(panel: Panel, point: Point, kind: Cost, metric: Metric) -> Iterator[Number]:
    of = names(point.cell)
    by = _named(panel.surpassed_by(point))
    comparison = "" if not point.is_placed else f"dominated by {by}" if by else "not dominated"
    variant = ", ".join(filter(None, (point.variant, comparison)))
    yield number(point.accuracy, names=of, metric=metric, variant=variant)
    dataset, model, rule = of
    cost = None if point.cost is None else point.cost * kind.scale
    yield Number(
        dataset=dataset,
        model=model,
        rule=rule,
        variant=variant,
        measured=cost,
        metric=f"{kind} of a step",
        unit=kind.unit,
    )


def _draw(panels: Sequence[Panel], kind: Cost, spread: Spread, *, heading: str, caption: str, sheet: Sheet) -> Figure:
    drawn = [panel for panel in panels if panel.placed]
    style.require_room("--pareto", len(drawn), style.PANELS, what="panels", fix="choose with --only")
    rules = list(dict.fromkeys(point.cell.rule for panel in drawn for point in panel.points if point.is_placed))
    look_of = dict(zip(rules, looks((rule, "") for rule in rules), strict=True))
    columns = min(len(drawn), 2 if len(drawn) in (2, 4) else 3)
    figure, grid = style.panels(
        heading,
        f"{caption} The line joins the rules that none surpasses.",
        len(drawn),
        sheet=sheet,
        columns=columns,
        width=8.0 if columns == 1 else 2.0 + 4.0 * columns,
        height=4.5 if columns == 1 else 3.2,
    )
    handles: dict[Choice, Any] = {}
    for axes, panel in zip(grid, drawn, strict=True):
        _draw_front(axes, panel)
        for point in panel.placed:
            how = {**matplotlib_line(look_of[point.cell.rule]), "linestyle": "none"}
            ends, (cost, mean) = spread.ends(point.accuracy), point.place
            error = None if ends is None else [[mean - ends[0]], [ends[1] - mean]]
            label = title("rule", point.cell.rule)
            handles[point.cell.rule] = axes.errorbar([cost], [mean], yerr=error, capsize=2, label=label, **how)
        if len(drawn) > 1:
            style.title_panel(axes, panel.heading)
        axes.set_xlabel(kind.words)
    style.outer_labels(grid, "test accuracy in %")
    style.legend(grid, [handles[rule] for rule in rules], labels=[title("rule", rule) for rule in rules])
    return figure


def _draw_front(axes: Axes, panel: Panel) -> None:
    """The best accuracy that each cost buys, as steps up to the edge of the panel."""
    costs = [point.place[0] for point in panel.placed]
    if min(costs) > 0 and max(costs) > _FAR * min(costs):
        axes.set_xscale("log")
    front = panel.front
    x, y = zip(*(point.place for point in front), strict=True)
    axes.plot([*x, max(costs)], [*y, y[-1]], drawstyle="steps-post", color="#999999", linewidth=1.0, zorder=1)
