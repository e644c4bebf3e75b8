"""`compare`: two rules, configuration by configuration, by the differences of their trainings with the same seed."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from asapbench.analysis.comparison import LEVEL, Interval, PairedTest, holm, smallest_exact_p
from asapbench.errors import AsapbenchError, SuiteError
from asapbench.report.configuration import MISSING, counted, lacking_metric, names, some
from asapbench.report.grid import Grid
from asapbench.report.pairs import ComparedSuite, Pair, meant, pairs_of
from asapbench.report.quantity import Metric
from asapbench.report.statistics import Summary
from asapbench.report.table import Column, Field, Footnotes, Note, Number, Row, Table, grouped, numeric
from asapbench.suite.cell import Cell, name, title
from asapbench.suite.cell import differences as settings_that_differ

_SEEDS = 5
"""Suggested for a t-test, which needs two."""


_FOR_BOOTSTRAP = 20
"""Pairs with which the bootstrap's interval has nearly its level: 93.5 % of 2,000 simulated samples (decision 0041)."""


@dataclass(frozen=True, kw_only=True)
class ComparedNumber(Number):
    """The mean difference of two rules, `rule` minus `against`: `samples` are the differences by seed.

    `first` and `second` are the accuracies that they are of. `low` and `high` are the ends of the interval, `p_holm` is
    the p corrected for all rows. `lost` counts the seeds that are no pair because a training diverged.
    """

    IN_UNIT = (*Number.IN_UNIT, "low", "high")

    against: str
    first: tuple[float, ...] = ()
    second: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    lost: int = 0
    verdict: str = ""


def comparison_table(
    suites: Iterable[ComparedSuite],
    rules: tuple[str, str],
    *,
    metric: Metric = Metric.LAST,
    test: PairedTest = PairedTest.T,
    interval: Interval = Interval.T,
) -> Table:
    """A row for each configuration that both `rules` have, spelled as `asap` or `asap(k=4)`.

    Raises SuiteError for an unknown rule, and AsapbenchError where no configuration has both.
    """
    suites = list(suites)
    present = [cell.rule for suite in suites for cell in suite.places]
    first, second = (meant(text, present) for text in rules)
    if first == second:
        raise SuiteError(f"compare {' '.join(rules)}: both are {title('rule', first)}; name two rules")
    pairs, alone = pairs_of(suites, (first, second), metric)
    titles = title("rule", first), title("rule", second)
    if not pairs:
        raise AsapbenchError(f"compare {' '.join(rules)}: {_why_no_pair(titles, alone)}")
    judged = _judged(pairs, titles, test)
    footnotes, shared = Footnotes(), Grid(tuple(cell for pair in pairs for cell in pair.cells), None).shared
    rows = [_row(pair, one, footnotes, interval, shared) for pair, one in zip(pairs, judged, strict=True)]
    header = [title("dataset", pair.cells[0].dataset) for pair in pairs]
    if len({pair.where for pair in pairs}) > 1:
        header = [f"{pair.where}: {text}" for pair, text in zip(pairs, header, strict=True)]
    return Table(
        title=f"{titles[0]} compared with {titles[1]}",
        caption=_caption(
            titles,
            judged,
            shared=f", every model with {shared[1:-1]}" if shared else "",
            metric=metric,
            test=test,
            interval=interval,
        ),
        columns=(
            Column("Model", "left"),
            Column("n"),
            *map(Column, titles),
            Column("difference"),
            Column(f"{100 * (1 - LEVEL):g} % interval"),
            Column("p"),
            Column("p (Holm)"),
            Column("verdict", "left"),
        ),
        groups=grouped((text, [row]) for text, row in zip(header, rows, strict=True)),
        notes=(
            *footnotes.notes(),
            *_notes(pairs, judged, test=test, interval=interval),
            *_without_counterpart(titles, alone),
            *lacking_metric((one for pair in pairs for one in pair.found if one), metric),
        ),
        numbers=tuple(
            _number(pair, one, metric=metric, interval=interval) for pair, one in zip(pairs, judged, strict=True)
        ),
    )


def _why_no_pair(titles: tuple[str, str], alone: Sequence[tuple[Cell, str]]) -> str:
    there = [text for text in titles if any(title("rule", cell.rule) == text for cell, _ in alone)]
    if len(there) < 2:
        return f"no cell is trained by {' or '.join(text for text in titles if text not in there)}"
    listed = some(f"{title('rule', cell.rule)}: {title('model', cell.model)} {what}".strip() for cell, what in alone)
    return f"no configuration has both rules ({listed})"


@dataclass(frozen=True)
class _Judged:
    """The test of one row. `p_holm` is corrected for the rows that have a p, `least` is the smallest possible one."""

    p: float | None
    p_holm: float | None
    least: float
    verdict: str


def _judged(pairs: Sequence[Pair], titles: tuple[str, str], test: PairedTest) -> list[_Judged]:
    ps = [test.p(pair.differences) for pair in pairs]
    tested = [place for place, p in enumerate(ps) if p is not None]
    corrected = dict(zip(tested, holm([p for p in ps if p is not None]), strict=True))
    # Holm's correction never falls when a p rises: with each p at its smallest, each corrected p is at its smallest.
    least = dict(zip(tested, holm([test.smallest_p(pairs[place].differences) for place in tested]), strict=True))
    return [
        _Judged(p, corrected.get(place), least.get(place, 1.0), verdict)
        for place, (pair, p) in enumerate(zip(pairs, ps, strict=True))
        for verdict in (_verdict(pair, titles, corrected.get(place), least.get(place, 1.0)),)
    ]


def _verdict(pair: Pair, titles: tuple[str, str], p: float | None, least: float) -> str:
    """The answer in words; `p` is corrected."""
    n = len(pair.differences)
    if n == 0:
        return "no pairs"
    if n == 1:
        return "too few seeds"
    if p is None:
        return "equal differences: no t-test"
    if least > LEVEL:
        return "too few seeds" if any(pair.differences) else "no difference shown"
    if p > LEVEL:
        return "no difference shown"
    return f"{titles[0] if fmean(pair.differences) > 0 else titles[1]} better"


def _row(pair: Pair, judged: _Judged, footnotes: Footnotes, interval: Interval, shared: str) -> Row:
    first, second = pair.values
    ends = interval.of(pair.differences)
    return Row(
        (
            Field(pair.stub(shared), tuple(map(footnotes.mark, _settings(pair)))),
            Field(str(len(pair.seeds)), tuple(map(footnotes.mark, _lost(pair)))),
            _mean(first, "{:.2f}"),
            _mean(second, "{:.2f}"),
            _mean(pair.differences, "{:+.2f}"),
            Field(MISSING, emphasis="faint") if ends is None else numeric("{:+.2f} to {:+.2f}", *ends),
            _p(judged.p),
            _p(judged.p_holm),
            Field(judged.verdict),
        )
    )


def _settings(pair: Pair) -> Iterator[str]:
    """The settings that differ beside the rule, and what was chosen."""
    first, second = (title("rule", cell.rule) for cell in pair.cells)
    if other := settings_that_differ(pair.cells[1], replace(pair.cells[0], rule=pair.cells[1].rule)):
        yield f"also differs: {second} has {', '.join(other)}"
    if selection := pair.suites[0].selection:
        texts = [chosen.text if chosen else "none" for chosen in pair.chosen]
        yield f"chosen {', '.join(selection.keys)}: {first} {texts[0]}, {second} {texts[1]}"
        for rule, chosen in zip((first, second), pair.chosen, strict=True):
            yield from (f"{rule}: {text}" for text in (chosen.edge, chosen.left_out) if text) if chosen else ()


def _lost(pair: Pair) -> Iterator[str]:
    """The seeds that are no pair, and why."""
    lost = []
    for cell, seeds in zip(pair.cells, pair.diverged, strict=True):
        if seeds:
            of = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
            lost.append(f"{title('rule', cell.rule)} diverged with {of}")
    if lost:
        yield f"{counted(len(pair.lost), 'pair')} lost: {'; '.join(lost)}"
    if pair.unfinished:
        yield f"{counted(len(pair.unfinished), 'seed')} for which not both rules have a number"


def _mean(values: Sequence[float], form: str) -> Field:
    return numeric(form, fmean(values)) if values else Field(MISSING, emphasis="faint")


def _p(p: float | None) -> Field:
    """A p value: `0.031`, `<0.001`."""
    if p is None:
        return Field(MISSING, emphasis="faint")
    return Field("<0.001") if p < 0.001 else numeric("{:.3f}", p)


def _caption(
    titles: tuple[str, str],
    judged: Sequence[_Judged],
    *,
    shared: str,
    metric: Metric,
    test: PairedTest,
    interval: Interval,
) -> str:
    text = (
        f"Test accuracy in percent {metric.described}{shared}: means over the n seeds that both rules have, and the "
        f"mean of their differences, {titles[0]} minus {titles[1]}, in points, with its {interval.described}."
    )
    if tests := sum(one.p is not None for one in judged):
        text += (
            f" p: {test.described}, two-sided; p (Holm): corrected for the {counted(tests, 'test')} of this table, at "
            f"most {LEVEL:g} where a difference is shown."
        )
    return text


def _notes(pairs: Sequence[Pair], judged: Sequence[_Judged], *, test: PairedTest, interval: Interval) -> Iterator[Note]:
    """What the number of pairs allows."""
    counts = Counter(len(pair.differences) for pair in pairs if len(pair.differences) > 1)
    if interval is Interval.BOOTSTRAP and counts and min(counts) < _FOR_BOOTSTRAP:
        yield Note(
            f"With fewer than {_FOR_BOOTSTRAP} pairs the bootstrap's interval is too narrow: with normally distributed "
            "differences it has the true mean in it in 72 % of cases with 3 pairs, 85 % with 5 and 90 % with 10."
        )
    least = ", ".join(f"{smallest_exact_p(n):.3g} with n = {n}" for n in sorted(counts))
    if least and test is PairedTest.WILCOXON:
        yield Note(f"The smallest p that n pairs allow is 2/2^n, before Holm's correction: {least}.")
    elif least:
        yield Note(
            "A test without an assumption on the distribution has no p below 2/2^n "
            f"({least}); a smaller p of the t-test rests on differences that are normally distributed."
        )
    few = [pair for pair, one in zip(pairs, judged, strict=True) if one.verdict == "too few seeds"]
    if few:
        needed = _pairs_needed(tests=sum(one.p is not None for one in judged)) if test is PairedTest.WILCOXON else 2
        rules: dict[str, dict[str, None]] = {}
        for pair in few:
            for suite, cell in zip(pair.suites, pair.cells, strict=True):
                rules.setdefault(suite.to_run, {})[cell.rule.name] = None
        yield Note(
            f"Too few seeds: {counted(needed, 'pair')} or more are needed for each row. To train more:",
            tuple(
                f"asapbench run {shlex.quote(suite)} --only rule={','.join(own)} --seeds 0-{max(needed, _SEEDS) - 1}"
                for suite, own in rules.items()
            ),
        )


def _pairs_needed(*, tests: int) -> int:
    """The fewest pairs whose smallest exact p stays at LEVEL or below when it is corrected for so many tests."""
    return next(n for n in range(1, 64) if max(tests, 1) * smallest_exact_p(n) <= LEVEL)


def _without_counterpart(titles: tuple[str, str], alone: Sequence[tuple[Cell, str]]) -> Iterator[Note]:
    for text in titles:
        found = [
            f"{title('model', cell.model)} {what}".strip() for cell, what in alone if title("rule", cell.rule) == text
        ]
        if found:
            yield Note(
                f"{counted(len(found), 'configuration')} of {text} left out that the other rule does not have "
                f"({some(found)})."
            )


def _number(pair: Pair, judged: _Judged, *, metric: Metric, interval: Interval) -> ComparedNumber:
    dataset, model, rule = names(pair.cells[0])
    summary = Summary(pair.differences)
    low, high = interval.of(pair.differences) or (None, None)
    return ComparedNumber(
        dataset=dataset,
        model=model,
        rule=rule,
        against=name("rule", pair.cells[1].rule),
        variant=pair.variant,
        measured=summary.mean,
        sd=summary.sd,
        n=summary.n,
        diverged=sum(map(len, pair.diverged)),
        metric=str(metric),
        unit="points",
        samples=pair.differences,
        seeds=tuple(pair.seeds),
        first=pair.values[0],
        second=pair.values[1],
        low=low,
        high=high,
        p=judged.p,
        p_holm=judged.p_holm,
        lost=len(pair.lost),
        verdict=judged.verdict,
    )
