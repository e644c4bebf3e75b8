"""Angles of each layer by epoch, one panel for each configuration: Figure 6 (Forward Alignment, A.2) and any cells.

Training with `--alignment` records the angles; epoch 0 is before training. A line is the mean over the seeds that have
the angle, at the epochs that all of these seeds have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from asapbench.errors import AsapbenchError
from asapbench.metrics import Alignment
from asapbench.report.configuration import plain_field
from asapbench.report.figures.by_epoch import ByEpoch, Line, Recorded, by_epoch, draw_line, label_epochs
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import COLORS, MARKERS, legend_beside, line_style, literal, panels, require_room
from asapbench.report.published import SOURCE
from asapbench.report.quantity import Angle
from asapbench.report.statistics import Summary
from asapbench.report.table import Note
from asapbench.store.records import db_option
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.suite.shapes import layers_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from asapbench.store import Store

SUITE = "forward_alignment"
"""The suite whose cells Figure 6 shows: those with the default options of the rule."""

_PANELS = 8
"""The most panels of a picture."""


def figure6(store: Store) -> Illustration:
    """Figure 6 from the suite's cells in the database, with any seed."""
    wanted = {cell.group: cell for cell in load(SUITE).cells if cell.rule == RULES[SUITE].choose()}
    results = [result for result in store.results() if result.cell.group in wanted]
    angled = [Recorded(result, store.alignment(result.attempt.lineage)) for result in results]
    return weight_alignment(angled, list(wanted.values()), option=db_option(store.url))


def weight_alignment(
    recorded: Iterable[Recorded[Alignment]], wanted: Sequence[Cell], *, option: str = ""
) -> Illustration:
    """Figure 6 from trainings of the configurations `wanted`, one cell of each.

    Raises AsapbenchError, with the command that measures the angles and its `option` --db, where there is none.
    """
    order = [cell.group for cell in wanted]
    found = sorted(recorded, key=lambda one: order.index(one.result.cell.group))
    measured = {one.result.cell.group for one in found if one.rows}
    default = " ".join(f"--only rule.{name}={value}" for name, value in reversed(RULES[SUITE].choose().options))
    filters = f"{SUITE} --only rule={SUITE} {default}"
    verb = "rerun" if any(one.result.attempt.state == "done" and not one.rows for one in found) else "run"
    command = f"asapbench {verb} {filters} --alignment"
    if not measured:
        raise AsapbenchError(f"--figure 6: no angle of these networks is measured yet; to fill: {command}{option}")
    notes = [Note("Other networks of this figure are not measured yet. To fill:", (command,))]
    return angle_curves(
        found,
        angle=Angle.WEIGHTS,
        heading="Figure 6. Weight alignment in Forward Alignment",
        what="Angle between a layer's weight W and its fixed random C",
        label=_paper_network,
        layers=_paper_layers,
        source=f" ({SOURCE}, A.2; the printed curves are not known)",
        notes=notes if measured != set(order) else [],
    )


def _paper_network(cell: Cell) -> str:
    """`Linear network 784-10-10-10`."""
    layers = layers_for(cell.model, cell.dataset)
    kind = "Nonlinear" if cell.model.flag("nonlinear") else "Linear"
    return f"{kind} network {'-'.join(str(n) for n in (layers[0].inputs, *(layer.outputs for layer in layers)))}"


def _paper_layers(cell: Cell) -> dict[str, str]:
    """The names of A.2: layer 1 is the first 10x10 layer, layer 2 the second."""
    sizes = {layer.name: f"{layer.inputs}x{layer.outputs}" for layer in layers_for(cell.model, cell.dataset)}
    return {name: f"layer {place} ({size})" if place else size for place, (name, size) in enumerate(sizes.items())}


def angle_curves(
    recorded: Iterable[Recorded[Alignment]],
    *,
    angle: Angle,
    heading: str,
    what: str = "",
    label: Callable[[Cell], str] | None = None,
    layers: Callable[[Cell], dict[str, str]] = lambda _: {},
    source: str = "",
    notes: Sequence[Note] = (),
) -> Illustration:
    """A panel for each configuration that has the angle, in the order in which they first appear.

    `what` describes the angle. `label` names a configuration; by default the fields in which it differs from the others
    do. `layers` names layers by their names in the model; a layer that it lacks keeps its name.
    Raises AsapbenchError where no configuration has the angle.
    """
    found = by_epoch(
        [Recorded(one.result, [row for row in one.rows if row.quantity == angle]) for one in recorded],
        lambda members: _lines(members, layers(members[0].result.cell)),
        heading=heading,
        metric=f"angle of {angle}",
        unit="degrees",
        label=label,
        missing=f"--alignment {angle}: none of these cells has such an angle: run measures it with --alignment, and "
        "rerun that of cells that are done",
    )
    shared = f"{found.shared}. " if found.shared else ""
    described = f"{shared}{what or angle.described}, in degrees (0: agreement, 90: no relation); {found.spread}."
    table = found.table(
        f"{described} The column titles are epochs, 0 before training",
        [
            (name, line.label, line)
            for name, one in zip(found.names, found.configurations, strict=True)
            for line in one.lines
        ],
        stub="Layer",
        field=lambda point: plain_field(point, ".1f"),
        notes=notes,
    )
    return Illustration(table, lambda: _draw(found, described + source))


def _lines(members: Sequence[Recorded[Alignment]], titles: dict[str, str]) -> Iterator[Line]:
    values = [{(row.layer, row.epoch): row.degrees for row in one.rows} for one in members]
    for layer in dict.fromkeys(row.layer for row in members[0].rows):
        epochs = [e for name, e in values[0] if name == layer and all((layer, e) in rows for rows in values)]
        samples = [[rows[layer, epoch] for rows in values] for epoch in epochs]
        points = [Summary(tuple(s for s in at_epoch if s is not None and None not in at_epoch)) for at_epoch in samples]
        yield Line(titles.get(layer, layer), tuple(epochs), tuple(points))


def _draw(found: ByEpoch, described: str) -> Figure:
    from matplotlib.ticker import MultipleLocator

    count = len(found.configurations)
    require_room("--alignment", count, _PANELS, what="configurations", fix="choose with --only")
    columns = min(2, count)
    most = max(len(one.lines) for one in found.configurations)
    figure, grid = panels(
        found.heading,
        described,
        count,
        columns=columns,
        width=2.0 + 5.0 * columns,
        height=max(3.6, 1.2 + 0.15 * most),
    )
    degrees = [number.measured for number in found.numbers if number.measured is not None]
    bottom, top = 30 * (min(degrees, default=0.0) // 30), 1.08 * max(90.0, *degrees)
    for axes, name, one in zip(grid, found.names, found.configurations, strict=True):
        axes.set_title(literal(name), fontsize=10, loc="left")
        _draw_panel(axes, one.lines)
        axes.set_ylim(bottom, top)
        axes.yaxis.set_major_locator(MultipleLocator(10 if top - bottom < 60 else 30))
    return figure


def _draw_panel(axes: Axes, lines: Sequence[Line]) -> None:
    for place, line in enumerate(lines):
        draw_line(axes, line, label=literal(line.label), markersize=4, style=_style(place, len(lines)))
    axes.axhline(90, color="black", linewidth=0.8, linestyle="--")
    axes.set_ylabel("degrees")
    label_epochs(axes)
    legend_beside(axes, fontsize=7 if len(lines) > 8 else None)


def _style(place: int, count: int) -> dict[str, Any]:
    """The palette's for a few lines; for many, colours by depth, from the first layer to the last."""
    from matplotlib import colormaps

    if count <= len(COLORS):
        return line_style(place)
    return {"color": colormaps["viridis"](0.92 * place / (count - 1)), "marker": MARKERS[place % len(MARKERS)]}
