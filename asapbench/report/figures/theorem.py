"""The theorem of Forward Alignment (A.1): what each start and rank of C shows, as a table and a picture.

`asapbench.analysis.theorem` computes the runs. No database is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from asapbench.analysis.theorem import CASES, HORIZON, ZERO, Array, Case, Sizes, Trajectory, runs
from asapbench.errors import AsapbenchError
from asapbench.report.configuration import MISSING, number
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import DASHES, Sheet, legend, line_style, panels, title_panel
from asapbench.report.published import SOURCE
from asapbench.report.statistics import Summary
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Number, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE = "The theorem of Forward Alignment"
_METRIC, _UNIT = "integration of eq. 30-31", "as the variant names it"
_FLOOR = 1e-12
"""The picture shows smaller values as this one."""
_START, _POINTS = 0.1, 200
"""Start of the picture's logarithmic time axis, and the number of times at which a line has a value."""

_PANELS: tuple[tuple[str, Callable[[Trajectory], Array | None]], ...] = (
    ("loss: |E|² / |E(0)|²", lambda run: (run.loss / run.loss[0]).clip(min=_FLOOR)),
    ("V / V(0)", lambda run: (run.v / run.v[0]).clip(min=_FLOOR)),
    ("drift of k: |k - k(0)|", lambda run: run.drift),
    ("|W|² / its bound, where there is one", lambda run: None if run.bound is None else run.weights / run.bound),
)
"""The panels of the picture: titles, and the quantity of a run at its times."""


@dataclass(frozen=True)
class Checked:
    """A case and its runs."""

    case: Case
    runs: Sequence[Trajectory]

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of runs in which the loss goes to zero, that ended within the horizon, in which V never rises."""
        learned, falls = sum(run.learned for run in self.runs), sum(run.falls for run in self.runs)
        return {"E goes to zero": learned, "ended": sum(run.ended for run in self.runs), "V falls": falls}

    @property
    def shown(self) -> int:
        """The number of ended runs for which the statement of the case is true."""
        return sum(self.case.holds(run) for run in self.runs if run.ended)

    def measured(self) -> dict[str, list[float]]:
        """Each quantity and its value in every run, among them the part of Lemma 4's bound, where there is a bound."""
        found = {
            "|E|^2 at the end": [float(run.loss[-1]) for run in self.runs],
            "largest rise of V over V(0)": [run.rise for run in self.runs],
            "largest |k - k(0)|": [float(run.drift.max()) for run in self.runs],
            "largest |W|^2": [float(run.weights.max()) for run in self.runs],
        }
        reached = [float(run.weights.max()) / run.bound for run in self.runs if run.bound is not None]
        return found | ({"largest |W|^2 over Lemma 4's bound or its start": reached} if reached else {})


def theorem_check(sizes: Sequence[int], *, count: int) -> Illustration:
    """The check with layers of `sizes` (n_h, n_x, n_y), over `count` runs of each case. Raises AsapbenchError.

    >>> theorem_check((6, 4, 2), count=1).table.title
    'The theorem of Forward Alignment'
    """
    if len(sizes) != 3:
        given = ",".join(map(str, sizes))
        raise AsapbenchError(f"--sizes {given}: three numbers are needed, n_h,n_x,n_y, as in 12,8,4")
    layers = Sizes(*sizes)
    checked = [Checked(case, runs(case, layers, count)) for case in CASES]
    return Illustration(_table(checked, layers, count), lambda sheet: _draw(checked, layers, count, sheet))


def _caption(sizes: Sizes, count: int) -> str:
    return (
        f"dW/dt = E C^T, dA/dt = W^T E, integrated until E = 0 or nothing moves ({SOURCE}, A.1); n_h, n_x, n_y = "
        f"{sizes.hidden}, {sizes.inputs}, {sizes.outputs}; {count} random draws of each start"
    )


def _table(checked: Sequence[Checked], sizes: Sizes, count: int) -> Table:
    footnotes = Footnotes()
    rows = tuple(_row(found, footnotes) for found in checked)
    return Table(
        title=_TITLE,
        caption=f"{_caption(sizes, count)}. Numbers are the largest of all draws.",
        columns=(
            Column("Start and rank", "left"),
            *(
                Column(title)
                for title in ("E → 0", "|E|²", "V falls", "rise", "k drifts", "|W|²", "/ bound", "as noted")
            ),
        ),
        groups=(Group("C with independent columns unless a rank is named", rows),),
        notes=(
            *footnotes.notes(),
            Note(
                f"E → 0: |E|² fell below {ZERO:g} of its start; not yet: it still fell, slowly, at t = {HORIZON:g}. "
                "rise: of V above an earlier value, over V(0). k drifts: |k - k(0)|, Frobenius. / bound: |W|² over "
                "Lemma 4's bound, |T C^T|² + 2 n_y or |W(0)|² if that is larger, claimed only where k + k^T = 0 at "
                "the start. as noted: the number of ended draws for which the whole footnote is true."
            ),
        ),
        numbers=tuple(_numbers(checked, sizes)),
    )


def _row(found: Checked, footnotes: Footnotes) -> Row:
    count = len(found.runs)
    learned, ended, falls = found.counts.values()
    loss, rise, drift, weights, *reached = (max(values) for values in found.measured().values())
    texts = (
        f"{learned} of {count}" + (f", {count - ended} not yet" if ended < count else ""),
        f"{loss:.1e}",
        f"{falls} of {count}",
        f"{rise:.0e}" if rise < 0.01 else f"{rise:.2f}",
        f"{drift:.0e}" if drift < 0.01 else f"{drift:.2f}",
        f"{weights:.1f}",
        f"{reached[0]:.2f}" if reached else MISSING,
    )
    stub = Field(found.case.title, marks=(footnotes.mark(f"{found.case.shows}."),))
    return Row((stub, *map(Field, texts), Field(f"{found.shown} of {ended}")))


def _numbers(checked: Sequence[Checked], sizes: Sizes) -> Iterator[Number]:
    names = "random T", f"linear {sizes.inputs}-{sizes.hidden}-{sizes.outputs}", "forward_alignment"
    for found in checked:
        count, ended = len(found.runs), found.counts["ended"]
        shares = {f"{name}, share of the draws": [times / count] for name, times in found.counts.items()}
        if ended:
            shares["as noted, share of the draws that ended"] = [found.shown / ended]
        for quantity, values in (found.measured() | shares).items():
            variant = f"{found.case.name}, {quantity}"
            one = number(Summary(tuple(values)), names=names, metric=_METRIC, variant=variant, unit=_UNIT)
            yield replace(one, n=count)


def _draw(checked: Sequence[Checked], sizes: Sizes, count: int, sheet: Sheet) -> Figure:
    described = f"{_caption(sizes, count)}: their median, and the range from the least to the largest."
    figure, grid = panels(_TITLE, described, len(_PANELS), sheet=sheet, columns=2, width=11.0, height=3.4)
    last = max(float(run.times[-1]) for found in checked for run in found.runs)
    times = np.geomspace(_START, last, _POINTS)
    for axes, (title, quantity) in zip(grid, _PANELS, strict=True):
        for place, found in enumerate(checked):
            _band(axes, place, found, times, quantity)
        title_panel(axes, title)
        axes.set_xscale("log")
        axes.set_xlim(_START, last)
        axes.set_xlabel("time t")
    loss, v, _, weights = grid
    for axes in (loss, v):
        axes.set_yscale("log")
        axes.set_ylim(_FLOOR, 10)
    weights.axhline(1.0, color="black", linewidth=0.8)
    weights.set_ylim(0, 1.1)
    legend(grid, v.get_legend_handles_labels()[0])
    return figure


def _band(axes: Axes, place: int, found: Checked, times: Array, quantity: Callable[[Trajectory], Array | None]) -> None:
    """The median of the runs and their range, if all have the quantity. The first case, the theorem's, is on top."""
    measured = [(run.times, values) for run in found.runs if (values := quantity(run)) is not None]
    if len(measured) < len(found.runs):
        return
    # A run that has ended keeps its last value.
    values = np.array([np.interp(times, *pair) for pair in measured])
    style = line_style(place, dashes=min(place, 1) * (1 + place % (len(DASHES) - 1)))
    width, order = (1.4, 2.0) if place else (3.0, 3.0)
    every = (place * 3, _POINTS // 8)
    axes.fill_between(times, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)
    axes.plot(
        times,
        np.median(values, axis=0),
        label=found.case.title,
        linewidth=width,
        zorder=order,
        markevery=every,
        markersize=5,
        **style,
    )
