"""`report --pareto`: accuracy against the cost of a training step, and the rules that no other rule surpasses in both.

A rule that needs less memory than BP has controls: BP in as little, by parts of a batch and by activation
checkpointing. Where a suite lacks them, a note says how to train them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asapbench.errors import AsapbenchError
from asapbench.report.configuration import MISSING, measured_field, names, number
from asapbench.report.controls import Matched, Memory, Peaks, commands
from asapbench.report.cost import Costs
from asapbench.report.figures import style
from asapbench.report.figures.looks import looks, matplotlib_line
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import Sheet
from asapbench.report.grid import control_of
from asapbench.report.quantity import Cost, Metric
from asapbench.report.statistics import Spread, Summary, spread_and_count, usual_count
from asapbench.report.suite import Layout
from asapbench.report.table import Column, Field, Footnotes, Note, Number, Row, Table, grouped, numeric
from asapbench.rules.bp import BP
from asapbench.suite.cell import Cell, title
from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    """The rules on one model and data set, or one row of a suite where more varies.

    `bp`: the suite's cell of plain BP. `matched`: the controls of each rule that is not BP, where there is BP.
    """

    heading: str
    points: tuple[Point, ...]
    bp: Cell | None
    matched: Mapping[Choice, Matched]

    def point_of(self, rule: Choice) -> Point | None:
        """The point of this very rule."""
        return next((point for point in self.points if point.cell.rule == rule), None)

    @property
    def joined(self) -> Iterator[tuple[Point, Point]]:
        """Each rule that is drawn with each of its controls that is."""
        placed = {point.cell.rule: point for point in self.placed}
        for rule, matched in self.matched.items():
            drawn = [placed[control.rule] for control in matched.controls if control.rule in placed]
            yield from ((placed[rule], control) for control in drawn if rule in placed)

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
    layout: Layout,
    costs: Costs,
    memory: Memory,
    *,
    heading: str,
    metric: Metric,
    suite: str,
    filters: Sequence[str] = (),
    notes: Sequence[Note] = (),
) -> Illustration:
    """One panel for each row of the suite. By `memory` controls are matched; `asapbench run` takes `suite`, `filters`.

    Raises AsapbenchError where no rule has both an accuracy and a cost.
    """
    found = _panels(layout, costs, memory)
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
    explained_controls = [memory.note] if any(panel.matched for panel in found) else []
    lacking = _lacking_controls(found, layout.grid.cells, suite, filters)
    more = (*_without_choice(layout), *explained_controls, *lacking, *notes)
    return Illustration(
        _table(found, layout, costs, heading=heading, caption=caption, metric=metric, notes=more),
        lambda sheet: _draw(found, costs.kind, layout.spread, heading=heading, caption=caption, sheet=sheet),
    )


def _panels(layout: Layout, costs: Costs, memory: Memory) -> list[Panel]:
    panels = []
    for row in layout.grid.rows:
        first = next(iter(row.values()))
        bp = next((cell for rule, cell in row.items() if rule.name == BP.entry.name and not control_of(rule)), None)
        points = []
        for cell in row.values():
            if (trained := layout.found.get(cell.group)) is None or not trained.summary.ended:
                continue
            cost = costs.of_groups.get(trained.cell.group)
            chosen = layout.chosen_field(cell, layout.selection) if layout.selection else None
            shown = None if cost is None else cost / costs.kind.scale
            points.append(Point(trained.cell, trained.summary, shown, chosen, layout.variant(cell)))
        matched = _matched(bp, {point.cell.rule: point.cell for point in points}, memory)
        panels.append(Panel(_place(first, layout), tuple(points), bp, matched))
    return [panel for panel in panels if panel.points]


def _matched(bp: Cell | None, trained: Mapping[Choice, Cell], memory: Memory) -> dict[Choice, Matched]:
    if bp is None:
        return {}
    peaks = Peaks(trained.get(bp.rule, bp), trained, memory)
    return {rule: peaks.matched(rule) for rule in trained if rule.name != bp.rule.name}


def _place(cell: Cell, layout: Layout) -> str:
    model = title("model", cell.model).removesuffix(layout.grid.shared)
    return ", ".join(filter(None, (title("dataset", cell.dataset), model, layout.grid.variant(cell))))


def _without_choice(layout: Layout) -> Iterator[Note]:
    """Why a rule is not shown, where a selection has no choice for it."""
    impossible = layout.selection.impossible if layout.selection else {}
    for cell in layout.grid.cells:
        if why := impossible.get(cell.group):
            yield Note(f"Not shown: {title('rule', cell.rule)} on {_place(cell, layout)}: {why}.")


def _lacking_controls(
    panels: Sequence[Panel], cells: Sequence[Cell], suite: str, filters: Sequence[str]
) -> Iterator[Note]:
    """How to train the controls that a panel lacks; `cells` are those of the report, which pass its `filters`."""
    if not any(panel.bp for panel in panels):
        yield Note("The control of every cost, BP, is not among these rules: add it to the suite.")
    lacking: dict[Choice, list[Cell]] = {}
    for panel in panels:
        wanted = [control.rule for matched in panel.matched.values() for control in matched.controls]
        for rule in dict.fromkeys(wanted):
            if rule is not None and panel.bp is not None and panel.point_of(rule) is None:
                lacking.setdefault(rule, []).append(panel.bp)
    if lacking:
        text = "To train BP in the memory of these rules, with the same --set and --seeds as these cells:"
        yield Note(text, tuple(commands(lacking, cells, suite=suite, filters=filters)))


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
    has_controls = any(panel.matched for panel in panels)
    rows = [
        (
            panel.heading,
            [
                Row(
                    (
                        *_fields(panel, point, layout, [field(point) for _, field in more]),
                        *([_controls_field(panel, point, layout.footnotes)] if has_controls else []),
                    )
                )
                for point in panel.points
            ],
        )
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
            *([Column("BP in its memory", "left")] if has_controls else []),
        ),
        groups=grouped(rows),
        notes=(*layout.footnotes.notes(), *costs.notes, *notes),
        numbers=tuple(
            n for panel in panels for point in panel.points for n in _numbers(panel, point, costs.kind, metric)
        ),
    )


def _fields(panel: Panel, point: Point, layout: Layout, more: Sequence[Field]) -> tuple[Field, ...]:
    rules = ((one.cell.rule, one.cost) for one in panel.points)
    bp = next((cost for rule, cost in rules if rule.name == "bp" and not control_of(rule)), None)
    cost = Field(MISSING, emphasis="faint") if point.cost is None else Field(_figures(point.cost))
    ratio = Field("") if bp is None or point.cost is None else numeric("{:.3f}", point.cost / bp)
    on_front = point in panel.front
    stub = Field(title("rule", point.cell.rule), emphasis="strong" if on_front else "plain")
    accuracy = measured_field(point.accuracy, layout.footnotes, layout.spread)
    return stub, accuracy, *more, cost, ratio, Field(_named(panel.surpassed_by(point)))


def _controls_field(panel: Panel, point: Point, footnotes: Footnotes) -> Field:
    """The controls of a rule. Those that are not trained have a footnote."""
    matched = panel.matched.get(point.cell.rule)
    if matched is None:
        return Field("")
    if matched.fault:
        return Field(MISSING, (footnotes.mark(f"its memory is not known: {matched.fault}"),), emphasis="faint")
    if not matched.controls:
        return Field("BP")
    lacking = [one.text for one in matched.controls if one.rule is not None and panel.point_of(one.rule) is None]
    marks = (footnotes.mark(f"not trained: {', '.join(lacking)}"),) if lacking else ()
    return Field("; ".join(one.text for one in matched.controls), marks)


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
    cost = Number(
        dataset=of[0],
        model=of[1],
        rule=of[2],
        variant=variant,
        measured=None if point.cost is None else point.cost * kind.scale,
        metric=f"{kind} of a step",
        unit=kind.unit,
    )
    yield cost
    for control in panel.matched.get(point.cell.rule, Matched()).controls:
        way = "BP with checkpointing" if control.checkpointing else "BP"
        yield replace(cost, measured=control.parts, metric=f"{way} in its memory", unit="parts")


def _draw(panels: Sequence[Panel], kind: Cost, spread: Spread, *, heading: str, caption: str, sheet: Sheet) -> Figure:
    drawn = [panel for panel in panels if panel.placed]
    rules = list(dict.fromkeys(point.cell.rule for panel in drawn for point in panel.points if point.is_placed))
    look_of = dict(zip(rules, looks((rule, "") for rule in rules), strict=True))
    dotted = " Dotted: from a rule to BP in its memory." if any(any(panel.joined) for panel in drawn) else ""
    caption = f"{caption} The line joins the rules that none surpasses.{dotted}"
    figure, grid = style.networks(heading, caption, len(drawn), sheet=sheet, option="--pareto", what="panels")
    handles: dict[Choice, Any] = {}
    for axes, panel in zip(grid, drawn, strict=True):
        _draw_front(axes, panel)
        for point, control in panel.joined:
            x, y = zip(point.place, control.place, strict=True)
            color = matplotlib_line(look_of[point.cell.rule])["color"]
            axes.plot(x, y, color=color, linestyle=":", linewidth=1.0, zorder=1)
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
