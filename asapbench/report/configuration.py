"""From results to configurations: all seeds of one `Cell.group`, summarized, and their fields, rows and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from asapbench.report.quantity import Metric
from asapbench.report.statistics import Spread, Summary
from asapbench.report.table import Field, Footnotes, Note, Number, Row, numeric
from asapbench.store import Outcome
from asapbench.store.records import FINAL
from asapbench.suite.catalog import MODELS
from asapbench.suite.cell import Cell, differences, name, title
from asapbench.suite.columns import KINDS, varying_on_each

MISSING = "-"

_LISTED = 3


@dataclass(frozen=True)
class Configuration:
    """All seeds of one configuration. `cell` is one of them; `summary` is in percent.

    `unfinished` pairs cells with the state of their attempt. `without_metric` counts finished cells that lack the
    metric: best-val exists only for cells with a validation split. `diverged` are the seeds of diverged trainings.
    """

    cell: Cell
    summary: Summary
    unfinished: tuple[tuple[Cell, str], ...] = ()
    without_metric: int = 0
    diverged: tuple[int, ...] = ()


def configurations(results: Iterable[Outcome], metric: Metric) -> dict[str, Configuration]:
    """The configurations by `Cell.group`, in the order in which they first appear; each cell counts once.

    Outdated results, those of an earlier revision, are left out.
    """
    groups: dict[str, dict[str, Outcome]] = {}
    for result in results:
        if not result.outdated:
            groups.setdefault(result.cell.group, {})[result.cell.id] = result
    return {group: _configuration(list(members.values()), metric) for group, members in groups.items()}


def _configuration(results: list[Outcome], metric: Metric) -> Configuration:
    done = [(r.cell.seed, metric.of(r.attempt)) for r in results if r.attempt.state == "done"]
    by_seed = {seed: value for seed, value in done if value is not None}
    diverged = tuple(result.cell.seed for result in results if result.attempt.state == "diverged")
    return Configuration(
        cell=results[0].cell,
        summary=Summary(tuple(by_seed.values()), diverged=len(diverged), seeds=tuple(by_seed)),
        unfinished=tuple((r.cell, r.attempt.state) for r in results if r.attempt.state not in FINAL),
        without_metric=len(done) - len(by_seed),
        diverged=diverged,
    )


def summary_of(cell: Cell | None, found: Mapping[str, Configuration]) -> Summary | None:
    """The summary of the cell's configuration; None without a cell or a configuration."""
    return found[cell.group].summary if cell is not None and cell.group in found else None


def lacking_metric(configurations: Iterable[Configuration], metric: Metric) -> Iterator[Note]:
    """How many finished cells a report cannot show, because they lack the metric."""
    every = list(configurations)
    if untested := sum(one.without_metric for one in every if not one.cell.test_set):
        yield Note(f"{counted(untested, 'finished cell')} did not evaluate the test set, as trials of a search do not.")
    if lacking := sum(one.without_metric for one in every if one.cell.test_set):
        validation = ": it needs examples held out for validation (--set validation=...)"
        why, have = validation if metric is Metric.BEST_VAL else "", "has" if lacking == 1 else "have"
        yield Note(f"{counted(lacking, 'finished cell')} {have} no {metric}{why}.")


def nearest(cell: Cell, references: Iterable[Cell]) -> tuple[str, Cell] | None:
    """The difference, in words, from the reference of the same data set, model and rule that differs least; and it.

    None where no reference has the same three.
    """
    same = [
        (differences(cell, reference), reference) for reference in references if entries(reference) == entries(cell)
    ]
    if not same:
        return None
    fewest, reference = min(same, key=lambda pair: len(pair[0]))
    return ", ".join(fewest), reference


@dataclass(frozen=True)
class Deviation:
    """A measured configuration that is none of a report's cells. `what` is its difference from `reference`."""

    configuration: Configuration
    reference: Cell
    what: str


def deviations(found: Mapping[str, Configuration], references: Sequence[Cell]) -> list[Deviation]:
    """The measured configurations that share data set, model and rule with one of `references` but equal none."""
    exact = {cell.group for cell in references}
    others = [one for group, one in found.items() if group not in exact and one.summary.ended]
    closest = [(one, nearest(one.cell, references)) for one in others]
    return [Deviation(one, reference=near[1], what=near[0]) for one, near in closest if near is not None]


def left_out(deviating: Sequence[Deviation], *, of: str, command: str) -> Iterator[Note]:
    """How many configurations a report leaves out, how they differ, and the command that shows them."""
    if deviating:
        one = len(deviating) == 1
        yield Note(
            f"{counted(len(deviating), 'configuration')} left out that {'differs' if one else 'differ'} from this "
            f"{of}'s cells ({some(deviation.what for deviation in deviating)}). To show:",
            (command,),
        )


def counted(count: int, noun: str) -> str:
    """A count and its noun.

    >>> counted(1, "result"), counted(2, "result")
    ('1 result', '2 results')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def some(texts: Iterable[str]) -> str:
    """The most frequent of `texts`, each once, and how many more there are."""
    distinct = [text for text, _ in Counter(texts).most_common()]
    more = len(distinct) - _LISTED
    return "; ".join([*distinct[:_LISTED], *([f"and {more} more"] if more > 0 else [])])


def measured_field(summary: Summary | None, footnotes: Footnotes, spread: Spread = Spread.SD) -> Field:
    """`94.93 ± 0.12`, with a footnote where trainings diverged."""
    if summary is None or not summary.ended:
        return Field(MISSING, emphasis="faint")
    marks = (footnotes.mark(f"{summary.diverged} diverged of {summary.ended}"),) if summary.diverged else ()
    if summary.mean is None:
        return Field("diverged", marks)
    return replace(_spread_field(summary, ".2f", spread), marks=marks)


def mean_and_spread(summary: Summary, digits: str = ".2f", spread: Spread = Spread.SD) -> str:
    """The mean and, where there is one, its spread; `-` without samples.

    >>> mean_and_spread(Summary((94.8, 95.0, 95.2))), mean_and_spread(Summary((90.0,)), ".0f")
    ('95.00 ± 0.20', '90')
    """
    return _spread_field(summary, digits, spread).text


def _spread_field(summary: Summary, digits: str, spread: Spread) -> Field:
    if summary.mean is None:
        return Field(MISSING, emphasis="faint")
    number, ends = f"{{:{digits}}}", spread.ends(summary)
    if ends is None:
        return numeric(number, summary.mean)
    if spread is Spread.RANGE:
        return numeric(f"{number} ({number} to {number})", summary.mean, *ends)
    return numeric(f"{number} ± {number}", summary.mean, (ends[1] - ends[0]) / 2)


def plain_field(summary: Summary | None, digits: str, spread: Spread = Spread.SD) -> Field:
    """`mean_and_spread` as a field, faint where there is nothing."""
    return _spread_field(summary or Summary(), digits, spread)


def difference_field(summary: Summary | None, published: float) -> Field:
    """The difference, measured minus published; empty where nothing is measured."""
    if summary is None or summary.mean is None:
        return Field("")
    return numeric("{:+.2f}", summary.mean - published)


def published_field(value: float | None, marks: tuple[str, ...] = ()) -> Field:
    """A published number in percent; empty where there is none."""
    return Field("", marks) if value is None else numeric("{:.2f}", value, marks=marks, emphasis="faint")


def faint(text: str) -> Field:
    """The name of a line below a row: `published`."""
    return Field(text, indent=1, emphasis="faint")


def counts_row(summaries: Sequence[Summary | None], *, usual: int) -> tuple[Row, ...]:
    """The line of n below a row of numbers, where an n differs from the usual one."""
    counts = [summary.n if summary else 0 for summary in summaries]
    if not set(counts) - {0, usual}:
        return ()
    fields = (Field(str(count) if count else "", emphasis="faint") for count in counts)
    return (Row((faint("n"), *fields)),)


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
    summary = summary or Summary()
    measured = summary.mean
    dataset, model, rule = names
    return Number(
        dataset=dataset,
        model=model,
        rule=rule,
        variant=variant,
        measured=measured,
        sd=summary.sd,
        n=summary.n,
        diverged=summary.diverged,
        samples=summary.samples,
        seeds=summary.seeds,
        published=published,
        difference=None if measured is None or published is None else measured - published,
        metric=str(metric),
        unit=unit,
    )


def state_text(state: str) -> str:
    """The state of an attempt in words.

    >>> state_text("out_of_memory")
    'out of memory'
    """
    return state.replace("_", " ")


def distinguishing_fields(cells: Sequence[Cell]) -> tuple[dict[str, list[str]], str]:
    """By `Cell.group`, the fields that tell each of these configurations from the others; and what all share, in words.

    Beside data set, model and rule, where several are there, these are the fields of which a rule has several values
    on its data set and model.
    """
    several = [kind for kind in KINDS if len({getattr(cell, kind) for cell in cells}) > 1]
    others = varying_on_each(cells)
    own = {cell.group: [*several, *others[cell.dataset, cell.model]] or ["rule"] for cell in cells}
    shown = {name for names in own.values() for name in names}
    return own, ", ".join(title(kind, getattr(cells[0], kind)) for kind in KINDS if kind not in shown)


def shared_options(cells: Iterable[Cell]) -> str:
    """The options of the model that all cells have, in brackets: `(width=8)`, or nothing."""
    models = {cell.model for cell in cells}
    options = {title("model", model).removeprefix(MODELS[model.name].title) for model in models}
    return options.pop() if len(options) == 1 else ""


def names(cell: Cell) -> tuple[str, str, str]:
    """Data set, model and rule as a suite names them, options in brackets: `resnet10(width=8)`."""
    return name("dataset", cell.dataset), name("model", cell.model), name("rule", cell.rule)


def entries(cell: Cell) -> tuple[str, str, str]:
    """Data set, model and rule by their names alone: cells that have these in common are compared with each other."""
    return cell.dataset.name, cell.model.name, cell.rule.name
