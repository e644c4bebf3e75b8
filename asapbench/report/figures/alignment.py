"""Angles of each layer by epoch, one panel for each configuration: Figure 6 (Forward Alignment, A.2) and any cells.

Training with `--alignment` records the angles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from asapbench.errors import AsapbenchError
from asapbench.metrics import Alignment
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.by_layer import LayerValue, Shown, layer_curves
from asapbench.report.figures.picture import Illustration
from asapbench.report.published import SOURCE
from asapbench.report.quantity import Angle
from asapbench.report.table import Note
from asapbench.store.records import db_option, to_paste
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.suite.shapes import layers_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from asapbench.store import Result, Store

SUITE = "forward_alignment"
"""The suite whose cells Figure 6 shows: those with the default options of the rule."""


_UNRELATED = 90.0
"""Degrees between vectors that have nothing to do with each other."""


def figure6(store: Store, results: Sequence[Result]) -> Illustration:
    """Figure 6 from those of `results` that are of the suite's cells, with any seed."""
    wanted = {cell.group: cell for cell in load(SUITE).cells if cell.rule == RULES[SUITE].choose()}
    shown = [result for result in results if result.cell.group in wanted]
    angled = [Recorded(result, store.alignment(result.attempt.lineage)) for result in shown]
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
        fill = " && ".join(to_paste([command], option))
        raise AsapbenchError(f"--figure 6: no angle of these networks is measured yet; to fill: {fill}")
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
        lines=True,
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
    lines: bool = False,
) -> Illustration:
    """A panel for each configuration that has the angle, in the order in which they first appear.

    `what` describes the angle. `label` names a configuration; by default the fields in which it differs from the others
    do. `layers` names layers by their names in the model; a layer that it lacks keeps its name.
    With `lines`, layers are lines instead of the rows of a heatmap. Raises AsapbenchError where no configuration has
    the angle.
    """
    shown = Shown(
        option="--alignment",
        metric=f"angle of {angle}",
        unit="degrees",
        axis="degrees",
        described=f"{what or angle.described}, in degrees (0: agreement, 90: no relation)",
        explained=source,
        digits=".1f",
        missing=f"--alignment {angle}: none of these cells has such an angle: run measures it with --alignment, and "
        "rerun that of cells that are done",
        levels=(_UNRELATED,),
        scale=_degrees,
        top=None if lines else _UNRELATED,
    )
    values = [
        Recorded(one.result, [LayerValue(r.epoch, r.layer, r.degrees) for r in one.rows if r.quantity == angle])
        for one in recorded
    ]
    return layer_curves(values, shown, heading=heading, label=label, layers=layers, notes=notes)


def _degrees(grid: Sequence[Axes], values: Sequence[float]) -> None:
    from matplotlib.ticker import MultipleLocator

    bottom, top = 30 * (min(values, default=0.0) // 30), 1.08 * max(90.0, *values)
    for axes in grid:
        axes.set_ylim(bottom, top)
        axes.yaxis.set_major_locator(MultipleLocator(10 if top - bottom < 60 else 30))
