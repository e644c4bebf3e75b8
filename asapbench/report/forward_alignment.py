"""Section A.2: Forward Alignment beside backpropagation on MNIST, in every reading of the text that was measured.

The text leaves open how many 10x10 layers the network has, what the approximate activation is formed from, and what
BatchNorm and ReLU do to it. A reading is one answer to all three. Its distance is the mean absolute difference to the
four published numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from asapbench.report.configuration import (
    Configuration,
    configurations,
    counts_row,
    entries,
    left_out,
    measured_field,
    names,
    number,
)
from asapbench.report.metric import Metric
from asapbench.report.published import SOURCE, published
from asapbench.report.statistics import spread_and_count, usual_count
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Number, Row, Table
from asapbench.store import Result
from asapbench.store.records import FINAL
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.cell import Cell, differences
from asapbench.suite.load import load

SUITE = "forward_alignment"


@dataclass(frozen=True)
class Reading:
    """One reading of A.2 and its four cells: the linear and the nonlinear network, each by BP and by the rule."""

    depth: int
    source: str
    approximate: str
    cells: tuple[Cell, Cell, Cell, Cell]

    @property
    def stub(self) -> str:
        """How a row names it."""
        return f"source={self.source}, approximate={self.approximate}"

    @property
    def network(self) -> str:
        """784-10-10-10, with a 10 for each hidden layer and one for the logits."""
        return "-".join(["784", *["10"] * (self.depth + 1)])

    @property
    def is_default(self) -> bool:
        """Whether model and rule have it when no option is named."""
        cell = self.cells[3]
        return cell.rule == RULES[SUITE].choose() and cell.model == MODELS["mlp"].choose()


def readings() -> list[Reading]:
    """The readings of the shipped suite, in its order."""
    cells = load(SUITE).cells
    by_place: dict[tuple[str, int, bool], Cell] = {}
    linear: dict[tuple[int, str], Cell] = {}
    for cell in reversed(cells):
        depth, nonlinear = cell.model.integer("depth"), cell.model.flag("nonlinear")
        by_place[cell.rule.name, depth, nonlinear] = cell
        if cell.rule.name == SUITE and not nonlinear:
            linear[depth, cell.rule.text("source")] = cell
    found: dict[str, Reading] = {}
    for cell in cells:
        if cell.rule.name == SUITE and cell.model.flag("nonlinear"):
            depth, source = cell.model.integer("depth"), cell.rule.text("source")
            controls = by_place["bp", depth, False], by_place["bp", depth, True]
            four = (controls[0], linear[depth, source], controls[1], cell)
            found.setdefault(cell.group, Reading(depth, source, cell.rule.text("approximate"), four))
    return sorted(found.values(), key=lambda reading: reading.depth)


def forward_alignment_table(results: Iterable[Result], *, metric: Metric = Metric.BEST) -> Table:
    """Test accuracy in percent of BP and of each reading, the published numbers above them, differences below each."""
    results = list(results)
    found, all_readings = configurations(results, metric), readings()
    measured = [found[cell.group].summary for reading in all_readings for cell in reading.cells if cell.group in found]
    layout = _Layout(found, Footnotes(), usual_count(measured))
    groups = {"Published": [_published_row("BP", 0), _published_row(RULES[SUITE].title, 1)]}
    for reading in all_readings:
        rows = groups.setdefault(reading.network, [])
        if not rows:
            rows += layout.control(reading)
        rows += layout.reading(reading)
    return Table(
        title="Section A.2. Test accuracy of BP and Forward Alignment on MNIST",
        caption=(
            f"Test accuracy in percent {metric.described}; {spread_and_count(measured)}. Published: {SOURCE}; below "
            "each line the difference, measured minus published. Distance: mean absolute difference to the four "
            "published numbers, in points."
        ),
        columns=(Column("Rule", "left"), Column("linear"), Column("nonlinear"), Column("distance")),
        groups=tuple(Group(header, tuple(rows)) for header, rows in groups.items()),
        notes=(*layout.footnotes.notes(), *_notes(results), *_left_out(found, all_readings)),
        numbers=tuple(_numbers(all_readings, found, metric)),
        metric=str(metric),
        unit="percent",
        summary=_best_fit(all_readings, found),
    )


def distance(reading: Reading, found: Mapping[str, Configuration]) -> float | None:
    """Mean absolute difference to the four published numbers, in points; None where one of the four is missing."""
    means = [found[cell.group].summary.mean if cell.group in found else None for cell in reading.cells]
    pairs = zip(means, _published(), strict=True)
    differences = [abs(mean - value) for mean, value in pairs if mean is not None]
    return fmean(differences) if len(differences) == len(means) else None


@dataclass(frozen=True)
class _Layout:
    """The rows of a network: BP's, then those of each reading."""

    found: Mapping[str, Configuration]
    footnotes: Footnotes
    usual: int

    def control(self, reading: Reading) -> list[Row]:
        """BP, which is the same for every reading of a network."""
        return self._rows(Field("BP"), reading.cells[::2], _published()[::2], "")

    def reading(self, reading: Reading) -> list[Row]:
        """Forward Alignment under one reading."""
        marks = (self.footnotes.mark("the default of model and rule"),) if reading.is_default else ()
        far = distance(reading, self.found)
        shown = "" if far is None else f"{far:.2f}"
        return self._rows(Field(reading.stub, marks), reading.cells[1::2], _published()[1::2], shown)

    def _rows(self, stub: Field, cells: Sequence[Cell], printed: Sequence[float], far: str) -> list[Row]:
        summaries = [self.found[cell.group].summary if cell.group in self.found else None for cell in cells]
        rows = [Row((stub, *(measured_field(summary, self.footnotes) for summary in summaries), Field(far)))]
        rows += [Row((*row.fields, Field(""))) for row in counts_row(summaries, usual=self.usual)]
        if any(summary and summary.mean is not None for summary in summaries):
            pairs = zip(summaries, printed, strict=True)
            below = [Field(f"{s.mean - value:+.2f}" if s and s.mean is not None else "") for s, value in pairs]
            rows.append(Row((Field("difference", indent=1, emphasis="faint"), *below, Field(""))))
        return rows


def _published() -> tuple[float, float, float, float]:
    by_network = {row.network: row for row in published().forward_alignment}
    linear, nonlinear = by_network["linear"], by_network["nonlinear"]
    return linear.bp, linear.forward_alignment, nonlinear.bp, nonlinear.forward_alignment


def _published_row(rule: str, place: int) -> Row:
    values = (Field(f"{value:.2f}", emphasis="faint") for value in _published()[place::2])
    return Row((Field(rule), *values, Field("")))


def _best_fit(all_readings: Sequence[Reading], found: Mapping[str, Configuration]) -> str:
    """Names the closest of the readings that have all four numbers, and the default beside it where that is another."""
    fits = [(far, reading) for reading in all_readings if (far := distance(reading, found)) is not None]
    if not fits:
        return ""
    far, best = min(fits, key=lambda fit: fit[0])
    counts = {found[cell.group].summary.n for _, reading in fits for cell in reading.cells}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    of = f"of the {len(fits)} of {len(all_readings)} readings measured, n = {seeds}"
    text = f"Closest to the published numbers ({of}): {best.network}, {best.stub}, distance {far:.2f}"
    others = [f"; the default has {other:.2f}" for other, reading in fits if reading.is_default and reading is not best]
    return text + (", the default" if best.is_default else "".join(others))


def _notes(results: Iterable[Result]) -> Iterable[Note]:
    yield Note("The linear network has neither BatchNorm nor ReLU: there all values of approximate are one.")
    cells = {cell.id for cell in load(SUITE).cells}
    done = {result.cell.id for result in results if result.attempt.state in FINAL and not result.outdated}
    if left := cells - done:
        yield Note(f"{len(left)} of {len(cells)} trainings left. To train them:", (f"asapbench run {SUITE}",))


def _left_out(found: Mapping[str, Configuration], all_readings: Sequence[Reading]) -> Iterable[Note]:
    """What the suite's rules measured on its networks in another way."""
    cells = {cell.group: cell for reading in all_readings for cell in reading.cells}
    whats = []
    for group, configuration in found.items():
        ours = configuration.cell
        same = [differences(ours, cell) for cell in cells.values() if entries(cell) == entries(ours)]
        if same and group not in cells and configuration.summary.of:
            nearest: list[str] = min(same, key=len)
            whats.append(", ".join(nearest))
    return left_out(whats, of="table", command=f"asapbench report --suite {SUITE}")


def _numbers(all_readings: Iterable[Reading], found: Mapping[str, Configuration], metric: Metric) -> Iterable[Number]:
    """Each configuration once, beside its published number."""
    shown: set[str] = set()
    for reading in all_readings:
        for cell, value in zip(reading.cells, _published(), strict=True):
            if cell.group not in shown:
                shown.add(cell.group)
                summary = found[cell.group].summary if cell.group in found else None
                yield number(summary, names=names(cell), metric=metric, published=value)
