"""Numbers that works other than the paper publish, each with the cell of a shipped suite that stands for it.

Only `other_works.toml` holds the numbers, as each work prints them. A number belongs to one configuration: a cell that
differs in anything but the seed, such as a narrow network, never stands beside it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import Cell, name
from asapbench.suite.load import Suite, load
from asapbench.suite.options import Choice


@dataclass(frozen=True)
class Work:
    """A work that publishes test accuracies, or errors; both are in percent.

    `place` is where they stand in it, and `differs` how its training differs from the suite's.
    """

    citation: str
    place: str
    prints: str
    differs: str

    def accuracy(self, printed: float) -> float:
        """A printed number as an accuracy in percent."""
        return _ACCURACY[self.prints](printed)

    @property
    def remark(self) -> str:
        """What a report says of the work."""
        return f"{self.citation}: {self.place}{_AS_PRINTED[self.prints]}. {self.differs}"


_ACCURACY: Mapping[str, Callable[[float], float]] = {
    "accuracy": lambda printed: printed,
    "error": lambda printed: round(100 - printed, 10),
}
_AS_PRINTED = {"accuracy": "", "error": ", where errors are printed: the accuracies are 100 minus them"}


@dataclass(frozen=True)
class OtherNumber:
    """One published accuracy in percent, and a cell of the configuration that stands for it."""

    work: Work
    value: float
    cell: Cell


@cache
def numbers_of_other_works() -> Mapping[str, OtherNumber]:
    """Every number, by the `Cell.group` that stands for it. Raises ValueError where that is not one group of cells.

    >>> {number.work.citation for number in numbers_of_other_works().values()} >= {"Nøkland and Eidnes 2019"}
    True
    """
    content = tomllib.loads(files("asapbench.report").joinpath("other_works.toml").read_text(encoding="utf-8"))
    found: dict[str, OtherNumber] = {}
    for table in content["work"]:
        for number in _numbers(table):
            if number.cell.group in found:
                raise ValueError(f"{number.cell.label}: two published numbers stand beside one configuration")
            found[number.cell.group] = number
    return found


def works_of(numbers: Iterable[OtherNumber]) -> tuple[Work, ...]:
    """The works that the numbers are of, each once, in order."""
    return tuple(dict.fromkeys(number.work for number in numbers))


def _numbers(table: dict[str, Any]) -> Iterator[OtherNumber]:
    work, suite = Work(*(table[key] for key in ("citation", "place", "prints", "differs"))), load(table["suite"])
    for row in table["numbers"]:
        model, rule = _chosen("model", row["model"]), _chosen("rule", row["rule"])
        yield OtherNumber(work, work.accuracy(float(row["value"])), _cell(suite, model, rule))


def _chosen(kind: str, named: str | dict[str, Any]) -> Choice:
    """A model or a rule as a suite names it: by its name, or by a table with options."""
    options = {"name": named} if isinstance(named, str) else dict(named)
    return CATALOG[kind][options.pop("name")].choose(options)


def _cell(suite: Suite, model: Choice, rule: Choice) -> Cell:
    """A cell of the one configuration of `suite` that has the model and the rule."""
    groups = {cell.group: cell for cell in suite.cells if (cell.model, cell.rule) == (model, rule)}
    if len(groups) != 1:
        which = f"{name('model', model)} with {name('rule', rule)}"
        raise ValueError(f"suite {suite.name} has {len(groups)} configurations of {which}, not one")
    return next(iter(groups.values()))
