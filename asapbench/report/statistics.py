"""Samples of one number -> mean, spread and count. What diverged is counted, never averaged in."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """`n` samples in their own unit: `mean` is None for none, `sd` (sample standard deviation) for fewer than two.

    `diverged` of the `of` trainings that ended (n + diverged) diverged.
    """

    mean: float | None
    sd: float | None
    n: int
    diverged: int = 0

    @property
    def of(self) -> int:
        """How many trainings ended, diverged ones included."""
        return self.n + self.diverged


def summarize(samples: Sequence[float], *, diverged: int = 0) -> Summary:
    """Mean and sample standard deviation (n - 1 in the denominator) of `samples`."""
    return Summary(
        mean=statistics.fmean(samples) if samples else None,
        sd=statistics.stdev(samples) if len(samples) > 1 else None,
        n=len(samples),
        diverged=diverged,
    )


def usual_count(summaries: Iterable[Summary]) -> int:
    """The most frequent n of the numbers there are, the larger of two equally frequent ones; 0 for no number."""
    counts = Counter(summary.n for summary in summaries if summary.n)
    return max(counts, key=lambda n: (counts[n], n), default=0)


def spread_and_count(summaries: Sequence[Summary], *, others: str = "below") -> str:
    """How a caption states what `94.93 ± 0.12` means and how many seeds stand behind it.

    `others` says where n stands that is not the usual one.
    """
    usual = usual_count(summaries)
    differing = {summary.n for summary in summaries if summary.n} - {usual}
    if not usual:
        return "nothing measured yet"
    if usual == 1 and not differing:
        return "one seed each (n = 1), so no spread"
    seeds = "seed" if usual == 1 else "seeds"
    unless = f", unless n stands {others}" if differing else ""
    return f"mean ± sample standard deviation over n = {usual} {seeds}{unless}"
