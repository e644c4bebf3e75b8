"""`report --pareto`: accuracy against the cost of a training step, and the rules that no other rule surpasses in both.

BP with activation checkpointing and with gradient accumulation are always controls: where a suite lacks them, a note
says how to train them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.errors import AsapbenchError
from asapbench.report.configuration import MISSING, measured_field, names, number
from asapbench.report.cost import Costs
from asapbench.report.figures import style
from asapbench.report.figures.looks import looks, matplotlib_line
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import Sheet
from asapbench.report.quantity import Cost, Metric
from asapbench.report.statistics import Spread, Summary, spread_and_count
from asapbench.report.suite import Layout
from asapbench.report.table import Column, Field, Footnotes, Note, Number, Row, Table, grouped, numeric
from asapbench.rules.bp import CHECKPOINTING, MICRO_BATCHES
from asapbench.suite.cell import Cell, title
from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CONTROLS = {CHECKPOINTING.name: "true", MICRO_BATCHES.name: "2"}
"""The options of BP that make it a control, and a value for a command."""

_LISTED = 3

_FAR = 8
"""Costs that differ by more than this factor are on a logarithmic axis."""


@dataclass(frozen=True)
class Point:
    """A rule in one panel. `cost` is in the unit that is shown, None where it is not known."""

    cell: Cell
    accuracy: Summary
    cost: float | None

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
    caption = (
        f"Test accuracy in percent {metric.described}, {spread_and_count(summaries, spread=layout.spread)}, against "
        f"{costs.kind.described}."
    )
    controls = tuple(_lacking_controls(found, suite))
    return Illustration(
        _table(found, layout, costs, heading=heading, caption=caption, metric=metric, notes=(*controls, *notes)),
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
            points.append(Point(trained.cell, trained.summary, None if cost is None else cost / costs.kind.scale))
        model = title("model", first.model).removesuffix(layout.grid.shared)
        named = (title("dataset", first.dataset), model, layout.grid.variant(first))
        panels.append(Panel(", ".join(filter(None, named)), tuple(points)))
    return [panel for panel in panels if panel.points]


def _lacking_controls(panels: Sequence[Panel], suite: str) -> Iterator[Note]:
    """How to train the controls that a panel lacks."""
    lacking = [name for name in _CONTROLS if any(not _has(panel, name) for panel in panels)]
    if not any(point.cell.rule.name == "bp" for panel in panels for point in panel.points):
        yield Note("The control of every cost, BP, is not among these rules: add it to the suite.")
    elif lacking:
        yield Note(
            "Exact gradients in as little memory are the control of a rule that needs less. A panel lacks BP with "
            f"{' and with '.join(lacking)}. To train them, with the same --set as these cells, and more parts until "
            "they need what the rule needs:",
            tuple(
                f"asapbench run {shlex.quote(suite)} --only rule=bp --set rule.{name}={_CONTROLS[name]}"
                for name in lacking
            ),
        )


def _has(panel: Panel, option: str) -> bool:
    default = {one.name: one.default for one in (CHECKPOINTING, MICRO_BATCHES)}[option]
    return any(dict(point.cell.rule.options).get(option, default) != default for point in panel.points)


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
    footnotes = Footnotes()
    rows = [
        (panel.heading, [_row(panel, point, layout.spread, footnotes) for point in panel.points]) for panel in panels
    ]
    return Table(
        title=heading,
        caption=f"{caption} Dominated: another rule is at least as accurate and as cheap, and better in one.",
        columns=(
            Column("Rule", "left"),
            Column("accuracy"),
            Column(costs.kind.words),
            Column("/ BP"),
            Column("dominated by", "left"),
        ),
        groups=grouped(rows),
        notes=(*footnotes.notes(), *costs.notes, *notes),
        numbers=tuple(
            n for panel in panels for point in panel.points for n in _numbers(panel, point, costs.kind, metric)
        ),
    )


def _row(panel: Panel, point: Point, spread: Spread, footnotes: Footnotes) -> Row:
    bp = next((one.cost for one in panel.points if one.cell.rule.name == "bp" and not _is_control(one.cell.rule)), None)
    cost = Field(MISSING, emphasis="faint") if point.cost is None else Field(_figures(point.cost))
    ratio = Field("") if bp is None or point.cost is None else numeric("{:.3f}", point.cost / bp)
    on_front = point in panel.front
    stub = Field(title("rule", point.cell.rule), emphasis="strong" if on_front else "plain")
    return Row(
        (stub, measured_field(point.accuracy, footnotes, spread), cost, ratio, Field(_named(panel.surpassed_by(point))))
    )


def _named(points: Sequence[Point]) -> str:
    """The first rules, and how many more there are."""
    titles = [title("rule", one.cell.rule) for one in points]
    more = len(titles) - _LISTED
    return ", ".join(titles[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _is_control(rule: Choice) -> bool:
    return any(value != {CHECKPOINTING.name: False, MICRO_BATCHES.name: 1}.get(name) for name, value in rule.options)


def _figures(value: float) -> str:
    """Three significant figures, or all digits in front of the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _numbers(panel: Panel, point: Point, kind: Cost, metric: Metric) -> Iterator[Number]:
    of = names(point.cell)
    by = _named(panel.surpassed_by(point))
    variant = "" if not point.is_placed else f"dominated by {by}" if by else "not dominated"
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
