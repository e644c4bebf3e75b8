"""The paper's figures. A module each: rows -> a frozen dataclass of plain numbers -> a Table, and a matplotlib Figure.

matplotlib is imported where something is drawn, never pyplot: no window, no display, no state between pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asapbench.errors import AsapbenchError
from asapbench.report.figures import alignment, matching, memory, shortcut
from asapbench.report.figures.picture import Illustration
from asapbench.report.metric import Metric

PaperFigure = Callable[[str, Metric | None], Illustration]
"""Makes a figure from the database at a URL (opened only where one is needed) and the metric asked for, if any."""

FIGURES: Mapping[int, PaperFigure] = {
    6: alignment.figure6,
    9: matching.figure9,
    10: shortcut.figure10,
    11: memory.figure11,
}
"""By number. The paper's other figures are drawings, or published numbers of its tables."""


def paper_figure(
    number: int, *, url: str, metric: Metric | None = None, allow_deviations: bool = False
) -> Illustration:
    """Printed figure `number`; of Figure 9 also what deviates from its cells, where that is allowed.

    Raises AsapbenchError, naming the figures there are, for one that is not to be had.
    """
    if number not in FIGURES:
        raise AsapbenchError(f"--figure {number}: there is no such figure; available: {', '.join(map(str, FIGURES))}")
    if number == 9:
        return matching.figure9(url, metric, allow_deviations=allow_deviations)
    return FIGURES[number](url, metric)


__all__ = ["FIGURES", "Illustration", "paper_figure"]
