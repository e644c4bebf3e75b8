"""The paper's tables beside trainings that are reduced in size: not their numbers, their order and gaps.

A cell stands in a column if it differs from the column's own cell in `SIZES` and in nothing else. Such cells never
enter the paper's tables; here each number is labelled with its reduction, and none is subtracted from a published one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from asapbench.analysis.comparison import LEVEL
from asapbench.analysis.rank_correlation import FEWEST, Pair, RankCorrelation, rank_correlation
from asapbench.report.configuration import (
    Configuration,
    configurations,
    counts_row,
    entries,
    faint,
    lacking_metric,
    measured_field,
    names,
    number,
    published_field,
)
from asapbench.report.paper import remarks
from asapbench.report.published import SOURCE, WEIGHT_DECAY, Line, Printed, printed_table
from asapbench.report.quantity import Metric
from asapbench.report.statistics import Spread, Summary, spread_and_count, usual_count
from asapbench.report.table import PUBLISHED, Column, Field, Footnotes, Note, Number, Row, Table, grouped, numeric
from asapbench.suite.catalog import DATASETS, MODELS
from asapbench.suite.cell import Cell, differences
from asapbench.suite.columns import settings

if TYPE_CHECKING:
    from asapbench.store import Outcome

SIZES = frozenset({"dataset.train_size", "model.width", "epochs", "precision", "validation"})
"""What makes a training smaller or cheaper and leaves the comparison as it is; any other setting is another one."""

_BASE = "bp"
"""The rule that gaps are to."""

_STANDS_FOR = {WEIGHT_DECAY: "resnet18"}
"""Table 4 does not name its network, which is probably ResNet-34: cells of this one stand in it too."""


@dataclass(frozen=True, kw_only=True)
class ReducedNumber(Number):
    """A reduced accuracy; `variant` is its reduction, and `difference` is None: the numbers are not comparable.

    `gap` is `measured` less that of BP in the same row (in Table 4, column), `published_gap` the same of the published
    numbers. The others are of the whole row: the correlation of the `compared` columns that are measured.
    """

    IN_UNIT = (*Number.IN_UNIT, "gap", "published_gap")

    gap: float | None = None
    published_gap: float | None = None
    compared: int = 0
    rho: float | None = None
    rho_p: float | None = None
    tau: float | None = None
    tau_p: float | None = None


@dataclass(frozen=True)
class ReducedRow:
    """A printed row in one reduction: by column the cell that stands there, and what is measured of it.

    `instead` names a network that stands in for the paper's.
    """

    line: Line
    reduction: str
    instead: str
    cells: Mapping[int, Cell]
    measured: Mapping[int, Configuration]

    @property
    def header(self) -> str:
        """The data set; in Table 4 with the network."""
        dataset = DATASETS[self.line.numbers[0].key[0]].title
        return f"{dataset}, {self.instead}" if self.instead else self.line.header

    @property
    def whole_reduction(self) -> str:
        """In words, another network too."""
        return ", ".join(filter(None, (self.instead, self.reduction)))

    @property
    def published(self) -> list[float]:
        """By column."""
        return [printed.value for printed in self.line.numbers]

    @property
    def summaries(self) -> list[Summary | None]:
        """By column."""
        found = (self.measured.get(place) for place in range(len(self.line.numbers)))
        return [one.summary if one else None for one in found]

    @cached_property
    def means(self) -> dict[int, float]:
        """By column what is measured; a rule of which every training diverged has no place in an order."""
        return {place: one.mean for place, one in enumerate(self.summaries) if one and one.mean is not None}

    def pair(self, places: Iterable[int]) -> Pair:
        """The measured and the published numbers in these columns."""
        return [self.means[place] for place in places], [self.published[place] for place in places]

    @cached_property
    def correlation(self) -> RankCorrelation | None:
        """Of its columns that are measured."""
        return rank_correlation([self.pair(self.means)])


def reduced_rows(
    table: int, cells: Iterable[Cell], results: Iterable[Outcome] = (), *, metric: Metric = Metric.LAST
) -> list[ReducedRow]:
    """The rows of printed table `table` in which one of `cells` stands; one for each reduction of a printed row.

    Of these, one of which nothing is measured is left out beside another that is.

    >>> from asapbench.suite.load import load
    >>> [row.line.stub for row in reduced_rows(1, load("measured_cpu").cells)]
    ['AlexNet', 'AlexNet', 'ResNet-18 (nsc)', 'ResNet-18']
    """
    by_names: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for cell in cells:
        by_names.setdefault(entries(cell), {}).setdefault(cell.group, cell)
    found, rows = configurations(results, metric), []
    for line in printed_table(table).lines:
        of_line = []
        for (reduction, instead), there in _standing(table, line, by_names).items():
            measured = {place: found[cell.group] for place, cell in there.items() if cell.group in found}
            of_line.append(ReducedRow(line, reduction, instead, there, measured))
        rows += [row for row in of_line if row.means] or of_line
    return rows


def _standing(
    table: int, line: Line, by_names: Mapping[tuple[str, str, str], Mapping[str, Cell]]
) -> dict[tuple[str, str], dict[int, Cell]]:
    """The cells of a printed row by column, for each reduction and network."""
    rows: dict[tuple[str, str], dict[int, Cell]] = {}
    for place, printed in enumerate(line.numbers):
        for reference, instead in _references(table, printed):
            for cell in by_names.get(entries(reference), {}).values():
                if is_reduced(cell, reference):
                    rows.setdefault((", ".join(differences(cell, reference)), instead), {})[place] = cell
    return rows


def is_reduced(cell: Cell, reference: Cell) -> bool:
    """Whether the cell differs from the reference, in sizes alone. The seed does not count."""
    ours, theirs = settings(cell) | {"seed": 0}, settings(reference) | {"seed": 0}
    changed = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    return bool(changed) and changed <= SIZES


def _references(table: int, printed: Printed) -> Iterator[tuple[Cell, str]]:
    """What a cell of a column is compared with; and, of another network, its title and that of the paper's."""
    if printed.reference is not None:
        cell = printed.reference.cell
        yield cell, ""
        if (other := _STANDS_FOR.get(table)) is not None:
            titles = f"{MODELS[other].title} instead of {MODELS[cell.model.name].title}"
            yield replace(cell, model=MODELS[other].choose()), titles


def reduced_table(
    table: int,
    rows: Sequence[ReducedRow],
    *,
    suite: str,
    metric: Metric = Metric.LAST,
    spread: Spread = Spread.SD,
    notes: Sequence[Note] = (),
) -> Table:
    """Printed table `table` with its `rows` in a suite."""
    printed, footnotes = printed_table(table), Footnotes()
    summaries = [one for row in rows for one in row.summaries if one]
    layout = _Layout(table, rows, footnotes, usual_count(summaries), spread)
    groups = grouped((row.header, layout.lines(row)) for row in rows)
    shared = layout.reductions[0] if len(layout.reductions) == 1 else "each row's in a footnote"
    return Table(
        title=f"{printed.title}, reduced (suite {suite})",
        name=f"table-{table}-reduced",
        caption=(
            f"Reduced trainings ({shared}): their accuracies are not comparable with the paper's, only their order and "
            f"gaps are. Test accuracy in percent {metric.described}; {spread_and_count(summaries, spread=spread)}. "
            f"Below each row as published ({SOURCE}), and the gaps to BP, measured and published."
        ),
        columns=(Column("Rule" if table == WEIGHT_DECAY else "Model", "left"), *map(Column, printed.columns)),
        groups=groups,
        notes=(
            *footnotes.notes(),
            *layout.explained(),
            *remarks(table, metric),
            *lacking_metric((one for row in rows for one in row.measured.values()), metric),
            *notes,
        ),
        numbers=tuple(one for row in rows for one in layout.numbers(row, metric)),
        summary=layout.together,
    )


@dataclass(frozen=True)
class _Layout:
    """For each row its lines: measured, n, published, and the gaps to BP."""

    table: int
    rows: Sequence[ReducedRow]
    footnotes: Footnotes
    usual: int
    spread: Spread

    @property
    def reductions(self) -> list[str]:
        """Every reduction in words, once."""
        return list(dict.fromkeys(row.whole_reduction for row in self.rows))

    @property
    def items(self) -> str:
        """What has an order."""
        return "weight decays" if self.table == WEIGHT_DECAY else "rules"

    def lines(self, row: ReducedRow) -> Iterator[Row]:
        """The lines of a row."""
        texts = [self._order(row)] if len(self.reductions) == 1 else [row.whole_reduction, self._order(row)]
        marks = tuple(map(self.footnotes.mark, texts))
        measured = [
            measured_field(summary, self.footnotes, self.spread) if place in row.cells else Field("")
            for place, summary in enumerate(row.summaries)
        ]
        yield Row((Field(row.line.stub, marks), *measured))
        yield from counts_row(row.summaries, usual=self.usual)
        yield Row((faint(PUBLISHED), *map(published_field, row.published)))
        gaps = [self._gaps(row, place) for place in range(len(row.summaries))]
        if any(ours is not None for ours, _ in gaps):
            yield Row((faint("gap to BP"), *(_gap_field(ours) for ours, _ in gaps)))
            yield Row((faint("published gap"), *(_gap_field(theirs) for _, theirs in gaps)))

    def numbers(self, row: ReducedRow, metric: Metric) -> Iterator[ReducedNumber]:
        """The long form of a row's numbers."""
        found = {} if row.correlation is None else vars(row.correlation)
        for place, cell in sorted(row.cells.items()):
            gap, published_gap = self._gaps(row, place)
            plain = number(
                row.summaries[place],
                names=names(cell),
                metric=metric,
                variant=row.whole_reduction,
                published=row.published[place],
            )
            yield ReducedNumber(
                **vars(plain) | {"difference": None},
                gap=gap,
                published_gap=published_gap,
                compared=len(row.means),
                **{name: value for name, value in found.items() if name != "n"},
            )

    def explained(self) -> Iterator[Note]:
        """What a reader must know of the rows."""
        if any(len(row.cells) < len(row.published) for row in self.rows):
            yield Note("Nothing above a published number: the suite has no cell there.")
        if any(row.correlation for row in self.rows):
            yield Note(
                "Rank correlations are those of the measured means with the published numbers. p: the share of all "
                f"orders of the {self.items}{', the same in every row,' if self.together else ''} whose correlation is "
                "as far from 0."
            )

    @cached_property
    def together(self) -> str:
        """The correlation over the columns that all rows with one have; empty for a single row."""
        rows = [row for row in self.rows if row.correlation]
        common = sorted(set(rows[0].means).intersection(*(row.means for row in rows))) if rows else []
        found = rank_correlation([row.pair(common) for row in rows]) if len(rows) > 1 else None
        return f"{len(rows)} rows together: {found.n} {self.items}, mean {_correlations(found)}" if found else ""

    def _order(self, row: ReducedRow) -> str:
        """The correlation of a row, or why there is none."""
        n, found = len(row.means), row.correlation
        if n < FEWEST:
            return f"{n} of {len(row.published)} {self.items} measured: an order needs {FEWEST}"
        if found is None:
            return f"{n} {self.items}: no order, all have the same accuracy"
        few = f"; too few for a conclusion: no order has a p below {found.smallest_p:.2g}"
        return f"{n} {self.items}: {_correlations(found)}{few if found.smallest_p > LEVEL else ''}"

    def _gaps(self, row: ReducedRow, place: int) -> tuple[float | None, float | None]:
        """The gap to BP, measured and published; None of BP itself and where one of the two is not measured."""
        base, column = self._base(row, place)
        if base is None or (base, column) == (row, place) or place not in row.means or column not in base.means:
            return None, None
        return row.means[place] - base.means[column], row.published[place] - base.published[column]

    def _base(self, row: ReducedRow, place: int) -> tuple[ReducedRow | None, int]:
        """Where BP stands: in a column of the row; in Table 4 in the same column of the same reduction's row of BP."""
        rules = [printed.key[2] for printed in row.line.numbers]
        if self.table != WEIGHT_DECAY:
            return row, rules.index(_BASE)
        of_bp = (one for one in self.rows if one.line.numbers[place].key[2] == _BASE)
        return next((one for one in of_bp if one.whole_reduction == row.whole_reduction), None), place


def _gap_field(gap: float | None) -> Field:
    return Field("") if gap is None else replace(numeric("{:+.2f}", gap), emphasis="faint")


def _correlations(found: RankCorrelation) -> str:
    return (
        f"Spearman's rho {found.rho:.2f} (exact p = {found.rho_p:.2g}), "
        f"Kendall's tau {found.tau:.2f} (exact p = {found.tau_p:.2g})"
    )
