"""The theorem of Forward Alignment (A.1), checked: what each start and rank of C shows, as a table and a picture.

Computed by `asapbench.analysis.theorem`; no database is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.analysis.theorem import CASES, HORIZON, ZERO, Case, Sizes, Trajectory, runs
from asapbench.errors import AsapbenchError
from asapbench.report.figures.picture import Illustration
from asapbench.report.published import SOURCE
from asapbench.report.statistics import summarize
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Number, Row, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLE = "The theorem of Forward Alignment"
_METRIC, _UNIT = "integration of eq. 30-31", "as the variant names it"
_FLOOR = 1e-10
"""Of the picture: what has gone below it is zero."""
_BEGIN = 0.1
"""Of the picture's logarithmic time axis."""


@dataclass(frozen=True)
class Checked:
    """A case and its runs."""

    case: Case
    runs: Sequence[Trajectory]

    @property
    def shown(self) -> int:
        """In how many runs what the case shows is there."""
        return sum(self.case.holds(run) for run in self.runs)

    @property
    def learned(self) -> int:
        """In how many runs the loss goes to zero."""
        return sum(run.learned for run in self.runs)

    @property
    def falls(self) -> int:
        """In how many runs V decreases all the way."""
        return sum(run.falls for run in self.runs)

    def measured(self) -> dict[str, list[float]]:
        """By quantity, its value in each run; where Lemma 4 claims a bound, the part of it that is reached, too."""
        found = {
            "|E|^2 at the end": [float(run.loss[-1]) for run in self.runs],
            "largest rise of V over V(0)": [run.rise for run in self.runs],
            "largest |k - k(0)|": [float(run.drift.max()) for run in self.runs],
            "largest |W|^2": [float(run.weights.max()) for run in self.runs],
        }
        reached = [float(run.weights.max()) / run.bound for run in self.runs if run.bound is not None]
        return found | ({"largest |W|^2 over its bound": reached} if reached else {})


def theorem_check(sizes: Sequence[int], *, runs: int) -> Illustration:
    """The check with layers of `sizes`, n_h, n_x and n_y, over so many runs of each case. Raises AsapbenchError."""
    if len(sizes) != 3:
        raise AsapbenchError(f"sizes: three are needed, n_h,n_x,n_y as in 12,8,4, not {len(sizes)}")
    layers = Sizes(*sizes)
    checked = [Checked(case, _runs(case, layers, runs)) for case in CASES]
    return Illustration(_table(checked, layers, runs), lambda: _draw(checked, layers, runs))


_runs = runs


def _caption(sizes: Sizes, count: int) -> str:
    return (
        f"dW/dt = E C^T, dA/dt = W^T E, integrated to t = {HORIZON:g} ({SOURCE}, A.1); n_h, n_x, n_y = "
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
                f"E → 0: |E|² fell below {ZERO:g} of its start. rise: of V above what it was before, over V(0). k "
                "drifts: |k - k(0)|, Frobenius. / bound: |W|² over Lemma 4's |T C^T|² + 2 n_y, which is claimed only "
                "where k + k^T = 0 at the start. as noted: in how many draws everything that the footnote says is so."
            ),
        ),
        numbers=tuple(_numbers(checked, sizes)),
        metric=_METRIC,
        unit=_UNIT,
    )


def _row(found: Checked, footnotes: Footnotes) -> Row:
    of = f" of {len(found.runs)}"
    largest = [max(values) for values in found.measured().values()]
    loss, rise, drift, weights, *reached = largest
    return Row(
        (
            Field(found.case.title, marks=(footnotes.mark(f"{found.case.shows}."),)),
            Field(f"{found.learned}{of}"),
            Field(f"{loss:.1e}"),
            Field(f"{found.falls}{of}"),
            Field(f"{rise:.0e}" if rise < 0.01 else f"{rise:.2f}"),
            Field(f"{drift:.0e}" if drift < 0.01 else f"{drift:.2f}"),
            Field(f"{weights:.1f}"),
            Field(f"{reached[0]:.2f}" if reached else "-"),
            Field(f"{found.shown}{of}", emphasis="strong"),
        )
    )


def _numbers(checked: Sequence[Checked], sizes: Sizes) -> Iterator[Number]:
    for found in checked:
        counts = {"E goes to zero": found.learned, "V falls": found.falls, "as noted": found.shown}
        shares = {f"{name}, share of the draws": [count / len(found.runs)] for name, count in counts.items()}
        for quantity, values in (found.measured() | shares).items():
            summary = summarize(values)
            yield Number(
                dataset="random T",
                model=f"linear {sizes.inputs}-{sizes.hidden}-{sizes.outputs}",
                rule="forward_alignment",
                variant=f"{found.case.name}, {quantity}",
                measured=summary.mean,
                sd=summary.sd,
                n=len(found.runs),
                diverged=0,
                published=None,
                difference=None,
                metric=_METRIC,
                unit=_UNIT,
            )


def _draw(checked: Sequence[Checked], sizes: Sizes, count: int) -> Figure:
    import numpy as np
    from matplotlib.lines import Line2D

    from asapbench.report.figures.style import COLORS, legend_beside, panels

    figure, (loss, v, drift) = panels(_TITLE, f"{_caption(sizes, count)}, a line each.", 3)
    for number, found in enumerate(checked):
        for run in found.runs:
            look: dict[str, Any] = {"color": COLORS[number], "linewidth": 0.7, "alpha": 0.6}
            loss.plot(run.times, np.maximum(run.loss / run.loss[0], _FLOOR), **look)
            v.plot(run.times, np.maximum(run.v / run.v[0], _FLOOR), **look)
            drift.plot(run.times, run.drift, **look)
    for axes, title in ((loss, "loss: |E|² / |E(0)|²"), (v, "V / V(0)"), (drift, "drift of k: |k - k(0)|")):
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xscale("log")
        axes.set_xlim(_BEGIN, HORIZON)
        axes.set_xlabel("time t")
    for axes in (loss, v):
        axes.set_yscale("log")
        axes.set_ylim(_FLOOR, 10)
    names = [found.case.title for found in checked]
    legend_beside(drift, [Line2D([], [], color=COLORS[n], label=name) for n, name in enumerate(names)])
    return figure
