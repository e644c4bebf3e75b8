"""The configurations of a suite in rows, the rules as columns: what is shown or compared side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from asapbench.errors import AsapbenchError
from asapbench.report.configuration import nearest, shared_options
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.columns import field_text, varying, varying_on_each
from asapbench.suite.load import Suite
from asapbench.suite.options import Choice, Value

_OF_EACH_RULE = ("optimizer", "lr")
"""The fields that a paper gives for each rule: rows differ in them only on networks on which a rule has several."""


def control_of(rule: Choice) -> dict[str, Value]:
    """As `RuleEntry.control_of`; nothing for a rule whose plug-in is not loaded."""
    entry = RULES.get(rule.name)
    return entry.control_of(rule) if entry else {}


@dataclass(frozen=True)
class Grid:
    """The configurations of a suite, one cell of each, in rows by data set, model and what else varies.

    `file` is the suite file of the run, where it is known.
    """

    cells: tuple[Cell, ...]
    file: Suite | None

    @property
    def rules(self) -> list[Choice]:
        """The columns."""
        return list(dict.fromkeys(cell.rule for cell in self.cells))

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The fields, without the seed, in which configurations of the same data set, model and rule differ."""
        return varying(self.cells)

    @cached_property
    def shared(self) -> str:
        """The model options that all configurations have: `(width=8)`."""
        return shared_options(self.cells)

    @cached_property
    def rows(self) -> list[dict[Choice, Cell]]:
        """For each row its configurations by rule: they have everything else that varies in common."""
        rows: dict[tuple[object, ...], dict[Choice, Cell]] = {}
        for cell in self.cells:
            values = tuple(getattr(cell, name) for name in self._varying_beside(cell))
            rows.setdefault((cell.dataset, cell.model, *values), {})[cell.rule] = cell
        return list(rows.values())

    def _varying_beside(self, cell: Cell) -> tuple[str, ...]:
        """Of `varying`, what distinguishes rows of the cell's data set and model."""
        own = self._varying_on[cell.dataset, cell.model]
        return tuple(name for name in self.varying if name in own or name not in _OF_EACH_RULE)

    @cached_property
    def _varying_on(self) -> dict[tuple[Choice, Choice], tuple[str, ...]]:
        return varying_on_each(self.cells)

    @cached_property
    def compared(self) -> list[dict[Choice, Cell]]:
        """The rows that an order is over, without what deviates from the suite file; all if nothing else is left."""
        kept = [{rule: cell for rule, cell in row.items() if not self.deviation(cell)} for row in self.rows]
        return [row for row in kept if row] or self.rows

    @property
    def not_compared(self) -> list[Choice]:
        """Rules that only cells have that deviate from the suite file, beside others that do not."""
        compared = {rule for row in self.compared for rule in row}
        return [rule for rule in self.rules if rule not in compared]

    @property
    def with_several_values(self) -> list[str]:
        """Names of rules that have several values for one network and data set, such as learning rates or options.

        Their average has no meaning for the rule, and a choice among them needs validation data. A control, such as BP
        with activation checkpointing, is no value of its rule.
        """
        cells = [cell for row in self.compared for cell in row.values()]
        counts = Counter((cell.dataset, cell.model, cell.rule.name, str(control_of(cell.rule))) for cell in cells)
        return list(dict.fromkeys(rule for (_, _, rule, _), count in counts.items() if count > 1))

    def require_one_value(self, option: str) -> None:
        """Raises AsapbenchError, whose text starts with `option`, where a rule has several values on one network."""
        if several := self.with_several_values:
            rules = ", ".join(RULES[rule].title for rule in several)
            has = "has" if len(several) == 1 else "have"
            raise AsapbenchError(f"{option}: {rules} {has} several values on one network: choose one with --select")

    def variant(self, cell: Cell) -> str:
        """The difference from other configurations of the same data set, model and rule."""
        return ", ".join(field_text(cell, name) for name in self._varying_beside(cell))

    def deviation(self, cell: Cell) -> str:
        """The difference from the nearest cell of the suite file; empty for a cell of the file."""
        if self.file is None or cell.group in {known.group for known in self.file.cells}:
            return ""
        found = nearest(cell, self.file.cells)
        return found[0] if found else "not in it"
