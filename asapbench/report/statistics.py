"""Samples of one number, their mean, spread and count. Diverged trainings are counted and never averaged."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from asapbench.analysis.comparison import Interval


@dataclass(frozen=True)
class Summary:
    """The `samples` of one number, in its own unit, and how many trainings diverged instead of giving a sample.

    `seeds` are those of the samples, in their order, where they are known: only samples with seeds can be paired.

    >>> summary = Summary((90.0, 92.0), diverged=1)
    >>> summary.mean, round(summary.sd, 2), summary.n, summary.ended
    (91.0, 1.41, 2, 3)
    """

    samples: tuple[float, ...] = ()
    diverged: int = 0
    seeds: tuple[int, ...] = ()

    @property
    def by_seed(self) -> dict[int, float]:
        """The samples by their seeds; empty where these are not known."""
        return dict(zip(self.seeds, self.samples, strict=True)) if self.seeds else {}

    @cached_property
    def mean(self) -> float | None:
        """The mean, None without samples."""
        return statistics.fmean(self.samples) if self.samples else None

    @cached_property
    def sd(self) -> float | None:
        """The sample standard deviation (n - 1 in the denominator), None for fewer than two samples."""
        return statistics.stdev(self.samples) if self.n > 1 else None

    @property
    def n(self) -> int:
        """The number of samples."""
        return len(self.samples)

    @property
    def ended(self) -> int:
        """The number of trainings that ended, diverged ones included."""
        return self.n + self.diverged


class Spread(StrEnum):
    """What stands beside a mean: the spread of the seeds (sd, range), or how well their mean is known (ci, se).

    >>> Spread.RANGE.ends(Summary((90.0, 92.0, 91.0))), Spread.SD.ends(Summary((90.0, 92.0, 91.0)))
    ((90.0, 92.0), (90.0, 92.0))
    """

    SD = "sd"
    CI = "ci"
    SE = "se"
    RANGE = "range"

    @property
    def described(self) -> str:
        """The mean and its spread, in the words of a caption."""
        return {
            Spread.SD: "mean ± sample standard deviation",
            Spread.CI: f"mean ± half of the {Interval.T.described}",
            Spread.SE: "mean ± standard error of the mean",
            Spread.RANGE: "mean (smallest to largest)",
        }[self]

    def ends(self, summary: Summary) -> tuple[float, float] | None:
        """The ends of a bar or band around the mean; None for fewer than two samples."""
        if summary.mean is None or summary.sd is None:
            return None
        if self is Spread.RANGE:
            return min(summary.samples), max(summary.samples)
        if self is Spread.CI:
            return Interval.T.of(summary.samples)
        half = summary.sd / (1 if self is Spread.SD else math.sqrt(summary.n))
        return summary.mean - half, summary.mean + half


def usual_count(summaries: Iterable[Summary]) -> int:
    """The most frequent n above 0, the larger of two equally frequent ones; 0 where there is no number.

    >>> usual_count([Summary((1.0,)), Summary((1.0, 2.0)), Summary((3.0, 4.0)), Summary()])
    2
    """
    counts = Counter(summary.n for summary in summaries if summary.n)
    return max(counts, key=lambda n: (counts[n], n), default=0)


def spread_and_count(summaries: Sequence[Summary], *, spread: Spread = Spread.SD, others: str = "below") -> str:
    """For a caption: what `94.93 ± 0.12` means, and over how many seeds.

    `others` says where the report gives an n that differs from the usual one.

    >>> spread_and_count([Summary((94.8, 95.0, 95.1)), Summary((93.0, 92.0, 92.5))])
    'mean ± sample standard deviation over n = 3 seeds'
    >>> spread_and_count([Summary((94.8,)), Summary((93.0,)), Summary((92.1, 92.5))])
    'one seed each (n = 1), so no spread, unless another n is given below: mean ± sample standard deviation'
    """
    usual = usual_count(summaries)
    differing = {summary.n for summary in summaries if summary.n} - {usual}
    if not usual:
        return "nothing measured yet"
    another = f"unless another n is given {others}"
    if usual == 1:
        return "one seed each (n = 1), so no spread" + (f", {another}: {spread.described}" if differing else "")
    return f"{spread.described} over n = {usual} seeds" + (f", {another}" if differing else "")


def differences(first: Summary, second: Summary) -> dict[int, float]:
    """By seed the difference, first minus second, for the seeds that both have.

    >>> differences(Summary((90.0, 92.0), seeds=(0, 1)), Summary((89.0, 88.0), seeds=(0, 2)))
    {0: 1.0}
    """
    others = second.by_seed
    return {seed: value - others[seed] for seed, value in first.by_seed.items() if seed in others}
