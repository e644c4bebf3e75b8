"""Angles by layer against epochs, a panel a configuration: Figure 6 (Forward Alignment, A.2) and any cells.

The angles are those that training with `--alignment` has stored; epoch 0 is before training. A line is the mean over
the seeds that have them, at the epochs that all of these have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

from asapbench.errors import AsapbenchError
from asapbench.metrics import Alignment
from asapbench.report.configuration import (
    MISSING,
    comparable,
    distinguishing_fields,
    names,
    number,
    state_text,
)
from asapbench.report.figures.picture import Illustration
from asapbench.report.metric import Metric
from asapbench.report.published import SOURCE
from asapbench.report.quantity import Angle
from asapbench.report.statistics import Summary, spread_and_count, summarize, usual_count
from asapbench.report.table import Column, Field, Group, Note, Row, Table
from asapbench.store import Result
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.columns import field_text
from asapbench.suite.load import load
from asapbench.suite.shapes import layers_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUITE = "forward_alignment"
"""Whose cells Figure 6 shows: those of the rule's default reading."""

_FIGURE6 = "Figure 6. Weight alignment in Forward Alignment"
_COLUMNS = 5
"""Epochs that the printed table shows; the long form has all."""
_PANELS = 8
"""As many the picture takes."""


@dataclass(frozen=True)
class Wording:
    """How a figure speaks of its angles: `what` they are, a configuration's panel, its layers by name in the model.

    What `panel` is None for is called by the fields that tell it apart; a layer that `layers` leaves out by its name.
    """

    what: str
    panel: Callable[[Cell], str] | None = None
    layers: Callable[[Cell], dict[str, str]] = lambda _: {}


@dataclass(frozen=True)
class Angled:
    """A cell's current attempt and the angles of its lineage, by epoch, layers in forward order."""

    result: Result
    rows: Sequence[Alignment]


@dataclass(frozen=True)
class Line:
    """One layer: at each of `epochs` its summary over seeds, in degrees."""

    layer: str
    epochs: tuple[int, ...]
    points: tuple[Summary, ...]


@dataclass(frozen=True)
class Panel:
    """One configuration over `n` seeds. `state` is that of its trainings."""

    cell: Cell
    label: str
    state: str
    n: int
    lines: tuple[Line, ...]

    def name(self, usual: int) -> str:
        """Its label, with what is unusual of it: its state where it is not done, n where it is not `usual`."""
        remarks = [*([] if self.state == "done" else [self.state]), *([] if self.n == usual else [f"n = {self.n}"])]
        return f"{self.label} ({', '.join(remarks)})" if remarks else self.label


@dataclass(frozen=True)
class AngleCurves:
    """The numbers of the picture. `shared` is what all panels have in common."""

    angle: Angle
    heading: str
    what: str
    shared: str
    panels: tuple[Panel, ...]

    @property
    def described(self) -> str:
        """What a line is, and over how many seeds."""
        shared = f"{self.shared}. " if self.shared else ""
        spread = spread_and_count(self._ends, others="beside it")
        return f"{shared}{self.what}, in degrees (0: agreement, 90: no relation); {spread}."

    @property
    def names(self) -> list[str]:
        """What each panel is called."""
        usual = usual_count(self._ends)
        return [panel.name(usual) for panel in self.panels]

    @property
    def _ends(self) -> list[Summary]:
        return [line.points[-1] for panel in self.panels for line in panel.lines if line.points]


def figure6(url: str, metric: Metric | None) -> Illustration:
    """The figure of the suite's cells in the database at `url`, whatever the seed."""
    if metric is not None:
        raise AsapbenchError("--metric: Figure 6 holds angles, which have no metric; leave it out")
    from asapbench.store import Store

    wanted = {cell.group: cell for cell in load(SUITE).cells if cell.rule == RULES[SUITE].choose()}
    with Store.read_only(url) as store:
        results = [result for result in store.results() if result.cell.group in wanted]
        angled = [Angled(result, store.alignment(result.attempt.lineage)) for result in results]
    return weight_alignment(angled, list(wanted.values()))


def weight_alignment(angled: Iterable[Angled], wanted: Sequence[Cell]) -> Illustration:
    """Figure 6 from the trainings of the configurations `wanted`, of which each gives one of its cells.

    Raises AsapbenchError, with the command that measures them, where no angle is there.
    """
    order = [cell.group for cell in wanted]
    found = sorted(angled, key=lambda one: order.index(one.result.cell.group))
    there = {one.result.cell.group for one in found if one.rows}
    default = " ".join(f"--only rule.{name}={value}" for name, value in reversed(RULES[SUITE].choose().options))
    filters = f"{SUITE} --only rule={SUITE} {default}"
    verb = "rerun" if any(one.result.attempt.state == "done" and not one.rows for one in found) else "run"
    command = f"asapbench {verb} {filters} --alignment"
    if not there:
        raise AsapbenchError(f"--figure 6: no angle of these networks is measured yet; to fill: {command}")
    notes = [Note("Other networks of this figure are not measured yet. To fill:", (command,))]
    return angle_curves(
        found,
        angle=Angle.WEIGHTS,
        heading=_FIGURE6,
        wording=_PAPER,
        source=f" ({SOURCE}, A.2; the printed curves are not known)",
        notes=notes if there != set(order) else [],
    )


def _paper_panel(cell: Cell) -> str:
    """`Linear network 784-10-10-10`."""
    layers = layers_for(cell.model, cell.dataset)
    kind = "Nonlinear" if cell.model.flag("nonlinear") else "Linear"
    return f"{kind} network {'-'.join(str(n) for n in (layers[0].inputs, *(layer.outputs for layer in layers)))}"


def _paper_layers(cell: Cell) -> dict[str, str]:
    """A.2's names: layer 1 is the first 10x10 layer, layer 2 the second."""
    sizes = {layer.name: f"{layer.inputs}x{layer.outputs}" for layer in layers_for(cell.model, cell.dataset)}
    return {name: f"layer {place} ({size})" if place else size for place, (name, size) in enumerate(sizes.items())}


_PAPER = Wording("Angle between a layer's weight W and its fixed random C", _paper_panel, _paper_layers)


def angle_curves(
    angled: Iterable[Angled],
    *,
    angle: Angle,
    heading: str,
    wording: Wording | None = None,
    source: str = "",
    notes: Sequence[Note] = (),
) -> Illustration:
    """A panel for each configuration that has such angles, in the order in which they first appear.

    Raises AsapbenchError where none has.
    """
    groups: dict[str, list[Angled]] = {}
    for one in angled:
        rows = [row for row in one.rows if row.quantity == angle]
        if rows and not one.result.outdated:
            groups.setdefault(one.result.cell.group, []).append(Angled(one.result, rows))
    if not groups:
        raise AsapbenchError(
            f"--alignment {angle}: none of these cells has such an angle; `asapbench run --alignment` measures them, "
            "`asapbench rerun --alignment` those that are done"
        )
    chosen = [comparable(members) for members in groups.values()]
    own, shared = distinguishing_fields([members[0].result.cell for members in chosen])
    said = wording or Wording(angle.described)
    panels = tuple(_panel(members, own, said) for members in chosen)
    found = AngleCurves(angle, heading, said.what, shared, panels)
    return Illustration(_table(found, notes), lambda: _draw(found, source))


def _panel(members: Sequence[Angled], own: Sequence[str], wording: Wording) -> Panel:
    cell = members[0].result.cell
    titles = wording.layers(cell)
    values = [{(row.layer, row.epoch): row.degrees for row in one.rows} for one in members]
    lines = []
    for layer in dict.fromkeys(row.layer for row in members[0].rows):
        epochs = [e for name, e in values[0] if name == layer and all((layer, e) in rows for rows in values)]
        samples = [[rows[layer, epoch] for rows in values] for epoch in epochs]
        points = [summarize([s for s in at_epoch if s is not None and None not in at_epoch]) for at_epoch in samples]
        lines.append(Line(titles.get(layer, layer), tuple(epochs), tuple(points)))
    states = dict.fromkeys(state_text(one.result) for one in members)
    label = wording.panel(cell) if wording.panel else ", ".join(field_text(cell, name) for name in own)
    return Panel(cell, label, "/".join(states), len(members), tuple(lines))


def _table(found: AngleCurves, notes: Sequence[Note]) -> Table:
    epochs = _shown_epochs(found)
    return Table(
        title=found.heading,
        caption=f"{found.described} Epochs stand above the columns, 0 before training; CSV and JSON hold every one.",
        columns=(Column("Layer", "left"), *(Column(str(epoch)) for epoch in epochs)),
        groups=tuple(
            Group(name, tuple(_row(line, epochs) for line in panel.lines))
            for name, panel in zip(found.names, found.panels, strict=True)
        ),
        notes=tuple(notes),
        numbers=tuple(
            number(
                point,
                names=names(panel.cell),
                metric=f"angle of {found.angle}",
                unit="degrees",
                variant=f"{panel.label}, {line.layer}, epoch {epoch}",
            )
            for panel in found.panels
            for line in panel.lines
            for epoch, point in zip(line.epochs, line.points, strict=True)
        ),
        metric=f"angle of {found.angle}",
        unit="degrees",
    )


def _shown_epochs(found: AngleCurves) -> list[int]:
    """The first epoch, the last, and some between, evenly, of those that are there."""
    there = sorted({epoch for panel in found.panels for line in panel.lines for epoch in line.epochs})
    return sorted({there[round(n * (len(there) - 1) / (_COLUMNS - 1))] for n in range(_COLUMNS)})


def _row(line: Line, epochs: Sequence[int]) -> Row:
    by_epoch = dict(zip(line.epochs, line.points, strict=True))
    return Row((Field(line.layer), *(_field(by_epoch.get(epoch)) for epoch in epochs)))


def _field(point: Summary | None) -> Field:
    if point is None or point.mean is None:
        return Field(MISSING, emphasis="faint")
    return Field(f"{point.mean:.1f}" + ("" if point.sd is None else f" ± {point.sd:.1f}"))


def _draw(found: AngleCurves, source: str) -> Figure:
    from matplotlib.ticker import MultipleLocator

    from asapbench.report.figures.style import literal, panels

    if len(found.panels) > _PANELS:
        raise AsapbenchError(
            f"--alignment: {len(found.panels)} configurations are too many for one picture, which takes {_PANELS}; "
            "choose with --only"
        )
    columns = min(2, len(found.panels))
    most = max(len(panel.lines) for panel in found.panels)
    figure, grid = panels(
        found.heading,
        found.described + source,
        len(found.panels),
        columns=columns,
        width=2.0 + 5.0 * columns,
        height=max(3.6, 1.2 + 0.15 * most),
    )
    degrees = [
        point.mean for panel in found.panels for line in panel.lines for point in line.points if point.mean is not None
    ]
    bottom, top = 30 * (min(degrees, default=0.0) // 30), 1.08 * max(90.0, *degrees)
    for axes, name, panel in zip(grid, found.names, found.panels, strict=True):
        axes.set_title(literal(name), fontsize=10, loc="left")
        _draw_panel(axes, panel)
        axes.set_ylim(bottom, top)
        axes.yaxis.set_major_locator(MultipleLocator(10 if top - bottom < 60 else 30))
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    from asapbench.report.figures.style import legend_beside, literal

    for place, line in enumerate(panel.lines):
        means = [nan if point.mean is None else point.mean for point in line.points]
        style = _style(place, len(panel.lines))
        every = max(1, len(means) // 10)
        axes.plot(line.epochs, means, label=literal(line.layer), markevery=every, markersize=4, **style)
        if any(point.sd for point in line.points):
            lower, upper = (
                [mean + sign * (point.sd or 0.0) for mean, point in zip(means, line.points, strict=True)]
                for sign in (-1, 1)
            )
            axes.fill_between(line.epochs, lower, upper, color=style["color"], alpha=0.15, linewidth=0)
    axes.axhline(90, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("epoch")
    axes.set_ylabel("degrees")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend_beside(axes, fontsize=7 if len(panel.lines) > 8 else None)


def _style(place: int, count: int) -> dict[str, Any]:
    """The palette's for a few lines; for many, colours by depth, from the first layer to the last."""
    from matplotlib import colormaps

    from asapbench.report.figures.style import COLORS, MARKERS, line_style

    if count <= len(COLORS):
        return line_style(place)
    return {"color": colormaps["viridis"](0.92 * place / (count - 1)), "marker": MARKERS[place % len(MARKERS)]}
