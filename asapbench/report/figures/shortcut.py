"""Figure 10: a shortcut turns backpropagation's weight change towards ASAP's, measured on trained networks (App. E).

`asapbench analyze shortcut` stores the numbers; `asapbench.analysis.shortcut` defines g1, g2 and the layers l+3. The
printed figure is a drawing: it has no number to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.analysis.shortcut import ANGLE, ANGLE_OF_G1, LENGTHS, NAME
from asapbench.errors import AsapbenchError
from asapbench.metrics import Measurement
from asapbench.report.configuration import distinguishing_fields, names, number, plain_field
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import (
    COLORS,
    Sheet,
    inches_wide,
    legend_of_panel,
    literal,
    panels,
    require_room,
    title_panel,
)
from asapbench.report.published import SOURCE
from asapbench.report.statistics import Summary, spread_and_count
from asapbench.report.table import Column, Field, Group, Note, Number, Row, Table
from asapbench.store import Result
from asapbench.suite.catalog import MODELS
from asapbench.suite.cell import Cell
from asapbench.suite.columns import KINDS, field_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from asapbench.store import Store

_QUANTITIES = (ANGLE, ANGLE_OF_G1, *LENGTHS)
_TITLE = "Figure 10. The shortcut effect"
_DEGREES = {ANGLE, ANGLE_OF_G1}
_NETWORKS = 6
"""The most networks of a picture: each has a panel."""


@dataclass(frozen=True)
class Network:
    """One configuration: by layer and quantity its summary over seeds. `cell` is one of them.

    `label` has the fields in which networks differ; `variant` is the label without data set, model and rule.
    """

    cell: Cell
    label: str
    variant: str
    values: Mapping[tuple[str, str], Summary]

    @property
    def layers(self) -> list[str]:
        """In forward order."""
        return list(dict.fromkeys(layer for layer, _ in self.values))

    @property
    def has_shortcuts(self) -> bool:
        """Whether its model has shortcuts."""
        return MODELS[self.cell.model.name].has_shortcuts


def figure10(store: Store, results: Sequence[Result]) -> Illustration:
    """The figure of those of `results` that were analyzed. Raises AsapbenchError where none was."""
    found = store.measurements(NAME, [result.attempt.id for result in results])
    return shortcut_effect_figure([(r.cell, found[r.attempt.id]) for r in results if r.attempt.id in found])


def shortcut_effect_figure(measured: Iterable[tuple[Cell, Sequence[Measurement]]]) -> Illustration:
    """The figure from each cell's measurements, in their order. Raises AsapbenchError where there is none."""
    groups: dict[str, list[tuple[Cell, Sequence[Measurement]]]] = {}
    for cell, rows in measured:
        groups.setdefault(cell.group, []).append((cell, rows))
    if not groups:
        raise AsapbenchError(
            "--figure 10: no shortcut effect is measured yet: train a residual network and its twin without shortcuts "
            "with --keep-weights, then name both cells to analyze shortcut"
        )
    own, shared = distinguishing_fields([members[0][0] for members in groups.values()])
    networks = sorted((_network(members, own) for members in groups.values()), key=lambda one: not one.has_shortcuts)
    batches = _range({row.n for members in groups.values() for _, rows in members for row in rows}, "batch", "batches")
    epochs = _range({network.cell.epochs for network in networks}, "epoch")
    spread = spread_and_count([value for network in networks for value in network.values.values()])
    described = (
        f"Layers l+3 of networks trained for {epochs}: with g1 = delta phi(Wh + b) and g2 = delta h_l, backpropagation "
        f"changes their weights by g1 + g2, without a shortcut by g1, and ASAP by g2. Means over {batches} of training "
        f"data; {spread}."
    )
    subtitle = f"{shared}. {described}" if shared else described
    return Illustration(
        _table(networks, shared, described), lambda sheet: _draw(networks, f"{subtitle} ({SOURCE}, App. E)", sheet)
    )


def _network(members: Sequence[tuple[Cell, Sequence[Measurement]]], fields: Mapping[str, Sequence[str]]) -> Network:
    cell = members[0][0]
    own = fields[cell.group]
    rows = [row for _, measured in members for row in measured]
    samples: dict[tuple[str, str], list[float]] = {
        (layer, quantity): [] for layer in dict.fromkeys(row.layer for row in rows) for quantity in _QUANTITIES
    }
    for row in rows:
        if row.value is not None and (row.layer, row.quantity) in samples:
            samples[row.layer, row.quantity].append(row.value)
    label = ", ".join(f"trained by {field_text(cell, n)}" if n == "rule" else field_text(cell, n) for n in own)
    variant = ", ".join(field_text(cell, name) for name in own if name not in KINDS)
    return Network(cell, label, variant, {place: Summary(tuple(values)) for place, values in samples.items()})


def _range(numbers: set[int], one: str, many: str = "") -> str:
    """`8 batches`, `1 epoch`, `3 to 200 epochs`."""
    low, high = min(numbers), max(numbers)
    noun = one if high == 1 else many or f"{one}s"
    return f"{high} {noun}" if low == high else f"{low} to {high} {noun}"


def _table(networks: Sequence[Network], shared: str, described: str) -> Table:
    kinds = {network.has_shortcuts for network in networks}
    missing = "without" if kinds == {True} else "with"
    note = Note(f"A network {missing} shortcuts is not among these. To add one:", ("asapbench analyze shortcut CELL",))
    return Table(
        title=_TITLE,
        caption=f"{described} Angles in degrees, then lengths.",
        columns=(Column("Layer", "left"), *map(Column, _QUANTITIES)),
        groups=tuple(
            Group(", ".join(filter(None, (shared, network.label))), tuple(_rows(network))) for network in networks
        ),
        notes=(note,) if len(kinds) == 1 else (),
        numbers=tuple(one for network in networks for one in _numbers(network)),
    )


def _rows(network: Network) -> Iterator[Row]:
    for layer in network.layers:
        fields = (plain_field(network.values[layer, q], ".1f" if q in _DEGREES else ".3g") for q in _QUANTITIES)
        yield Row((Field(layer), *fields))


def _numbers(network: Network) -> Iterator[Number]:
    for (layer, quantity), summary in network.values.items():
        yield number(
            summary,
            names=names(network.cell),
            metric=quantity,
            unit="degrees" if quantity in _DEGREES else "length",
            variant=", ".join(filter(None, (network.variant, layer))),
        )


def _draw(networks: Sequence[Network], subtitle: str, sheet: Sheet) -> Figure:
    fix = "name cells to analyze shortcut, which draws them with --out"
    require_room("--figure 10", len(networks), _NETWORKS, what="networks", fix=fix)
    layers = list(dict.fromkeys(layer for network in networks for layer in network.layers))
    labels = [
        "Angle between the weight changes of backpropagation and ASAP",
        *(f"Lengths of its parts: {network.label}" for network in networks),
    ]
    width = 1.5 * len(layers) + 1.5 + max(inches_wide(network.label) for network in networks)
    figure, grid = panels(_TITLE, subtitle, len(labels), sheet=sheet, columns=1, width=width, height=2.4)
    for axes, label in zip(grid, labels, strict=True):
        title_panel(axes, label)
    angles, *lengths = grid
    _draw_bars(angles, layers, [(n.label, color, n, ANGLE) for n, color in zip(networks, COLORS, strict=False)])
    angles.axhline(90, color="black", linewidth=0.8, linestyle="--", label="90: no relation")
    angles.set_ylim(0, 135)
    angles.set_yticks((0, 45, 90, 135))
    angles.set_ylabel("degrees")
    for axes, network in zip(lengths, networks, strict=True):
        trained = ("g1+g2 = BP", "g1", "g2 = ASAP") if network.has_shortcuts else ("g1+g2", "g1 = BP", "g2 = ASAP")
        quantities = (LENGTHS[2], LENGTHS[0], LENGTHS[1])
        roles = zip(trained, ("#333333", "#888888", "#CCCCCC"), quantities, strict=True)
        _draw_bars(axes, layers, [(role, shade, network, quantity) for role, shade, quantity in roles])
        axes.set_ylabel("length")
    for axes in grid:
        legend_of_panel(axes, axes.get_legend_handles_labels()[0])
    return figure


def _draw_bars(axes: Axes, layers: Sequence[str], bars: Sequence[tuple[str, str, Network, str]]) -> None:
    """Bars side by side at each layer, from (label, colour, network, quantity); angles have their number on top."""
    width = 0.8 / len(bars)
    for place, (label, color, network, quantity) in enumerate(bars):
        values = [network.values.get((layer, quantity), Summary()) for layer in layers]
        there = [(x + (place - (len(bars) - 1) / 2) * width, value) for x, value in enumerate(values) if value.n]
        spreads = [value.sd or 0.0 for _, value in there]
        errors: dict[str, Any] = {"yerr": spreads, "capsize": 3} if any(spreads) else {}
        positions, heights = [x for x, _ in there], [value.mean or 0.0 for _, value in there]
        drawn = axes.bar(positions, heights, width=width, label=literal(label), color=color, **errors)
        if quantity == ANGLE:
            axes.bar_label(drawn, fmt="{:.0f}", fontsize=8, padding=2)
    rotated: dict[str, Any] = {"rotation": 30, "ha": "right"} if len(layers) > 6 else {}
    axes.set_xticks(range(len(layers)), layers, **rotated)
    axes.tick_params(axis="x", length=0)
