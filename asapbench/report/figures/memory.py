"""Figure 11: external memory accesses of one training step under BP and ASAP, by App. F, eq. 48-49.

Computed from the layer shapes; no database is opened. What is counted stands in `asapbench.analysis.memory`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asapbench.analysis.memory import Accesses, asap, asap_with_feedback, backpropagation
from asapbench.errors import AsapbenchError
from asapbench.report.figures.picture import Illustration
from asapbench.report.metric import Metric
from asapbench.report.published import SOURCE
from asapbench.report.table import Column, Field, Group, Note, Number, Row, Table
from asapbench.suite.catalog import DATASETS, MODELS
from asapbench.suite.options import nearest
from asapbench.suite.shapes import layers_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER_BLOCK_SIZES = {"alexnet": (2,), "resnet18": (2, 4), "resnet34": (2, 4)}
"""What the figure compares. AlexNet has three convolutions: any k makes the same single group."""

_SCALE = 1e6
"""Of the picture's axis."""

_BARS_PER_INCH = 2

_TITLE = "External memory accesses of one training step"
_METRIC, _UNIT = "external memory accesses", "numbers read or written"


@dataclass(frozen=True)
class Bar:
    """One rule on one network. `variant` is true for counts that the printed figure does not show."""

    rule: str
    title: str
    accesses: Accesses
    variant: bool = False


@dataclass(frozen=True)
class Network:
    """A model's bars, backpropagation first."""

    model: str
    bars: tuple[Bar, ...]

    def ratio(self, bar: Bar) -> float:
        """Total of `bar` over backpropagation's."""
        return bar.accesses.total / self.bars[0].accesses.total


@dataclass(frozen=True)
class MemoryAccesses:
    """The numbers of the figure, for a step of `batch` examples."""

    title: str
    dataset: str
    batch: int
    networks: tuple[Network, ...]


def figure11(_url: str, metric: Metric | None) -> Illustration:
    """The printed figure, at batch 128 on CIFAR-10."""
    if metric is not None:
        raise AsapbenchError("--metric: Figure 11 holds counts, which have no metric; leave it out")
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

    Raises AsapbenchError for a name there is not, and for a model in which nothing can be shared.
    """
    _check("--dataset", dataset, DATASETS)
    for model in models:
        _check("--model", model, MODELS)
    found = tuple(_network(model, block_sizes, batch=batch, dataset=dataset) for model in dict.fromkeys(models))
    numbers = MemoryAccesses(title, dataset, batch, found)
    return Illustration(_table(numbers), lambda: _draw(numbers))


def _check(option: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise AsapbenchError(f"{option} {name}: unknown{nearest(name, known)} (there are: {', '.join(known)})")


def _network(model: str, block_sizes: Sequence[int], *, batch: int, dataset: str) -> Network:
    layers = layers_for(MODELS[model].choose(), DATASETS[dataset].choose())
    sizes = tuple(dict.fromkeys(block_sizes or PAPER_BLOCK_SIZES.get(model, (2, 4))))
    try:
        return Network(
            model,
            (
                Bar("bp", "BP", backpropagation(layers, batch=batch)),
                *(Bar(f"asap(k={k})", f"ASAP, k={k}", asap(layers, batch=batch, k=k)) for k in sizes),
                *(
                    Bar(f"asap(k={k})", f"ASAP, k={k}, with B", asap_with_feedback(layers, batch=batch, k=k), True)
                    for k in sizes
                ),
            ),
        )
    except AsapbenchError as error:
        raise AsapbenchError(f"--model {model}: {error}") from error


def _table(found: MemoryAccesses) -> Table:
    return Table(
        title=found.title,
        caption=(
            f"Numbers read from and written to external memory by eq. 48-49 ({SOURCE}, App. F), computed for "
            f"{DATASETS[found.dataset].title} and a batch of {found.batch}; the last column is the total over BP's. "
            "The numbers of the printed figure are not known."
        ),
        columns=(
            Column("Rule", "left"),
            *(Column(title) for title in ("Fwd reads", "Fwd writes", "Bwd reads", "Bwd writes", "Total", "/ BP")),
        ),
        groups=tuple(
            Group(MODELS[network.model].title, tuple(_row(network, bar) for bar in network.bars))
            for network in found.networks
        ),
        notes=(
            Note(
                "Forward reads are the parameters P, forward writes the stored activations A, batch included. W is "
                'counted once: backward, B is read in its place. "With B" adds what the learned B costs beside W, one '
                "more read and one more write; the printed figure has no such bars."
            ),
            Note("FA and KP store what BP does, and are counted alike."),
        ),
        numbers=tuple(_numbers(found)),
        metric=_METRIC,
        unit=_UNIT,
    )


def _row(network: Network, bar: Bar) -> Row:
    counts = (*_parts(bar.accesses).values(), bar.accesses.total)
    fields = (Field(f"{count:,}", emphasis="faint" if bar.variant else "plain") for count in counts)
    return Row((Field(bar.title), *fields, Field(f"{network.ratio(bar):.3f}", emphasis="strong")))


def _numbers(found: MemoryAccesses) -> Iterable[Number]:
    for network in found.networks:
        for bar in network.bars:
            feedback = "with B, " if bar.variant else ""
            for part, count in (_parts(bar.accesses) | {"total": bar.accesses.total}).items():
                yield Number(
                    dataset=found.dataset,
                    model=network.model,
                    rule=bar.rule,
                    variant=f"{feedback}batch {found.batch}, {part}",
                    measured=count,
                    sd=None,
                    n=1,
                    diverged=0,
                    published=None,
                    difference=None,
                    metric=_METRIC,
                    unit=_UNIT,
                )


def _parts(accesses: Accesses) -> dict[str, int]:
    return {
        "forward reads": accesses.forward_reads,
        "forward writes": accesses.forward_writes,
        "backward reads": accesses.backward_reads,
        "backward writes": accesses.backward_writes,
    }


def _draw(found: MemoryAccesses) -> Figure:
    from matplotlib.patches import Patch

    from asapbench.report.figures.style import COLORS, canvas, legend_beside

    drawn = {network: [bar for bar in network.bars if not bar.variant] for network in found.networks}
    titles = dict.fromkeys(bar.title for bars in drawn.values() for bar in bars)
    if len(titles) > len(COLORS):
        raise AsapbenchError(f"--k: a picture takes {len(COLORS) - 1} block sizes, not {len(titles) - 1}; name fewer")
    colors = dict(zip(titles, COLORS, strict=False))
    figure, axes = canvas(
        found.title,
        f"{DATASETS[found.dataset].title}, batch {found.batch}, by eq. 48-49 ({SOURCE}, App. F). Above each bar: its "
        "ratio to BP.",
        width=max(8.0, 3.0 + sum(len(bars) + 1 for bars in drawn.values()) / _BARS_PER_INCH),
    )
    ticks, x = [], 0
    for network, bars in drawn.items():
        ticks.append(x + (len(bars) - 1) / 2)
        for bar in bars:
            total, activations = bar.accesses.total / _SCALE, 2 * bar.accesses.forward_writes / _SCALE
            axes.bar(x, total - activations, width=0.9, color=colors[bar.title])
            axes.bar(
                x,
                activations,
                width=0.9,
                bottom=total - activations,
                facecolor="white",
                edgecolor=colors[bar.title],
                hatch="////",
            )
            axes.text(x, total, f"{network.ratio(bar):.3f}", ha="center", va="bottom")
            x += 1
        x += 1
    axes.set_xticks(ticks, [MODELS[network.model].title for network in found.networks])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("numbers read or written, in millions")
    axes.margins(y=0.08)
    legend_beside(
        axes,
        [
            *(Patch(color=color, label=title) for title, color in colors.items()),
            Patch(facecolor="#777777", label="parameters, 3 P"),
            Patch(facecolor="white", edgecolor="#777777", hatch="////", label="activations, 2 A"),
        ],
    )
    return figure
