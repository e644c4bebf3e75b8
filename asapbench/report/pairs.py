"""Pairs of two rules' trainings: the same configuration and the same seed, in one or several suites.

A pair's rules have the same data set, model and other settings. A setting in which each rule has one value of its own,
as a learning rate that was tuned for it, may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from asapbench.errors import SuiteError
from asapbench.report.configuration import Configuration, configurations
from asapbench.report.grid import Grid
from asapbench.report.quantity import Metric
from asapbench.report.selection import Chosen, Selection
from asapbench.report.statistics import Summary, differences
from asapbench.store import Outcome
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell, name, title
from asapbench.suite.load import Suite
from asapbench.suite.options import Choice
from asapbench.suite.spelled import spelled


@dataclass(frozen=True)
class ComparedSuite:
    """A suite's cells in the database, their results, and the suite file of the run where it is known.

    `to_run` is the name or file that `asapbench run` takes. With a `selection`, one value of what was swept stands for
    all of them.
    """

    title: str
    to_run: str
    cells: Sequence[Cell]
    results: Sequence[Outcome]
    file: Suite | None = None
    selection: Selection | None = None

    @property
    def places(self) -> Sequence[Cell]:
        """The cells to compare."""
        return self.selection.cells if self.selection else self.cells


@dataclass(frozen=True)
class Pair:
    """One configuration by two rules. A rule whose trainings are all pending has no Configuration.

    `variant` is the difference from other configurations of the same data set and model, `wanted` are the seeds of the
    cells. `chosen` are the values of what was selected, where something was.
    """

    suite: ComparedSuite
    variant: str
    wanted: set[int]
    cells: tuple[Cell, Cell]
    found: tuple[Configuration | None, Configuration | None]
    chosen: tuple[Chosen | None, Chosen | None] = (None, None)

    def stub(self, shared: str) -> str:
        """The name of its row, without the model options that all rows share."""
        model = title("model", self.cells[0].model).removesuffix(shared)
        return ", ".join(filter(None, (model, self.variant)))

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds that both rules have a number for."""
        return sorted(differences(*self._summaries))

    @cached_property
    def values(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The accuracies of the first and of the second rule, in the order of `seeds`."""
        first, second = (summary.by_seed for summary in self._summaries)
        return tuple(first[seed] for seed in self.seeds), tuple(second[seed] for seed in self.seeds)

    @cached_property
    def differences(self) -> tuple[float, ...]:
        """First minus second, in the order of `seeds`."""
        return tuple(a - b for a, b in zip(*self.values, strict=True))

    @property
    def diverged(self) -> tuple[set[int], set[int]]:
        """The seeds of the diverged trainings of each rule."""
        first, second = (set(one.diverged) if one else set() for one in self.found)
        return first, second

    @property
    def lost(self) -> set[int]:
        """The seeds that are no pair because a training of them diverged."""
        return self.diverged[0] | self.diverged[1]

    @property
    def unfinished(self) -> set[int]:
        """The seeds that are no pair because a rule has no number for them, without a diverged training."""
        return self.wanted - set(self.seeds) - self.lost

    @property
    def _summaries(self) -> tuple[Summary, Summary]:
        first, second = (one.summary if one else Summary() for one in self.found)
        return first, second


def meant(text: str, present: Iterable[Choice]) -> Choice:
    """The rule that `text` spells: with these options, and others at their default where there are several."""
    rule, given = spelled("rule", text)
    try:
        exact = RULES[rule].choose(given)
    except ValueError as error:
        raise SuiteError(f"rule {text}: {error}") from error
    there = list(dict.fromkeys(present))
    if exact in there:
        return exact
    alike = [one for one in there if one.name == rule and all(one[option] == exact[option] for option in given)]
    if len(alike) == 1:
        return alike[0]
    listed = ", ".join(name("rule", one) for one in alike or there)
    fault = (
        "several rules of these cells are meant; name one of" if alike else "these cells have no such rule; there are"
    )
    raise SuiteError(f"rule {text}: {fault}: {listed or 'none'}")


def pairs_of(
    suites: Sequence[ComparedSuite], rules: tuple[Choice, Choice], metric: Metric
) -> tuple[list[Pair], list[tuple[Cell, str]]]:
    """The configurations that both rules have, each once; and the cells that only one has, with their differences."""
    pairs: dict[tuple[str, str], Pair] = {}
    alone = []
    for suite in suites:
        found = suite.selection.found if suite.selection else configurations(suite.results, metric)
        first = {cell.group: cell for cell in reversed(suite.places) if cell.rule in rules}
        grid = Grid(tuple(reversed(first.values())), suite.file)
        for row in grid.rows:
            if len(row) < 2:
                alone += [(cell, grid.variant(cell)) for cell in row.values()]
                continue
            pair = _pair(suite, (row[rules[0]], row[rules[1]]), grid.variant(row[rules[0]]), found)
            pairs.setdefault((pair.cells[0].group, pair.cells[1].group), pair)
    return list(pairs.values()), alone


def _pair(suite: ComparedSuite, places: tuple[Cell, Cell], variant: str, found: Mapping[str, Configuration]) -> Pair:
    chosen = suite.selection.chosen if suite.selection else {}
    first, second = ((place, chosen.get(place.group)) for place in places)
    a, b = (value.cell if value else place for place, value in (first, second))
    wanted = {cell.seed for cell in suite.cells if cell.group in (a.group, b.group)}
    both = found.get(places[0].group), found.get(places[1].group)
    return Pair(suite, variant, wanted, (a, b), both, (first[1], second[1]))
