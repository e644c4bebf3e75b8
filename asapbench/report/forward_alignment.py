"""Section A.2: Forward Alignment beside backpropagation on MNIST, in every measured reading of the text.

The text does not say how many 10x10 layers the network has, from what the approximate activation is formed, and what
BatchNorm and ReLU do to it. A reading is one answer to all three. Its distance is the mean absolute difference to the
four published numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from asapbench.report.configuration import (
    Configuration,
    configurations,
    counts_row,
    deviations,
    difference_field,
    faint,
    left_out,
    measured_field,
    names,
    number,
    published_field,
    summary_of,
)
from asapbench.report.published import SOURCE, forward_alignment_accuracies
from asapbench.report.quantity import Metric
from asapbench.report.statistics import Spread, spread_and_count, usual_count
from asapbench.report.table import (
    AND_DIFFERENCE,
    DIFFERENCE,
    Column,
    Exact,
    Field,
    Footnotes,
    Group,
    Note,
    Number,
    Row,
    Table,
    numeric,
)
from asapbench.store import Outcome
from asapbench.store.records import FINAL
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

SUITE = "forward_alignment"
RULE, CONTROL = "forward_alignment", "bp"

_EMPTY = Field("")


@dataclass(frozen=True)
class Reading:
    """One reading of A.2 and its four cells: the linear and the nonlinear network, each by BP and by the rule."""

    cells: tuple[Cell, Cell, Cell, Cell]

    @property
    def depth(self) -> int:
        """The number of hidden layers."""
        return self.cells[3].model.integer("depth")

    @property
    def stub(self) -> str:
        """The name of its row."""
        rule = self.cells[3].rule
        return f"source={rule.text('source')}, approximate={rule.text('approximate')}"

    @property
    def network(self) -> str:
        """784-10-10-10, with a 10 for each hidden layer and one for the logits."""
        return "-".join(["784", *["10"] * (self.depth + 1)])

    @property
    def is_default(self) -> bool:
        """Whether model and rule have default options."""
        cell = self.cells[3]
        return cell.rule == RULES[RULE].choose() and cell.model == MODELS["mlp"].choose()


def readings() -> list[Reading]:
    """The readings of the shipped suite, from the shallowest network to the deepest."""
    cells = load(SUITE).cells

    def other(cell: Cell, rule: str, *, nonlinear: bool) -> Cell:
        """The first cell by `rule` with the depth of `cell`, and with its source where the rule has one."""
        return next(
            one
            for one in cells
            if (one.rule.name, one.model.flag("nonlinear")) == (rule, nonlinear)
            and one.model["depth"] == cell.model["depth"]
            and (rule == CONTROL or one.rule["source"] == cell.rule["source"])
        )

    found: dict[str, Reading] = {}
    for cell in cells:
        if cell.rule.name == RULE and cell.model.flag("nonlinear"):
            linear = other(cell, CONTROL, nonlinear=False), other(cell, RULE, nonlinear=False)
            found.setdefault(cell.group, Reading((*linear, other(cell, CONTROL, nonlinear=True), cell)))
    return sorted(found.values(), key=lambda reading: reading.depth)


def forward_alignment_table(
    results: Iterable[Outcome], *, metric: Metric = Metric.BEST, spread: Spread = Spread.SD
) -> Table:
    """Test accuracy in percent of BP and of each reading, the published numbers above them, differences below each."""
    results = list(results)
    found, all_readings = configurations(results, metric), readings()
    cells = [cell for reading in all_readings for cell in reading.cells]
    measured = [found[cell.group].summary for cell in cells if cell.group in found]
    layout = _Layout(found, Footnotes(), usual_count(measured), spread)
    groups = {"Published": [_published_row("BP", 0), _published_row(RULES[RULE].title, 1)]}
    for reading in all_readings:
        # BP is the same for every reading of a network.
        if reading.network not in groups:
            groups[reading.network] = layout.rows(Field("BP"), reading, 0)
        marks = (layout.footnotes.mark("the default of model and rule"),) if reading.is_default else ()
        far = distance(reading, found)
        distant = Field("") if far is None else numeric("{:.2f}", far)
        groups[reading.network] += layout.rows(Field(reading.stub, marks), reading, 1, distant)
    ranked = _best_fit(all_readings, found)
    return Table(
        name="section-a2",
        title="Section A.2. Test accuracy of BP and Forward Alignment on MNIST",
        caption=(
            f"Test accuracy in percent {metric.described}; {spread_and_count(measured, spread=spread)}. Published: "
            f"{SOURCE}. Each line: measured{AND_DIFFERENCE}. Distance: mean absolute difference to the four "
            "published numbers, in points."
        ),
        columns=(Column("Rule", "left"), Column("linear"), Column("nonlinear"), Column("distance")),
        groups=tuple(Group(header, tuple(rows)) for header, rows in groups.items()),
        notes=(
            *layout.footnotes.notes(),
            *_notes(results),
            *left_out(deviations(found, cells), of="table", command=f"asapbench report --suite {SUITE}"),
        ),
        numbers=tuple(_numbers(all_readings, found, metric)),
        summary="" if ranked is None else ranked.text(),
        ranked=ranked,
    )


def distance(reading: Reading, found: Mapping[str, Configuration]) -> float | None:
    """The mean absolute difference to the four published numbers, in points; None where one of the four is missing."""
    summaries = [summary_of(cell, found) for cell in reading.cells]
    means = [summary.mean for summary in summaries if summary is not None and summary.mean is not None]
    if len(means) < len(summaries):
        return None
    return fmean(abs(mean - value) for mean, value in zip(means, forward_alignment_accuracies(), strict=True))


@dataclass(frozen=True)
class _Layout:
    """The rows of a reading."""

    found: Mapping[str, Configuration]
    footnotes: Footnotes
    usual: int
    spread: Spread

    def rows(self, stub: Field, reading: Reading, place: int, far: Field = _EMPTY) -> list[Row]:
        """The rows of the rule at `place` among the cells of each network: 0 for BP, 1 for Forward Alignment."""
        summaries = [summary_of(cell, self.found) for cell in reading.cells[place::2]]
        rows = [Row((stub, *(measured_field(summary, self.footnotes, self.spread) for summary in summaries), far))]
        rows += [Row((*row.fields, Field(""))) for row in counts_row(summaries, usual=self.usual)]
        if any(summary and summary.n for summary in summaries):
            pairs = zip(summaries, forward_alignment_accuracies()[place::2], strict=True)
            rows.append(Row((faint(DIFFERENCE), *(difference_field(*pair) for pair in pairs), Field(""))))
        return rows


def _published_row(rule: str, place: int) -> Row:
    values = (published_field(value) for value in forward_alignment_accuracies()[place::2])
    return Row((Field(rule), *values, Field("")))


def _best_fit(all_readings: Sequence[Reading], found: Mapping[str, Configuration]) -> Exact | None:
    """The closest of the readings that have all four numbers, and the default beside it where that is another one."""
    fits = [(far, reading) for reading in all_readings if (far := distance(reading, found)) is not None]
    if not fits:
        return None
    far, best = min(fits, key=lambda fit: fit[0])
    counts = {found[cell.group].summary.n for _, reading in fits for cell in reading.cells}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    of = f"of the {len(fits)} of {len(all_readings)} readings measured, n = {seeds}"
    form = f"Closest to the published numbers ({of}): {best.network}, {best.stub}, distance {{:.2f}}"
    if best.is_default:
        return Exact(f"{form}, the default", (far,))
    others = tuple(other for other, reading in fits if reading.is_default)
    return Exact(form + "; the default has {:.2f}" * len(others), (far, *others))


def _notes(results: Iterable[Outcome]) -> Iterator[Note]:
    yield Note("The linear network has neither BatchNorm nor ReLU: there all values of approximate are the same.")
    cells = {cell.id for cell in load(SUITE).cells}
    done = {result.cell.id for result in results if result.attempt.state in FINAL and not result.outdated}
    if left := cells - done:
        yield Note(f"{len(left)} of {len(cells)} trainings left. To train them:", (f"asapbench run {SUITE}",))


def _numbers(all_readings: Iterable[Reading], found: Mapping[str, Configuration], metric: Metric) -> Iterator[Number]:
    """Each configuration once, beside its published number."""
    shown: set[str] = set()
    for reading in all_readings:
        for cell, value in zip(reading.cells, forward_alignment_accuracies(), strict=True):
            if cell.group not in shown:
                shown.add(cell.group)
                yield number(summary_of(cell, found), names=names(cell), metric=metric, published=value)
