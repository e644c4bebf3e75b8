"""The figures of the paper, and those of any cells. One module for each: rows -> numbers -> a Table and a picture.

Only drawing imports matplotlib, and never pyplot: no window, no display, no state between pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from asapbench.errors import AsapbenchError
from asapbench.report.figures import alignment, matching, memory, shortcut
from asapbench.report.figures.picture import Illustration
from asapbench.report.quantity import Metric
from asapbench.report.recorded import chosen_notes, naming_discarded, passing, recorded_results
from asapbench.report.table import Note
from asapbench.suite.load import load

OF_ACCURACIES = 9
"""The figure that has a metric, and cells that may deviate."""

FIGURES: Mapping[int, str] = {6: "angles", OF_ACCURACIES: "accuracies", 10: "angles", 11: "counts"}
"""By number, what the figure holds. The paper's other figures are drawings, or published numbers of its tables."""


def paper_figure(
    number: int,
    *,
    url: str,
    metric: Metric | None = None,
    allow_deviations: bool = False,
    filters: Sequence[str] = (),
) -> Illustration:
    """Printed figure `number` from the cells that pass the filters in the database at `url`.

    Figure 11 does not open it.

    `metric` is of Figure 9 alone; its default is the best test epoch, as in the paper's tables. `allow_deviations`
    adds what deviates from the cells of Figure 9. Raises AsapbenchError for a number that is not in `FIGURES`.
    """
    if number not in FIGURES:
        raise AsapbenchError(f"--figure {number}: there is no such figure; available: {', '.join(map(str, FIGURES))}")
    if number == OF_ACCURACIES:
        results, notes = recorded_results(url, filters, of=load(matching.SUITE).cells)
        made = matching.dimension_matching(results, metric=metric or Metric.BEST, allow_deviations=allow_deviations)
        return _with_notes(made, notes)
    if metric is not None:
        raise AsapbenchError(f"--metric: Figure {number} holds {FIGURES[number]}, which have no metric; leave it out")
    if number == 11 and filters:
        raise AsapbenchError("--only: Figure 11 counts memory accesses, and holds no result; leave it out")
    if number == 11:
        return memory.figure11()
    from asapbench.store import Store

    with Store.read_only(url) as store, naming_discarded(store, filters):
        chosen = passing(store.results(), filters)
        made = alignment.figure6(store, chosen) if number == 6 else shortcut.figure10(store, chosen)
        of = load(alignment.SUITE).cells if number == 6 else ()
        return _with_notes(made, chosen_notes(store, filters, of=of))


def _with_notes(made: Illustration, notes: Sequence[Note]) -> Illustration:
    return replace(made, table=replace(made.table, notes=(*made.table.notes, *notes)))


__all__ = ["FIGURES", "OF_ACCURACIES", "Illustration", "paper_figure"]
