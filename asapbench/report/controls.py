"""BP in the memory of a rule: in how many parts of a batch, without and with activation checkpointing (decision 0055).

Peaks are those that a GPU measured; what it did not is BP's measured peak less the counted saving. Without a measured
peak of BP, all are counted (`analysis.peak`).
"""

from __future__ import annotations

import shlex
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from asapbench.errors import AsapbenchError
from asapbench.report.cost import Costs
from asapbench.report.grid import control_of
from asapbench.report.table import Note
from asapbench.rules.bp import BP, CHECKPOINTING, MICRO_BATCHES
from asapbench.suite.cell import Cell, plain
from asapbench.suite.columns import settings
from asapbench.suite.options import Choice
from asapbench.suite.select import matching


@dataclass(frozen=True)
class Memory:
    """Where peaks come from: `measured` on one kind of GPU, by group, and `count`, which may raise AsapbenchError."""

    measured: Costs
    count: Callable[[Cell], int]

    @property
    def note(self) -> Note:
        """What the controls of a table are, and by which peaks."""
        hardware = self.measured.hardware
        peaks = (
            f"measured on {hardware}; what was not measured there is BP's peak less the counted saving"
            if hardware
            else "counted from the tensors of a step in float32, on no device"
        )
        return Note(
            "BP in its memory: the smallest number of equal parts of a batch with which BP's peak is not above the "
            f"rule's, and the same with activation checkpointing. Peaks are {peaks}."
        )


@dataclass(frozen=True)
class Control:
    """BP with or without checkpointing in the fewest `parts` that need no more than a rule; None: no number does.

    >>> [Control(*one).text for one in ((False, 4), (True, 1), (True, 2), (False, None))]
    ['4 parts', 'checkpointing', 'checkpointing in 2 parts', 'no number of parts']
    """

    checkpointing: bool
    parts: int | None

    @property
    def rule(self) -> Choice | None:
        """What trains it."""
        if self.parts is None:
            return None
        return BP.entry.choose({CHECKPOINTING.name: self.checkpointing, MICRO_BATCHES.name: self.parts})

    @property
    def text(self) -> str:
        """For a table."""
        parts = "no number of parts" if self.parts is None else f"{self.parts} parts" if self.parts > 1 else ""
        return " in ".join(filter(None, ("checkpointing" if self.checkpointing else "", parts)))


@dataclass(frozen=True)
class Matched:
    """The controls of a rule; none where BP itself needs no more memory. `fault` says why they are not known."""

    controls: tuple[Control, ...] = ()
    fault: str = ""


class Peaks:
    """The peaks of a row: `trained` has its cells by rule, `bp` is the one of plain BP, trained or not."""

    def __init__(self, bp: Cell, trained: Mapping[Choice, Cell], memory: Memory) -> None:
        measured = memory.measured.of_groups
        self._bp, self._trained, self._count = bp, trained, memory.count
        found = {rule: measured[cell.group] for rule, cell in trained.items() if cell.group in measured}
        self._measured = found if bp.rule in found else {}

    def matched(self, rule: Choice) -> Matched:
        """The controls of a rule of the row."""
        try:
            limit = self._peak(rule)
            if self._peak(self._bp.rule) <= limit:
                return Matched()
            return Matched(tuple(Control(way, self._parts(limit, checkpointing=way)) for way in (False, True)))
        except AsapbenchError as error:
            return Matched(fault=str(error))

    def _peak(self, rule: Choice) -> float:
        known = self._measured.get(rule)
        return self._predicted(rule) if known is None else known

    def _predicted(self, rule: Choice) -> float:
        """As counted, or BP's measured peak less the counted saving, scaled by that of the largest measured one."""
        if not self._measured:
            return self._counted(rule)
        saved = {one: self._saved(one) for one in self._measured if control_of(one)}
        largest = max(saved, key=lambda one: saved[one], default=None)
        measured = self._measured[self._bp.rule]
        scale = 1.0
        if largest is not None and saved[largest] > 0:
            scale = (measured - self._measured[largest]) / saved[largest]
        return measured - scale * self._saved(rule)

    def _saved(self, rule: Choice) -> int:
        return self._counted(self._bp.rule) - self._counted(rule)

    def _counted(self, rule: Choice) -> int:
        return self._count(self._trained.get(rule) or replace(self._bp, rule=rule))

    def _parts(self, limit: float, *, checkpointing: bool) -> int | None:
        """The fewest that need no more than `limit`. A measured peak proves its number enough, or too small."""
        most = max(1, self._bp.batch_size // 2)

        def fits(parts: int) -> bool:
            rule = Control(checkpointing, parts).rule
            assert rule is not None
            return self._predicted(rule) <= limit

        measured = {
            rule.integer(MICRO_BATCHES.name): peak
            for rule, peak in self._measured.items()
            if rule.name == BP.entry.name and rule.flag(CHECKPOINTING.name) is checkpointing
        }
        too_few = max((parts for parts, peak in measured.items() if peak > limit), default=0)
        enough = [parts for parts, peak in measured.items() if peak <= limit and parts > too_few]
        # Two parts may need more than one, whose gradients are not held beside their sums; from two on more need less.
        predicted = 1 if fits(1) else 2 + bisect_left(range(2, most + 1), True, key=fits)
        found = min([*enough, max(predicted, too_few + 1)])
        return found if found <= most else None


def commands(
    lacking: Mapping[Choice, Sequence[Cell]], cells: Sequence[Cell], *, suite: str, filters: Sequence[str] = ()
) -> Iterator[str]:
    """What trains each control in place of those cells of plain BP, and nothing else of the suite.

    `cells` are all of the report: those of the suite that pass its `filters`.
    """
    every = [cell for cell in cells if cell.rule.name == BP.entry.name]
    for control, wanted in sorted(lacking.items(), key=lambda one: one[0].options):
        changes = " ".join(f"--set rule.{name}={plain(value)}" for name, value in control_of(control).items())
        for found in _filters(wanted, every):
            only = " ".join(f"--only {shlex.quote(text)}" for text in (*filters, *found))
            yield f"asapbench run {shlex.quote(suite)} {only} {changes}"


def _filters(wanted: Sequence[Cell], every: Sequence[Cell]) -> Iterator[list[str]]:
    """Filters that these of all cells of BP pass alone; several lists where one cannot say it."""
    of_all, found = [settings(cell) for cell in every], [f"rule={BP.entry.name}"]
    keys = {key for one in of_all for key in one} - {"rule", "seed"}
    for key in sorted(keys, key=lambda key: (not key.startswith("rule."), key)):
        values = list(dict.fromkeys(settings(cell).get(key) for cell in wanted))
        if None not in values and set(values) < {one.get(key) for one in of_all}:
            found.append(f"{key}={','.join(plain(value) for value in values if value is not None)}")
    passed = {cell.group for cell in matching(every, found)}
    if len(wanted) == 1 or passed == {cell.group for cell in wanted}:
        yield found
    else:
        for cell in wanted:
            yield from _filters([cell], every)
