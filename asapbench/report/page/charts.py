"""The charts of a page as plain data, in few bytes: the page's script hands them to plotly.

A chart has items; each item has a value for each quantity of the chart, and a text in each field, by which a reader
filters. All means and spreads are made here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from asapbench.errors import AsapbenchError
from asapbench.metrics import WHOLE_NETWORK
from asapbench.report.figures.by_epoch import Averaged, Line, Recorded, by_epoch
from asapbench.report.figures.by_layer import WHOLE, LayerValue, layer_lines
from asapbench.report.figures.curves import curve
from asapbench.report.figures.gradient_quality import layer_values
from asapbench.report.figures.looks import looks, plotly_line
from asapbench.report.figures.memory import bars
from asapbench.report.page.content import Content
from asapbench.report.page.speed import Pace, paces
from asapbench.report.quantity import Angle, GradientMeasure, Quantity
from asapbench.report.statistics import Spread
from asapbench.suite.cell import Cell, title
from asapbench.suite.columns import field_text, varying
from asapbench.suite.entries import Look
from asapbench.suite.options import Choice
from asapbench.suite.shapes import layers_for

Kind = Literal["lines", "heat", "bars", "stack"]


@dataclass(frozen=True)
class ChartQuantity:
    """What a chart can show. `scale` is how its axis or its colours are laid out."""

    title: str
    unit: str
    scale: str
    described: str


@dataclass(frozen=True)
class Chart:
    """A chart. `fields` name the texts of its items; those of `panel` name a panel."""

    id: str
    kind: Kind
    title: str
    fields: tuple[str, ...]
    panel: tuple[str, ...]
    quantities: tuple[ChartQuantity, ...]
    items: tuple[dict[str, Any], ...]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data. Texts of fields are stored once, items hold their numbers."""
        texts: list[dict[str, int]] = [{} for _ in self.fields]
        items = [
            one | {"f": [texts[n].setdefault(text, len(texts[n])) for n, text in enumerate(one["f"])]}
            for one in self.items
        ]
        return {
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "fields": self.fields,
            "panel": [self.fields.index(name) for name in self.panel],
            "texts": [list(found) for found in texts],
            "quantities": [[one.title, one.unit, one.scale, one.described] for one in self.quantities],
            "items": items,
        }


_DATA, _MODEL, _RULE, _HARDWARE = "Data set", "Model", "Rule", "Hardware"


def charts(content: Content, *, spread: Spread = Spread.SD) -> list[Chart]:
    """The charts that have something to show; bands show the `spread`."""
    recorded = (_learning(content, spread), _alignment(content), _quality(content), _speed(content))
    chosen = " and ".join(content.selected)
    note = f" Drawn is only the value of {chosen} with the highest validation accuracy." if chosen else ""
    found = [replace(chart, note=chart.note + note) for chart in recorded if chart is not None]
    return found if (memory := _memory(content)) is None else [*found, memory]


def rounded(value: float | None, digits: int) -> float | int | None:
    """`value` to significant digits; None where it is not a number.

    >>> rounded(97.31234, 4), rounded(12.0, 4), rounded(float("nan"), 4)
    (97.31, 12, None)
    """
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _learning(content: Content, spread: Spread) -> Chart | None:
    recorded = [Recorded(one.result, one.epochs) for one in content.drawn]
    found = _averaged(recorded, lambda members: [curve(members, quantity) for quantity in Quantity])
    if not found:
        return None
    names = _field_names(found)
    shown = {place: one for place, one in enumerate(Quantity) if any(each.lines[place].points for each in found)}
    values = ([_points(one.lines[place], spread) for place in shown] for one in found)
    return Chart(
        "learning",
        "lines",
        "Learning curves",
        fields=(_DATA, _MODEL, _RULE, *names),
        panel=(_DATA, _MODEL),
        quantities=tuple(
            ChartQuantity(_capital(one.words), one.unit, "accuracy" if one.unit == "percent" else "loss", one.described)
            for one in shown.values()
        ),
        items=_styled((_item(content, one, names, v=v) for one, v in zip(found, values, strict=True)), found),
        note=f"A line and its band: {spread.described} over the seeds of one configuration. Only trainings that are "
        "done are averaged; where none is, those under way, then those that diverged: the label says so.",
    )


def _averaged(recorded: Sequence[Recorded[Any]], lines: Callable[..., Iterable[Line]]) -> list[Averaged]:
    if not any(one.rows and not one.result.outdated for one in recorded):
        return []
    return list(by_epoch(recorded, lines, heading="", metric="", unit="", missing="").configurations)


def _points(line: Line, spread: Spread) -> dict[str, Any] | None:
    """Means from epoch 1 on, `m`; their spreads to each side, `s`, or their ranges, `r`. None without any."""
    if not line.points:
        return None
    found: dict[str, Any] = {"m": [rounded(point.mean, 4) for point in line.points]}
    if any(point.sd for point in line.points):
        ends = [spread.ends(point) for point in line.points]
        if spread is Spread.RANGE:
            found["r"] = [None if pair is None else [rounded(end, 4) for end in pair] for pair in ends]
        else:
            found["s"] = [None if pair is None else rounded((pair[1] - pair[0]) / 2, 2) for pair in ends]
    return found


def _field_names(found: Sequence[Averaged]) -> list[str]:
    return list(varying([one.cell for one in found]))


def _item(content: Content, one: Averaged, names: Sequence[str], *, v: Sequence[Any]) -> dict[str, Any]:
    remarks = ("" if one.state == "done" else one.state, f"n = {one.n}")
    return _plain_item(content, one.cell, names, note=", ".join(filter(None, remarks))) | {"v": v}


def _plain_item(content: Content, cell: Cell, names: Sequence[str], *, note: str = "") -> dict[str, Any]:
    kinds = [title(kind, getattr(cell, kind)) for kind in ("dataset", "model", "rule")]
    return {
        "f": [*kinds, *(field_text(cell, name) for name in names)],
        "s": content.suites_of.get(cell.id, []),
        "note": note,
    }


def _styled(items: Iterable[dict[str, Any]], of: Sequence[Averaged | Pace]) -> tuple[dict[str, Any], ...]:
    """The items with the looks of their lines: colours on a light and on a dark background, marker and dashes.

    Panel by panel: the first line of a rule has the rule's own look in each.
    """
    panels: dict[tuple[Choice, Choice], list[int]] = {}
    for number, one in enumerate(of):
        panels.setdefault((one.cell.dataset, one.cell.model), []).append(number)
    found: dict[int, Look] = {}
    for members in panels.values():
        cells = [of[number].cell for number in members]
        names = varying(cells)
        lines = ((cell.rule, ", ".join(field_text(cell, name) for name in names)) for cell in cells)
        found |= dict(zip(members, looks(lines), strict=True))
    return tuple(item | {"look": _look(found[number])} for number, item in enumerate(items))


def _look(look: Look) -> list[str]:
    light, dark = plotly_line(look), plotly_line(look, dark=True)
    return [light["line"]["color"], dark["line"]["color"], light["marker"]["symbol"], light["line"]["dash"]]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _alignment(content: Content) -> Chart | None:
    quantities = [
        ChartQuantity(name, "degrees", "angle", f"{one.described}, in degrees (0: agreement, 90: no relation)")
        for one, name in ((Angle.WEIGHTS, "Angle of W and B"), (Angle.UPDATE, "Angle of the gradients"))
    ]

    def values(angle: Angle) -> list[Recorded[LayerValue]]:
        return [
            Recorded(one.result, [LayerValue(r.epoch, r.layer, r.degrees) for r in one.angles if r.quantity == angle])
            for one in content.drawn
        ]

    return _heat(content, "alignment", "Alignment", quantities, [values(angle) for angle in Angle])


def _quality(content: Content) -> Chart | None:
    scales = {GradientMeasure.NORM_RATIO: "ratio", GradientMeasure.DECREASE_SHARE: "share"}
    quantities = [
        ChartQuantity(_capital(one.words), one.unit, scales.get(one, "count"), one.described) for one in GradientMeasure
    ]

    def values(measure: GradientMeasure) -> list[Recorded[LayerValue]]:
        return [
            Recorded(one.result, [value for value in layer_values(one.qualities, measure) if not value.of_bp])
            for one in content.drawn
        ]

    return _heat(content, "quality", "Gradient quality", quantities, [values(measure) for measure in GradientMeasure])


def _heat(
    content: Content,
    id: str,
    name: str,
    quantities: Sequence[ChartQuantity],
    recorded: Sequence[Sequence[Recorded[LayerValue]]],
) -> Chart | None:
    """Layers by epochs: an item for each configuration that has any of the quantities."""
    by_group: dict[str, dict[int, Averaged]] = {}
    for place, values in enumerate(recorded):
        for one in _averaged(values, lambda members: layer_lines(members, {WHOLE_NETWORK: WHOLE})):
            by_group.setdefault(one.cell.group, {})[place] = one
    if not by_group:
        return None
    firsts = [next(iter(places.values())) for places in by_group.values()]
    names = _field_names(firsts)
    items = [
        _item(
            content,
            first,
            names,
            v=[_grid(places[n].lines) if n in places else None for n in range(len(quantities))],
        )
        for first, places in zip(firsts, by_group.values(), strict=True)
    ]
    return Chart(
        id,
        "heat",
        name,
        fields=(_DATA, _MODEL, _RULE, *names),
        panel=(_DATA, _MODEL, _RULE, *names),
        quantities=tuple(quantities),
        items=_styled(items, firsts),
        note="Layers from the first to the last, epochs from 0, before training. A value is the mean over the seeds.",
    )


def _grid(lines: Sequence[Line]) -> dict[str, Any]:
    epochs = sorted({epoch for line in lines for epoch in line.epochs})
    rows = [dict(zip(line.epochs, line.points, strict=True)) for line in lines]
    return {
        "y": [line.label for line in lines],
        "x": epochs,
        "z": [[rounded(row[epoch].mean, 4) if epoch in row else None for epoch in epochs] for row in rows],
    }


def _speed(content: Content) -> Chart | None:
    found = paces(content)
    if not found:
        return None
    names = list(varying([one.cell for one in found]))
    return Chart(
        "speed",
        "bars",
        "Speed and memory",
        fields=(_DATA, _MODEL, _RULE, *names, _HARDWARE),
        panel=(_DATA, _MODEL, _HARDWARE),
        quantities=(
            ChartQuantity("Seconds an epoch", "seconds", "bar", "Median time of an epoch"),
            ChartQuantity("Samples a second", "samples/s", "bar", "Median of the training examples a second"),
            ChartQuantity("Peak memory", "MiB", "bar", "The largest memory of an epoch, where the device reports it"),
        ),
        items=_styled((_pace_item(content, one, names) for one in found), found),
        note="Recorded while training: medians over the epochs, and quartiles as lines on the bars. Each piece of "
        "hardware, with its version of torch, has a panel of its own: times of different hardware are never pooled.",
    )


def _pace_item(content: Content, one: Pace, names: Sequence[str]) -> dict[str, Any]:
    item = _plain_item(content, one.cell, names, note=f"{one.epochs} epochs")
    item["f"].append(one.hardware)
    values = (one.seconds, one.samples_per_second, None if one.peak_mib is None else (one.peak_mib,) * 3)
    return item | {"v": [None if value is None else [rounded(part, 4) for part in value] for value in values]}


def _memory(content: Content) -> Chart | None:
    """The paper's count of memory accesses for the networks of the cells, at their batch."""
    items = [item for one in _networks(content.cells) for item in _bars(*one)]
    if not items:
        return None
    return Chart(
        "memory",
        "stack",
        "Memory accesses",
        fields=(_DATA, _MODEL, "Batch", _RULE),
        panel=(_DATA, _MODEL, "Batch"),
        quantities=(
            ChartQuantity(
                "Memory accesses",
                "numbers read or written",
                "stack",
                "Numbers read from and written to external memory in one training step",
            ),
        ),
        items=tuple(items),
        note="Computed from the layer shapes by eq. 48-49 of the paper's App. F, not measured: 3 P for the parameters, "
        '2 A for the stored activations. "With B" counts the learned feedback weights as well. FA and KP count as BP.',
    )


def _networks(cells: Sequence[Cell]) -> Iterator[tuple[Cell, list[int]]]:
    """A cell of each network and batch, and the block sizes that rules have on it; without any, 2 and 4."""
    found: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.dataset, cell.model, cell.batch_size), []).append(cell)
    for members in found.values():
        sizes = {value for cell in members for name, value in cell.rule.options if name == "k"}
        yield members[0], sorted(size for size in sizes if isinstance(size, int)) or [2, 4]


def _bars(cell: Cell, sizes: Sequence[int]) -> list[dict[str, Any]]:
    try:
        counted = bars(layers_for(cell.model, cell.dataset), sizes, batch=cell.batch_size)
    except AsapbenchError:  # nothing can be shared in it
        return []
    names = [title("dataset", cell.dataset), title("model", cell.model), f"batch {cell.batch_size}"]
    return [
        {
            "f": [*names, bar.title],
            "s": [],
            "note": f"{bar.ratio:.3f} of BP",
            "v": [[bar.accesses.total - 2 * bar.accesses.forward_writes, 2 * bar.accesses.forward_writes, bar.ratio]],
        }
        for bar in counted
    ]
