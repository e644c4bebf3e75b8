"""Figure 11: external memory accesses of one training step under BP and ASAP, by App. F, eq. 48-49.

`asapbench.analysis.memory` counts them from the layer shapes and defines what is counted. No database is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asapbench.analysis.memory import Accesses, asap, backpropagation
from asapbench.errors import AsapbenchError
from asapbench.report.figures.looks import hexadecimal, look, shades
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import Sheet, canvas, inches_wide, legend, require_room
from asapbench.report.published import SOURCE
from asapbench.report.table import Column, Field, Group, Note, Number, Row, Table, numeric
from asapbench.suite.catalog import CATALOG, DATASETS, MODELS, RULES
from asapbench.suite.entries import LayerShape
from asapbench.suite.plugins import unknown
from asapbench.suite.shapes import layers_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER_BLOCK_SIZES = {"alexnet": (2,), "resnet18": (2, 4), "resnet34": (2, 4)}
"""The block sizes of the figure by model. AlexNet has three convolutions: any k makes the same single group."""

_SCALE = 1e6
"""Of the picture's axis."""

_BARS_PER_INCH = 2

_SIZES = 6
"""The most block sizes of a picture: as many shades of one colour can be distinguished."""

_TITLE = "External memory accesses of one training step"


@dataclass(frozen=True)
class Bar:
    """One rule on one model. `ratio` is its total over backpropagation's.

    `with_feedback`: the counts include the cost of the learned B, which the printed figure does not show.
    """

    rule: str
    title: str
    accesses: Accesses
    ratio: float
    with_feedback: bool = False


def figure11() -> Illustration:
    """The printed figure, at batch 128 on CIFAR-10."""
    return memory_accesses(tuple(PAPER_BLOCK_SIZES), title=f"Figure 11. {_TITLE}")


def memory_accesses(
    models: Sequence[str],
    *,
    block_sizes: Sequence[int] = (),
    batch: int = 128,
    dataset: str = "cifar10",
    title: str = _TITLE,
) -> Illustration:
    """The counts of any models with convolutions; without `block_sizes` those of the paper, else 2 and 4.

    Raises AsapbenchError for an unknown name, and for a model in which nothing can be shared.

    >>> memory_accesses(["resnet18"], block_sizes=[4]).table.numbers[-1].variant
    'with B, batch 128, total'
    """
    for kind, name in (("dataset", dataset), *(("model", model) for model in models)):
        if name not in CATALOG[kind]:
            raise AsapbenchError(f"--{kind}: {unknown(kind, name)}")
    found = {model: _bars(model, block_sizes, batch=batch, dataset=dataset) for model in models}
    return Illustration(
        _table(found, title=title, batch=batch, dataset=dataset),
        lambda sheet: _draw(found, sheet, title=title, setting=f"{DATASETS[dataset].title}, batch {batch}"),
    )


def _bars(model: str, block_sizes: Sequence[int], *, batch: int, dataset: str) -> list[Bar]:
    layers = layers_for(MODELS[model].choose(), DATASETS[dataset].choose())
    try:
        return bars(layers, block_sizes or PAPER_BLOCK_SIZES.get(model, (2, 4)), batch=batch)
    except AsapbenchError as error:
        raise AsapbenchError(f"--model {model}: {error}") from error


def bars(layers: Sequence[LayerShape], block_sizes: Iterable[int], *, batch: int) -> list[Bar]:
    """Backpropagation's, ASAP's, and ASAP's with the learned B. Raises AsapbenchError if nothing can be shared."""
    bp = backpropagation(layers, batch=batch)
    found = [Bar("bp", "BP", bp, 1.0)]
    for with_feedback in (False, True):
        for k in dict.fromkeys(block_sizes):
            counted = asap(layers, batch=batch, k=k, with_feedback=with_feedback)
            title = f"ASAP, k={k}{', with B' if with_feedback else ''}"
            found.append(Bar(f"asap(k={k})", title, counted, counted.total / bp.total, with_feedback))
    return found


def _table(found: Mapping[str, Sequence[Bar]], *, title: str, batch: int, dataset: str) -> Table:
    return Table(
        title=title,
        caption=(
            f"Numbers read from and written to external memory by eq. 48-49 ({SOURCE}, App. F), computed for "
            f"{DATASETS[dataset].title} and a batch of {batch}; the last column is the total over BP's. "
            "The numbers of the printed figure are not known."
        ),
        columns=(
            Column("Rule", "left"),
            *map(Column, ("Fwd reads", "Fwd writes", "Bwd reads", "Bwd writes", "Total", "/ BP")),
        ),
        groups=tuple(Group(MODELS[model].title, tuple(map(_row, bars))) for model, bars in found.items()),
        notes=(
            Note(
                "Forward reads are the parameters P, forward writes the stored activations A, batch included. W is "
                'counted once: the backward pass reads B in its place. "With B" adds the cost of the learned B, one '
                "more read and one more write; the printed figure has no such bars."
            ),
            Note("FA and KP store the same as BP and have the same counts."),
        ),
        numbers=tuple(
            Number(
                dataset=dataset,
                model=model,
                rule=bar.rule,
                variant=f"{'with B, ' if bar.with_feedback else ''}batch {batch}, {part}",
                measured=count,
                metric="external memory accesses",
                unit="numbers read or written",
            )
            for model, bars in found.items()
            for bar in bars
            for part, count in bar.accesses.by_name.items()
        ),
    )


def _row(bar: Bar) -> Row:
    counts = bar.accesses.by_name.values()
    fields = (Field(f"{count:,}", emphasis="faint" if bar.with_feedback else "plain") for count in counts)
    return Row((Field(bar.title), *fields, numeric("{:.3f}", bar.ratio)))


def _draw(found: Mapping[str, Sequence[Bar]], sheet: Sheet, *, title: str, setting: str) -> Figure:
    from matplotlib.patches import Patch

    drawn = {model: [bar for bar in bars if not bar.with_feedback] for model, bars in found.items()}
    titles = dict.fromkeys(bar.title for bars in drawn.values() for bar in bars)
    require_room("--k", len(titles) - 1, _SIZES, what="block sizes", fix="name fewer")
    bp, asap = (look(RULES[name].choose()) for name in ("bp", "asap"))
    colors = dict(zip(titles, [hexadecimal(bp), *shades(asap, len(titles) - 1)], strict=True))
    figure, axes = canvas(
        title,
        f"{setting}, by eq. 48-49 ({SOURCE}, App. F). Above each bar: its ratio to BP.",
        sheet=sheet,
        width=max(8.0, 3.0 + sum(len(bars) + 1 for bars in drawn.values()) / _BARS_PER_INCH),
    )
    ticks, x = [], 0
    columns = sum(len(bars) + 1 for bars in drawn.values())
    is_narrow = 0.8 * figure.get_figwidth() / columns < inches_wide("0.000")
    for bars in drawn.values():
        ticks.append(x + (len(bars) - 1) / 2)
        for bar in bars:
            _draw_bar(axes, x, bar, color=colors[bar.title], rotation=90 if is_narrow else 0)
            x += 1
        x += 1
    axes.set_xticks(ticks, [MODELS[model].title for model in drawn])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("numbers, in millions")
    axes.margins(y=0.2 if is_narrow else 0.08)
    legend(
        [axes],
        [
            *(Patch(color=color, label=title) for title, color in colors.items()),
            Patch(facecolor="#777777", label="parameters, 3 P"),
            Patch(facecolor="white", edgecolor="#777777", hatch="////", label="activations, 2 A"),
        ],
    )
    return figure


def _draw_bar(axes: Axes, x: float, bar: Bar, *, color: str, rotation: int) -> None:
    """The parameters filled, the activations hatched above them."""
    total, activations = bar.accesses.total / _SCALE, 2 * bar.accesses.forward_writes / _SCALE
    filled = total - activations
    axes.bar(x, filled, width=0.9, color=color)
    axes.bar(x, activations, width=0.9, bottom=filled, facecolor="white", edgecolor=color, hatch="////")
    axes.text(x, total, f" {bar.ratio:.3f}", ha="center", va="bottom", rotation=rotation)
