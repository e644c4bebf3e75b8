"""At the width of a column or of a page, nothing in a figure is cut, covered or smaller than a reader can read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import combinations, product
from typing import Any

import pytest
from figure_commands import BARE
from made_up import result
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from asapbench.metrics import Alignment, EpochMetrics, GradientQuality
from asapbench.report.figures.alignment import angle_curves
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.curves import learning_curves
from asapbench.report.figures.gradient_quality import quality_curves
from asapbench.report.figures.matching import dimension_matching
from asapbench.report.figures.memory import figure11
from asapbench.report.figures.picture import Illustration, picture
from asapbench.report.figures.style import Sheet, styled
from asapbench.report.figures.theorem import theorem_check
from asapbench.report.quantity import Angle, GradientMeasure, Quantity
from asapbench.suite.load import load

QUICK = [cell for cell in load("quickstart").cells if cell.seed == 0]
DEEP = [cell for cell in load("feedback_cpu").cells if cell.seed == 0]
LAYERS = [f"stages.{stage}.{block}.conv{number}" for stage in range(3) for block in range(3) for number in (1, 2)]


def epochs(place: int) -> list[EpochMetrics]:
    return [
        EpochMetrics(n, 1.0, 0.5, 1.0, 0.9 - 0.02 * place - 0.5 / n, None, None, 0.1, 1.0, 100.0, None)
        for n in range(1, 31)
    ]


def angles() -> list[Alignment]:
    return [Alignment(epoch, layer, "weights", 90.0 - 5 * epoch) for epoch in range(9) for layer in LAYERS]


def qualities() -> list[GradientQuality]:
    fields = {"norm_ratio": 0.5, "effective_rank": 9.0, "bp_effective_rank": 8.0, "decrease_share": 0.3}
    return [GradientQuality(epoch=epoch, layer=layer, **fields) for epoch in range(9) for layer in LAYERS]


@cache
def figures() -> dict[str, Illustration]:
    matching = [
        result(cell.with_seed(seed), 70.0 + seed) for cell in load("dimension_matching").cells for seed in (0, 1)
    ]
    several = [Recorded(result(cell, 90.0), epochs(place)) for place, cell in enumerate(QUICK)]
    many = [Recorded(result(cell, 90.0), epochs(place)) for place, cell in enumerate(DEEP)]
    angled = [Recorded(result(cell, 90.0), angles()) for cell in QUICK[:3]]
    compared = [Recorded(result(cell, 90.0), qualities()) for cell in QUICK[1:4]]
    norms = GradientMeasure.NORM_RATIO
    return {
        "curves of two models": learning_curves(several, quantity=Quantity.ACCURACY, heading="Curves"),
        "curves of many rules": learning_curves(many, quantity=Quantity.ACCURACY, heading="Curves"),
        "heatmaps": angle_curves(angled, angle=Angle.WEIGHTS, heading="Alignment"),
        "lines of angles": angle_curves(angled, angle=Angle.WEIGHTS, heading="Alignment", lines=True),
        "gradient quality": quality_curves(compared, measure=norms, heading="Gradients"),
        "matching": dimension_matching(matching),
        "memory": figure11(),
        "theorem": theorem_check((4, 3, 2), count=1),
    }


def laid_out(illustration: Illustration, sheet: Sheet) -> Figure:
    figure = illustration.draw(sheet)
    figure.draw_without_rendering()
    return figure


def texts(figure: Figure) -> Iterator[Text]:
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible() and text.get_window_extent().width > 0:
            yield text


def inside(figure: Any) -> list[Any]:
    """The figure and those inside it."""
    return [figure, *(each for part in figure.subfigs for each in inside(part))]


def ticks(axes: Iterable[Axes]) -> set[Any]:
    """Labels of ticks, drawn or not, which matplotlib keeps beyond the ends of an axis too."""
    return {label for one in axes for axis in (one.xaxis, one.yaxis) for label in axis.get_ticklabels(which="both")}


NAMES = (
    *("curves of two models", "curves of many rules", "heatmaps", "lines of angles"),
    *("gradient quality", "matching", "memory", "theorem"),
)


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.3, 6.75])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_and_no_title_or_legend_covers_anything(name: str, width: float) -> None:
    for heading in (True, False):
        sheet = Sheet(width, heading=heading)
        with styled(sheet):
            figure = laid_out(figures()[name], sheet)
            parts = inside(figure)
            axes = [one for part in parts for one in part.axes]
            frame = figure.bbox.padded(1.5)
            boxes = {one: one.get_window_extent().padded(-1.0) for one in texts(figure) if one not in ticks(axes)}
            for text, box in boxes.items():
                assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, text.get_text()
                assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, text.get_text()
            for one, other in combinations(boxes, 2):
                assert not boxes[one].overlaps(boxes[other]), (one.get_text(), other.get_text())
            legends = [legend for part in parts for legend in part.legends]
            assert len(axes) >= 1
            for legend, one in product(legends, axes):
                assert not legend.get_window_extent().padded(-1.0).overlaps(one.bbox), name


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_text_for_print_has_eight_points_and_at_least_five(name: str) -> None:
    sheet = Sheet(3.3, heading=False)
    with styled(sheet):
        figure = laid_out(figures()[name], sheet)
        assert figure.axes[0].xaxis.label.get_fontsize() == 8.0
        assert min(text.get_fontsize() for text in texts(figure)) >= 5.0


def test_the_file_is_as_wide_as_it_was_asked_to_be_in_every_format() -> None:
    sheet = Sheet(3.3, heading=False)
    image = Image.open(io.BytesIO(picture(figure11(), ".png", sheet)))
    assert image.width == 990
    assert round(image.info["dpi"][0]) == 300
    drawing = picture(figure11(), ".svg", sheet).decode()
    assert float(re.findall(r'width="([\d.]+)pt"', drawing)[0]) == pytest.approx(3.3 * 72)
    document = picture(figure11(), ".pdf", sheet)
    assert float(re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", document)[0]) == pytest.approx(3.3 * 72, abs=0.01)


def test_fonts_are_embedded_as_truetype_and_text_in_svg_is_text() -> None:
    sheet = Sheet(3.3, heading=False)
    document = picture(figure11(), ".pdf", sheet)
    assert b"/Type42" in document or b"/CIDFontType2" in document
    assert b"/Type3" not in document
    assert ">ResNet-18</text>" in picture(figure11(), ".svg", sheet).decode()


def test_without_heading_a_picture_has_neither_title_nor_explanation() -> None:
    for heading in (True, False):
        drawing = picture(figure11(), ".svg", Sheet(6.75, heading=heading)).decode()
        assert ("External memory accesses" in drawing) is heading
        assert ("eq. 48-49" in drawing) is heading


def test_a_heatmap_has_a_row_for_each_layer_a_column_for_each_epoch_and_one_scale() -> None:
    figure = laid_out(figures()["heatmaps"], BARE)
    panels = [axes for axes in figure.axes if axes.collections and axes.get_xlabel() == "epoch"]
    assert len(panels) == 3
    for axes in panels:
        (mesh,) = axes.collections
        assert mesh.get_array().shape == (len(LAYERS), 9)
        assert mesh.get_clim() == (0.0, 90.0)
        assert mesh.get_array()[0, 4] == pytest.approx(70.0)
        assert [label.get_text() for label in axes.get_yticklabels()] == LAYERS
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first layer is on top"
