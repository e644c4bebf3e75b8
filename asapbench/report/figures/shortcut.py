"""Figure 10: a shortcut brings backpropagation's weight change nearer to ASAP's, measured on trained networks (App. E).

The numbers are those that `asapbench analyze shortcut` has stored; what g1, g2 and the layers l+3 are stands in
`asapbench.analysis.shortcut`. The printed figure is a drawing: there is no number to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.analysis.shortcut import ANGLE, ANGLE_OF_G1, LENGTHS, NAME
from asapbench.errors import AsapbenchError
from asapbench.metrics import Measurement
from asapbench.report.configuration import MISSING, distinguishing_fields, names, number
from asapbench.report.figures.picture import Illustration
from asapbench.report.metric import Metric
from asapbench.report.published import SOURCE
from asapbench.report.statistics import Summary, spread_and_count, summarize
from asapbench.report.table import Column, Field, Group, Note, Row, Table
from asapbench.store import Result
from asapbench.suite.cell import Cell
from asapbench.suite.columns import field_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from asapbench.store import Store

_QUANTITIES = (ANGLE, ANGLE_OF_G1, *LENGTHS)
_TITLE = "Figure 10. The shortcut effect"
_UNITS = {ANGLE: "degrees", ANGLE_OF_G1: "degrees", **dict.fromkeys(LENGTHS, "length")}
_NETWORKS = 6
"""As many the picture takes: a panel each."""


@dataclass(frozen=True)
class Network:
    """One configuration: by layer and quantity its summary over seeds. `cell` is one of them.

    `label` tells it from the others, `apart` from those of its data set, model and rule.
    """

    cell: Cell
    label: str
    apart: str
    values: Mapping[tuple[str, str], Summary]

    @property
    def layers(self) -> list[str]:
        """In forward order."""
        return list(dict.fromkeys(layer for layer, _ in self.values))

    @property
    def has_shortcuts(self) -> bool:
        """Whether the catalog's model is one with shortcuts."""
        return not self.cell.model.name.endswith("_nsc")


@dataclass(frozen=True)
class ShortcutEffect:
    """The numbers of the figure. `shared` is what all networks have in common, `batches` what each angle is over."""

    shared: str
    batches: str
    networks: tuple[Network, ...]

    @property
    def described(self) -> str:
        """What is measured, and over how many seeds."""
        spread = spread_and_count([value for network in self.networks for value in network.values.values()])
        epochs = _range({network.cell.epochs for network in self.networks}, "epoch")
        return (
            f"Layers l+3 of networks trained for {epochs}: with g1 = delta phi(Wh + b) and g2 = delta h_l, "
            "backpropagation changes their weights by g1 + g2, without a shortcut by g1, and ASAP by g2. Means over "
            f"{self.batches} of training data; {spread}."
        )


def figure10(url: str, metric: Metric | None) -> Illustration:
    """The figure of everything that the database at `url` holds of it."""
    if metric is not None:
        raise AsapbenchError("--metric: Figure 10 holds angles, which have no metric; leave it out")
    from asapbench.store import Store

    with Store.read_only(url) as store:
        return stored_shortcut_effect(store, store.results())


def stored_shortcut_effect(store: Store, results: Sequence[Result]) -> Illustration:
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
            "with --keep-weights, then run `asapbench analyze shortcut CELL CELL`"
        )
    own, shared = distinguishing_fields([members[0][0] for members in groups.values()])
    networks = tuple(_network(members, own) for members in groups.values())
    batches = _range({row.n for members in groups.values() for _, rows in members for row in rows}, "batch", "batches")
    found = ShortcutEffect(shared, batches, tuple(sorted(networks, key=lambda network: not network.has_shortcuts)))
    return Illustration(_table(found), lambda: _draw(found))


def _network(members: Sequence[tuple[Cell, Sequence[Measurement]]], own: Sequence[str]) -> Network:
    samples: dict[tuple[str, str], list[float]] = {}
    for _, rows in members:
        for row in rows:
            samples.setdefault((row.layer, row.quantity), []).extend([] if row.value is None else [row.value])
    cell = members[0][0]
    label = ", ".join(f"trained by {field_text(cell, n)}" if n == "rule" else field_text(cell, n) for n in own)
    apart = ", ".join(field_text(cell, name) for name in own if name not in ("dataset", "model", "rule"))
    layers = dict.fromkeys(layer for layer, _ in samples)
    places = [(layer, quantity) for layer in layers for quantity in _QUANTITIES]
    return Network(cell, label, apart, {place: summarize(samples.get(place, [])) for place in places})


def _range(numbers: set[int], one: str, many: str = "") -> str:
    """`8 batches`, `1 epoch`, `3 to 200 epochs`."""
    low, high = min(numbers), max(numbers)
    noun = one if high == 1 else many or f"{one}s"
    return f"{high} {noun}" if low == high else f"{low} to {high} {noun}"


def _table(found: ShortcutEffect) -> Table:
    return Table(
        title=_TITLE,
        caption=f"{found.described} Angles in degrees, then lengths.",
        columns=(Column("Layer", "left"), *(Column(quantity) for quantity in _QUANTITIES)),
        groups=tuple(Group(_heading(network, found), tuple(_rows(network, _QUANTITIES))) for network in found.networks),
        notes=tuple(_notes(found)),
        numbers=tuple(
            number(
                summary,
                names=names(network.cell),
                metric=quantity,
                unit=_UNITS[quantity],
                variant=", ".join(text for text in (network.apart, layer) if text),
            )
            for network in found.networks
            for (layer, quantity), summary in network.values.items()
        ),
        metric="weight changes of BP and ASAP",
        unit="degrees, or length of a gradient",
    )


def _heading(network: Network, found: ShortcutEffect) -> str:
    return ", ".join(text for text in (found.shared, network.label) if text)


def _rows(network: Network, quantities: Sequence[str]) -> Iterable[Row]:
    for layer in network.layers:
        yield Row((Field(layer), *(_field(network.values[layer, q], _UNITS[q]) for q in quantities)))


def _field(summary: Summary, unit: str) -> Field:
    if summary.mean is None:
        return Field(MISSING, emphasis="faint")
    digits = ".1f" if unit == "degrees" else ".3g"
    spread = "" if summary.sd is None else f" ± {summary.sd:{digits}}"
    return Field(f"{summary.mean:{digits}}{spread}")


def _notes(found: ShortcutEffect) -> Iterable[Note]:
    kinds = {network.has_shortcuts for network in found.networks}
    if len(kinds) == 1:
        missing = "without" if kinds == {True} else "with"
        yield Note(f"A network {missing} shortcuts is not among these: `asapbench analyze shortcut CELL` adds one.")


def _draw(found: ShortcutEffect) -> Figure:
    from asapbench.report.figures.style import inches_wide, literal, panels

    if len(found.networks) > _NETWORKS:
        raise AsapbenchError(
            f"--figure 10: {len(found.networks)} networks are too many for one picture, which takes {_NETWORKS}; "
            "`asapbench analyze shortcut CELL CELL --out FILE` draws those you name"
        )
    layers = list(dict.fromkeys(layer for network in found.networks for layer in network.layers))
    labels = [
        "Angle between the weight changes of backpropagation and ASAP",
        *(f"Lengths of its parts: {network.label}" for network in found.networks),
    ]
    subtitle = f"{found.shared}. {found.described}" if found.shared else found.described
    width = 1.5 * len(layers) + 1.5 + max(inches_wide(network.label) for network in found.networks)
    figure, grid = panels(_TITLE, f"{subtitle} ({SOURCE}, App. E)", len(labels), columns=1, width=width, height=2.4)
    for axes, label in zip(grid, labels, strict=True):
        axes.set_title(literal(label), fontsize=10, loc="left")
    angles, *lengths = grid
    _draw_angles(angles, found.networks, layers)
    for axes, network in zip(lengths, found.networks, strict=True):
        _draw_lengths(axes, network, layers)
    return figure


def _draw_angles(axes: Axes, networks: Sequence[Network], layers: Sequence[str]) -> None:
    from asapbench.report.figures.style import COLORS, legend_beside, literal

    bars = [
        (literal(network.label), COLORS[place], [network.values.get((layer, ANGLE)) for layer in layers])
        for place, network in enumerate(networks)
    ]
    _draw_bars(axes, bars, layers, digits=".0f")
    axes.axhline(90, color="black", linewidth=0.8, linestyle="--", label="90: no relation")
    axes.set_ylim(0, 135)
    axes.set_yticks((0, 45, 90, 135))
    axes.set_ylabel("degrees")
    legend_beside(axes)


def _draw_lengths(axes: Axes, network: Network, layers: Sequence[str]) -> None:
    from asapbench.report.figures.style import legend_beside

    roles = ("g1+g2 = BP", "g1", "g2 = ASAP") if network.has_shortcuts else ("g1+g2", "g1 = BP", "g2 = ASAP")
    quantities = (LENGTHS[2], LENGTHS[0], LENGTHS[1])
    shades = ("#333333", "#888888", "#CCCCCC")
    bars = [
        (role, shade, [network.values.get((layer, quantity)) for layer in layers])
        for role, shade, quantity in zip(roles, shades, quantities, strict=True)
    ]
    _draw_bars(axes, bars, layers, digits="")
    axes.set_ylabel("length")
    legend_beside(axes)


def _draw_bars(
    axes: Axes,
    bars: Sequence[tuple[str, str, Sequence[Summary | None]]],
    layers: Sequence[str],
    *,
    digits: str,
) -> None:
    """Bars side by side at each layer, one of each (label, colour, values); numbers on top where `digits` says how."""
    breadth = 0.8 / len(bars)
    for place, (label, color, values) in enumerate(bars):
        there = [(x, value) for x, value in enumerate(values) if value is not None and value.mean is not None]
        positions = [x + (place - (len(bars) - 1) / 2) * breadth for x, _ in there]
        heights = [value.mean or 0.0 for _, value in there]
        spreads = [value.sd or 0.0 for _, value in there]
        errors: dict[str, Any] = {"yerr": spreads, "capsize": 3} if any(spreads) else {}
        drawn = axes.bar(positions, heights, width=breadth, label=label, color=color, **errors)
        if digits:
            axes.bar_label(drawn, fmt=f"{{:{digits}}}", fontsize=8, padding=2)
    rotated: dict[str, Any] = {"rotation": 30, "ha": "right"} if len(layers) > 6 else {}
    axes.set_xticks(range(len(layers)), layers, **rotated)
    axes.tick_params(axis="x", length=0)
