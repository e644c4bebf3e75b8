"""Results -> one configuration per number: all seeds of one `Cell.group`, summarized."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from asapbench.report.metric import Metric
from asapbench.report.statistics import Summary, summarize
from asapbench.report.table import Field, Footnotes, Note, Number, Row
from asapbench.store import Result
from asapbench.store.records import FINAL
from asapbench.suite.cell import Cell, name, title
from asapbench.suite.columns import varying

MISSING = "-"

_LISTED = 3


@dataclass(frozen=True)
class Configuration:
    """All seeds of one configuration. `cell` is one of them; `summary` is in percent.

    `unfinished` pairs cells with the state of their attempt; `without_metric` counts finished cells that lack the
    metric, as those without a validation split lack best-val.
    """

    cell: Cell
    summary: Summary
    unfinished: tuple[tuple[Cell, str], ...] = ()
    without_metric: int = 0


def configurations(results: Iterable[Result], metric: Metric) -> dict[str, Configuration]:
    """The configurations by `Cell.group`, in the order in which they first appear; each cell counts once.

    Outdated results, those of an earlier revision, are left out.
    """
    groups: dict[str, list[Result]] = {}
    for result in {result.cell.id: result for result in results if not result.outdated}.values():
        groups.setdefault(result.cell.group, []).append(result)
    return {group: _configuration(members, metric) for group, members in groups.items()}


def _configuration(results: list[Result], metric: Metric) -> Configuration:
    done = [metric.of(result.attempt) for result in results if result.attempt.state == "done"]
    samples = [value for value in done if value is not None]
    diverged = sum(result.attempt.state == "diverged" for result in results)
    return Configuration(
        cell=results[0].cell,
        summary=summarize(samples, diverged=diverged),
        unfinished=tuple((r.cell, r.attempt.state) for r in results if r.attempt.state not in FINAL),
        without_metric=len(done) - len(samples),
    )


def measured_field(summary: Summary | None, footnotes: Footnotes) -> Field:
    """`94.93 ± 0.12`, with a footnote where trainings diverged."""
    if summary is None or not summary.of:
        return Field(MISSING, emphasis="faint")
    marks = (footnotes.mark(f"{summary.diverged} diverged of {summary.of}"),) if summary.diverged else ()
    if summary.mean is None:
        return Field("diverged", marks, emphasis="strong")
    spread = "" if summary.sd is None else f" ± {summary.sd:.2f}"
    return Field(f"{summary.mean:.2f}{spread}", marks, emphasis="strong")


def left_out(whats: Sequence[str], *, of: str, command: str) -> Iterator[Note]:
    """Why configurations are not shown, and the command that shows them; `whats` are what sets each apart."""
    if whats:
        one = len(whats) == 1
        yield Note(
            f"{len(whats)} configuration{'' if one else 's'} left out that {'differs' if one else 'differ'} from this "
            f"{of}'s cells ({some(whats)}). To show:",
            (command,),
        )


def some(texts: Iterable[str]) -> str:
    """The most frequent of `texts`, each once, and how many more there are."""
    distinct = [text for text, _ in Counter(texts).most_common()]
    more = len(distinct) - _LISTED
    return "; ".join([*distinct[:_LISTED], *([f"and {more} more"] if more > 0 else [])])


def counts_row(summaries: Sequence[Summary | None], *, usual: int) -> tuple[Row, ...]:
    """The line of n below a row of numbers, where one of them has not the usual n."""
    counts = [summary.n if summary else 0 for summary in summaries]
    if not set(counts) - {0, usual}:
        return ()
    fields = (Field(str(count) if count else "", emphasis="faint") for count in counts)
    return (Row((Field("n", indent=1, emphasis="faint"), *fields)),)


def number(
    summary: Summary | None,
    *,
    names: tuple[str, str, str],
    metric: str,
    variant: str = "",
    published: float | None = None,
    unit: str = "percent",
) -> Number:
    """The long form of one measured number; `names` are those of data set, model and rule."""
    summary = summary or summarize(())
    difference = summary.mean - published if summary.mean is not None and published is not None else None
    dataset, model, rule = names
    return Number(
        dataset=dataset,
        model=model,
        rule=rule,
        variant=variant,
        measured=summary.mean,
        sd=summary.sd,
        n=summary.n,
        diverged=summary.diverged,
        published=published,
        difference=difference,
        metric=str(metric),
        unit=unit,
    )


class HasResult(Protocol):
    """What is known of one training beside its result."""

    @property
    def result(self) -> Result:
        """The cell and its current attempt."""


Training = TypeVar("Training", bound=HasResult)


def comparable(members: Sequence[Training]) -> list[Training]:
    """Those of one configuration that may be averaged: the done ones, else those under way, else the diverged ones."""
    done = [one for one in members if one.result.attempt.state == "done"]
    under_way = [one for one in members if one.result.attempt.state not in ("done", "diverged")]
    return done or under_way or list(members)


def state_text(result: Result) -> str:
    """`out of memory`: the state of its attempt in words."""
    return result.attempt.state.replace("_", " ")


def distinguishing_fields(cells: Sequence[Cell]) -> tuple[list[str], str]:
    """The fields that tell configurations from each other; and what data set, model and rule all of them share."""
    kinds = ("dataset", "model", "rule")
    own = [kind for kind in kinds if len({getattr(cell, kind) for cell in cells}) > 1]
    own = [*own, *varying(cells)] or ["rule"]
    return own, ", ".join(title(kind, getattr(cells[0], kind)) for kind in kinds if kind not in own)


def names(cell: Cell) -> tuple[str, str, str]:
    """Data set, model and rule as a suite names them, options in brackets: `resnet10(width=8)`."""
    return name("dataset", cell.dataset), name("model", cell.model), name("rule", cell.rule)


def entries(cell: Cell) -> tuple[str, str, str]:
    """Data set, model and rule by their names alone: cells that have these in common are compared with each other."""
    return cell.dataset.name, cell.model.name, cell.rule.name
