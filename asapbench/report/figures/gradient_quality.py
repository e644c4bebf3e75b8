"""Each layer's gradient beside backpropagation's by epoch, one panel for each configuration.

Training with `--gradient-quality` records the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from asapbench.metrics import WHOLE_NETWORK, GradientQuality
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.by_layer import WHOLE, LayerValue, Shown, layer_curves
from asapbench.report.figures.picture import Illustration
from asapbench.report.quantity import GradientMeasure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def quality_curves(
    recorded: Iterable[Recorded[GradientQuality]], *, measure: GradientMeasure, heading: str
) -> Illustration:
    """A panel for each configuration with gradient quality, in the order in which they first appear.

    Raises AsapbenchError where there is none.
    """
    is_rank = measure is GradientMeasure.EFFECTIVE_RANK
    scales = {
        GradientMeasure.NORM_RATIO: _ratios,
        GradientMeasure.EFFECTIVE_RANK: _ranks,
        GradientMeasure.DECREASE_SHARE: _shares,
    }
    levels = {GradientMeasure.NORM_RATIO: (1.0,), GradientMeasure.DECREASE_SHARE: (0.0, 1.0)}
    shown = Shown(
        option="--gradient-quality",
        metric=measure.words,
        unit=measure.unit,
        axis=measure.words,
        described=measure.described,
        explained=" Dotted lines are those of BP." if is_rank else "",
        digits=".1f" if is_rank else ".3g",
        missing="--gradient-quality: none of these cells has it: run measures it with --gradient-quality, and rerun "
        "that of cells that are done",
        levels=levels.get(measure, ()),
        scale=scales[measure],
    )
    values = [Recorded(one.result, list(layer_values(one.rows, measure))) for one in recorded]
    return layer_curves(values, shown, heading=heading, layers=lambda _: {WHOLE_NETWORK: WHOLE})


def layer_values(rows: Iterable[GradientQuality], measure: GradientMeasure) -> Iterator[LayerValue]:
    """The values of one measure; ranks also of backpropagation, and none of the whole network."""
    for row in rows:
        if measure is not GradientMeasure.EFFECTIVE_RANK:
            yield LayerValue(row.epoch, row.layer, getattr(row, measure.field))
        elif row.layer != WHOLE_NETWORK:  # an error signal is a layer's
            yield LayerValue(row.epoch, row.layer, row.effective_rank)
            yield LayerValue(row.epoch, row.layer, row.bp_effective_rank, of_bp=True)


def _ratios(grid: Sequence[Axes], values: Sequence[float]) -> None:
    positive = [value for value in values if value > 0]
    bottom, top = min(positive, default=1.0), max(positive, default=1.0)
    for axes in grid:
        axes.set_yscale("log")
        axes.set_ylim(min(0.5, bottom / 1.5), max(2.0, 1.5 * top))
        axes.yaxis.set_major_formatter("{x:g}")


def _ranks(grid: Sequence[Axes], values: Sequence[float]) -> None:
    for axes in grid:
        axes.set_ylim(0, 1.05 * max(values, default=1.0))


def _shares(grid: Sequence[Axes], values: Sequence[float]) -> None:
    """Linear from -1 to 1, logarithmic beyond: a step that is far too large increases the loss a thousandfold."""
    bottom, top = min(values, default=0.0), max(values, default=1.0)
    for axes in grid:
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_ylim(min(-0.2, 1.2 * bottom), max(1.5, 1.2 * top))
        axes.yaxis.set_major_formatter("{x:g}")
