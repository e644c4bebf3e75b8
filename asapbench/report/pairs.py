"""Pairs of two rules' trainings: the same configuration and the same seed, in one or several suites.

A pair's rules have the same data set, model and other settings. A setting in which each rule has one value of its own,
as a learning rate that was tuned for it, may differ.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from asapbench.suite.options import Choice
from asapbench.suite.spelled import spelled


@dataclass(frozen=True)
class ComparedSuite:
    """A suite's cells in the database, and their results.

    `to_run` is the name or file that `asapbench run` takes. With a `selection`, one value of what was swept stands for
    all of them.
    """

    title: str
    to_run: str
    cells: Sequence[Cell]
    results: Sequence[Outcome]
    selection: Selection | None = None

    @property
    def places(self) -> Sequence[Cell]:
        """The cells to compare."""
        return self.selection.cells if self.selection else self.cells


@dataclass(frozen=True)
class Pair:
    """One configuration by two rules. A rule whose trainings are all pending has no Configuration.

    `suites` hold the cells of the first and of the second rule, and are most often the same one. `variant` is the
    difference from other configurations of the same data set and model, `wanted` are the seeds of the cells. `chosen`
    are the values of what was selected, where something was.
    """

    suites: tuple[ComparedSuite, ComparedSuite]
    variant: str
    wanted: set[int]
    cells: tuple[Cell, Cell]
    found: tuple[Configuration | None, Configuration | None]
    chosen: tuple[Chosen | None, Chosen | None] = (None, None)

    @property
    def key(self) -> tuple[str, str]:
        """The groups of its cells."""
        return self.cells[0].group, self.cells[1].group

    @property
    def where(self) -> str:
        """The titles of its suites."""
        return " and ".join(dict.fromkeys(suite.title for suite in self.suites))

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
    """The configurations that both rules have, each once; and the cells that only one has, with their differences.

    A pair has the seeds of all suites that hold its configurations. Rules in different suites are a pair where nothing
    but the rule differs.
    """
    known = _Known.of(suites, metric)
    pairs: dict[tuple[str, str], Pair] = {}
    alone: dict[str, tuple[Cell, str]] = {}
    for suite in suites:
        grid = _grid([suite], rules)
        for row in grid.rows:
            if len(row) < 2:
                alone |= {cell.group: (cell, grid.variant(cell)) for cell in row.values() if cell.group not in alone}
                continue
            pair = known.pair((suite, suite), (row[rules[0]], row[rules[1]]), grid.variant(row[rules[0]]))
            pairs.setdefault(pair.key, pair)
    for pair in _across(suites, rules, known):
        pairs.setdefault(pair.key, pair)
    paired = {group for key in pairs for group in key}
    return list(pairs.values()), [one for group, one in alone.items() if group not in paired]


def _grid(suites: Iterable[ComparedSuite], rules: Collection[Choice]) -> Grid:
    """The first cell of each configuration of these rules, in rows."""
    first: dict[str, Cell] = {}
    for cell in (cell for suite in suites for cell in suite.places if cell.rule in rules):
        first.setdefault(cell.group, cell)
    return Grid(tuple(first.values()), None)


def _across(suites: Sequence[ComparedSuite], rules: tuple[Choice, Choice], known: _Known) -> Iterator[Pair]:
    """Pairs of cells in any of the suites that differ in nothing but the rule. Chosen values stay in their suite."""
    suites = [suite for suite in suites if suite.selection is None]
    grid = _grid(suites, rules)
    holder = {cell.group: suite for suite in reversed(suites) for cell in suite.places}
    by_group = {cell.group: cell for cell in grid.cells}
    for cell in grid.cells:
        other = by_group.get(replace(cell, rule=rules[1]).group)
        if cell.rule == rules[0] and other is not None:
            yield known.pair((holder[cell.group], holder[other.group]), (cell, other), grid.variant(cell))


@dataclass(frozen=True)
class _Known:
    """By group, the configurations and the seeds of all suites together."""

    found: Mapping[str, Configuration]
    seeds: Mapping[str, set[int]]

    @classmethod
    def of(cls, suites: Sequence[ComparedSuite], metric: Metric) -> _Known:
        seeds: dict[str, set[int]] = {}
        for cell in (cell for suite in suites for cell in suite.cells):
            seeds.setdefault(cell.group, set()).add(cell.seed)
        return cls(configurations((result for suite in suites for result in suite.results), metric), seeds)

    def pair(self, suites: tuple[ComparedSuite, ComparedSuite], places: tuple[Cell, Cell], variant: str) -> Pair:
        """The pair of two places: with a selection, of the cells that were chosen for them."""
        one, other = (self._filled(suite, place) for suite, place in zip(suites, places, strict=True))
        (a, first, choice), (b, second, other_choice) = one, other
        wanted = self.seeds.get(a.group, set()) | self.seeds.get(b.group, set())
        return Pair(suites, variant, wanted, (a, b), (first, second), (choice, other_choice))

    def _filled(self, suite: ComparedSuite, place: Cell) -> tuple[Cell, Configuration | None, Chosen | None]:
        if suite.selection is None:
            return place, self.found.get(place.group), None
        chosen = suite.selection.chosen.get(place.group)
        return (chosen.cell, self.found.get(chosen.cell.group), chosen) if chosen else (place, None, None)
