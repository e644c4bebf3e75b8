"""The best numbers of a row: the highest mean, and all that are not significantly lower over the seeds they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from asapbench.analysis.comparison import LEVEL, PairedTest, holm, smallest_exact_p
from asapbench.report.statistics import Summary, differences
from asapbench.report.table import Field, Strong


@dataclass(frozen=True)
class Best:
    """By place in a row: `marked` are the best and all that are not significantly worse.

    `untested` have a mean, perhaps the highest, but take no part: a training diverged, so that the mean is one of the
    others, or fewer than two seeds are shared with the best. Nothing is marked where no comparison can be tested, as
    with one seed.
    """

    marked: frozenset[int] = frozenset()
    untested: frozenset[int] = frozenset()

    def shown(self, fields: Iterable[Field]) -> tuple[Field, ...]:
        """The fields of the row, the marked ones strong."""
        return tuple(
            replace(field, emphasis="strong") if place in self.marked else field for place, field in enumerate(fields)
        )


def best(summaries: Sequence[Summary | None]) -> Best:
    """What is marked in a row. The p values of its comparisons with the best are corrected together.

    >>> bp, kp = Summary((95.0, 96.0, 97.0), seeds=(0, 1, 2)), Summary((95.1, 95.7, 97.1), seeds=(0, 1, 2))
    >>> dfa = Summary((80.1, 81.3, 82.0), seeds=(0, 1, 2))
    >>> sorted(best([dfa, bp, None, kp]).marked)
    [1, 3]
    """
    there = {place: one for place, one in enumerate(summaries) if one is not None}
    means = {place: one.mean for place, one in there.items() if one.mean is not None}
    whole = {place: there[place] for place in means if not there[place].diverged}
    if not whole:
        return Best(untested=frozenset(means))
    # One seed allows no test, so the best has more where a number of the row has.
    several = [place for place in whole if whole[place].n > 1]
    top = max(several or whole, key=lambda place: means[place])
    paired = {place: tuple(differences(whole[top], whole[place]).values()) for place in whole if place != top}
    tested = {place: values for place, values in paired.items() if len(values) > 1}
    if not tested:
        return Best(untested=frozenset(means))
    ps = holm(list(map(_p, tested.values())))
    # Over the shared seeds alone, the other may be the better one.
    ties = {place for place, p in zip(tested, ps, strict=True) if p > LEVEL or fmean(tested[place]) < 0}
    return Best(frozenset({top, *ties}), frozenset(means.keys() - {top, *tested}))


def _p(differences: Sequence[float]) -> float:
    """Equal differences other than 0 allow no t-test: their p is the one that needs no assumption on the spread."""
    p = PairedTest.T.p(differences)
    return smallest_exact_p(len(differences)) if p is None else p


def across(columns: Sequence[Best], *, rows: int) -> list[Best]:
    """What is marked in each of `columns`, by row: as `Best.shown` takes it.

    >>> [sorted(row.marked) for row in across([Best(frozenset({0, 1})), Best(frozenset({1}))], rows=3)]
    [[0], [0, 1], []]
    """
    marked = [frozenset(place for place, one in enumerate(columns) if row in one.marked) for row in range(rows)]
    return list(map(Best, marked))


def strong(rows: Sequence[Best], *, of: Literal["row", "column"] = "row") -> Strong | None:
    """What the marked numbers are, and what has no mark for lack of a test; None where nothing is marked."""
    if not any(one.marked for one in rows):
        return None
    form = (
        "the best of its {of} and all that are not significantly worse (paired t-test over seeds, "
        f"{100 * LEVEL:g} %, Holm over the {{of}})."
    )
    if any(one.marked and one.untested for one in rows):
        form += " Not tested: with a diverged training, one seed, or fewer than 2 seeds in common with the best."
    return Strong(form, of)


def why_none(rows: Sequence[Best]) -> str:
    """For a caption: why nothing is marked, where several numbers could be compared."""
    if any(len(one.untested) > 1 for one in rows) and not any(one.marked for one in rows):
        return " Nothing is marked as best: a test needs 2 seeds or more."
    return ""
