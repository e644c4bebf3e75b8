"""`report --time-to`: what each rule needs until its validation accuracy first reaches a target, side by side.

A training that ended without reaching it, diverged ones too, needs infinitely long. One that is not finished and not
there yet counts as not measured. Test data take no part.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING

from asapbench.analysis.memory import accesses_of_epoch
from asapbench.errors import AsapbenchError
from asapbench.report.commands import run_with_validation
from asapbench.report.configuration import MISSING, counted, counts_row, faint, names
from asapbench.report.hardware import ran_on
from asapbench.report.quantity import TimeTo
from asapbench.report.statistics import Summary, usual_count
from asapbench.report.suite import Layout, dataset_of, unfinished
from asapbench.report.table import Column, Field, Note, Number, Row, Table, grouped, numeric
from asapbench.store import Outcome, Reached
from asapbench.store.records import FINAL
from asapbench.suite.cell import Cell, title
from asapbench.suite.options import Choice
from asapbench.suite.target import Target

if TYPE_CHECKING:
    from asapbench.store import Store

NO_FORMULA = (
    "App. F counts accesses of backpropagation and of activation sharing; this rule, with its options, is neither"
)


@dataclass(frozen=True)
class Times:
    """One configuration: the time of each seed that is known, infinite for one that ended without reaching the target.

    `left` counts the other seeds. `best` is the highest validation accuracy of all seeds, in percent. `diverged` counts
    diverged trainings, and `late` those of them that had reached the target before. `hardware` is what the seeds that
    reached it ran on, where that matters. `unknown` says why there is no time, in words.
    """

    by_seed: Mapping[int, float]
    left: int = 0
    best: float | None = None
    diverged: int = 0
    late: int = 0
    hardware: frozenset[str] = frozenset()
    unknown: str = ""

    @property
    def reached(self) -> list[float]:
        """The finite times."""
        return [time for time in self.by_seed.values() if math.isfinite(time)]

    @property
    def median(self) -> float | None:
        """The median of all seeds, perhaps infinite; None where there is no time, or not one of a single hardware."""
        return median(self.by_seed.values()) if self.by_seed and not self.unknown else None


@dataclass(frozen=True)
class Timed:
    """A suite's rows and rules with their times, by the group of the grid's cells."""

    layout: Layout
    times: Mapping[str, Times]
    to: TimeTo
    target: Target

    @property
    def described_target(self) -> str:
        """The target in percent: of all data sets, or of each."""
        own = {title("dataset", cell.dataset): self.target.of(cell.dataset.name) for cell in self.layout.grid.cells}
        percent = {name: f"{100 * one:g} %" for name, one in own.items() if one is not None}
        if len(set(percent.values())) == 1:
            return next(iter(percent.values()))
        return ", ".join(f"{text} ({name})" for name, text in percent.items())

    def of(self, row: Mapping[Choice, Cell]) -> list[Times | None]:
        """The times of each rule; None where the suite has no such cell."""
        return [self.times[row[rule].group] if rule in row else None for rule in self.layout.grid.rules]

    def hardware_of(self, row: Mapping[Choice, Cell]) -> frozenset[str]:
        """What the times of a row were measured on: only those of a single hardware can be compared."""
        return frozenset[str]().union(*(one.hardware for one in self.of(row) if one and one.median is not None))

    @cached_property
    def hardware(self) -> frozenset[str]:
        """That of all rows."""
        return frozenset[str]().union(*map(self.hardware_of, self.layout.grid.rows))


def timed_cells(cells: Iterable[Cell], target: Target) -> list[Cell]:
    """The cells that can have a time: with examples held out for validation, and with a target."""
    return [cell for cell in cells if cell.validation and target.of(cell.dataset.name) is not None]


def untimed(cells: Sequence[Cell], target: Target, *, suite: str) -> list[Note]:
    """Which of the cells have no time, for lack of a target or of validation data, and how to change that.

    `suite` is what `asapbench run` takes for it. A cell that is also trained with validation data is not named.
    """
    notes, one_of_each = [], list({cell.group: cell for cell in cells}.values())
    with_target = [cell for cell in one_of_each if target.of(cell.dataset.name) is not None]
    if lacking := list(dict.fromkeys(cell.dataset.name for cell in one_of_each if cell not in with_target)):
        fix = f"add {lacking[0]} = ... to the suite's target, or use --target"
        notes.append(Note(f"No target for {' and '.join(lacking)}: {fix}."))
    held_out = {replace(cell, validation=0).group for cell in with_target if cell.validation}
    if not_held_out := [cell for cell in with_target if not cell.validation and cell.group not in held_out]:
        text = f"{counted(len(not_held_out), 'configuration')} without a time: their trainings hold no examples out for"
        text += " validation, and test data take no part. To train with validation data:"
        notes.append(Note(text, (run_with_validation(not_held_out, suite=suite),)))
    return notes


def timed(
    store: Store, layout: Layout, cells: Sequence[Cell], results: Sequence[Outcome], *, to: TimeTo, target: Target
) -> Timed:
    """The times of the configurations of a layout, whose `cells` and current `results` are `timed_cells`."""
    members: dict[str, list[Cell]] = {}
    for cell in cells:
        members.setdefault(cell.group, []).append(cell)
    shown = {cell.group: members.get(layout.measured(cell).group, []) for cell in layout.grid.cells}
    if layout.selection is not None:  # the neutral cell of a place without a choice may be a candidate of its own
        shown |= {cell.group: [] for cell in layout.grid.cells if cell.group not in layout.selection.chosen}
    wanted = {cell.id for group in shown.values() for cell in group}
    current = {result.cell.id: result for result in results if result.cell.id in wanted and not result.outdated}
    reached = _reached(store, current.values(), target)
    ran = _ran_on(store, list(reached)) if to is TimeTo.SECONDS else {}
    times = {group: _times(own, current, reached, ran=ran, to=to) for group, own in shown.items()}
    return Timed(layout, times, to, target)


def _reached(store: Store, results: Iterable[Outcome], target: Target) -> dict[str, Reached]:
    """By lineage; one reading for each different target."""
    lineages: dict[float, list[str]] = {}
    for result in results:
        if (accuracy := target.of(result.cell.dataset.name)) is not None:
            lineages.setdefault(accuracy, []).append(result.attempt.lineage)
    return {name: one for accuracy, own in lineages.items() for name, one in store.times_to(own, accuracy).items()}


def _ran_on(store: Store, lineages: Sequence[str]) -> dict[str, frozenset[str]]:
    """The hardware of each lineage, in words; several for one that changed it on the way."""
    found = store.devices_of(lineages)
    return {name: frozenset(ran_on(ran, device=device) for device, ran in pairs) for name, pairs in found.items()}


def _times(
    members: Sequence[Cell],
    current: Mapping[str, Outcome],
    reached: Mapping[str, Reached],
    *,
    ran: Mapping[str, frozenset[str]],
    to: TimeTo,
) -> Times:
    if not members:
        return Times({})  # nothing could be chosen
    by_seed, left, late = dict[int, float](), 0, 0
    states, best, hardware = Counter[str](), list[float](), set[str]()
    accesses, unknown = _accesses(members[0]) if to is TimeTo.ACCESSES else (None, "")
    for cell in members:
        result = current.get(cell.id)
        state = result.attempt.state if result else "pending"
        found = reached.get(result.attempt.lineage) if result else None
        states[state] += 1
        best += [100 * found.best] if found else []
        if found and found.epoch is not None and found.seconds is not None:
            by_seed[cell.seed] = {
                TimeTo.EPOCHS: found.epoch,
                TimeTo.SECONDS: found.seconds,
                TimeTo.ACCESSES: found.epoch * (accesses or 0),
            }[to]
            late += state == "diverged"
            hardware |= ran.get(found.lineage, frozenset())
        elif state in FINAL:
            by_seed[cell.seed] = math.inf
        else:
            left += 1
    if len(hardware) > 1:
        unknown = f"measured on different hardware, of which no median is taken: {'; '.join(sorted(hardware))}"
    return Times(
        by_seed,
        left=left,
        best=max(best, default=None),
        diverged=states["diverged"],
        late=late,
        hardware=frozenset(hardware),
        unknown=unknown,
    )


def _accesses(cell: Cell) -> tuple[int | None, str]:
    """The memory accesses of an epoch, or None and why there is no number."""
    try:
        found = accesses_of_epoch(cell)
    except AsapbenchError as error:
        return None, str(error)
    return found, "" if found is not None else NO_FORMULA


def time_table(
    found: Timed, *, name: str, heading: str, cells: Sequence[Cell], results: Sequence[Outcome], notes: Sequence[Note]
) -> Table:
    """The times of suite `name`, below its `heading`: the median over seeds, and the smallest and largest."""
    grid, summaries = found.layout.grid, [_summary(one) for one in found.times.values()]
    rows = [_rows(found, row, usual=usual_count(filter(None, summaries))) for row in grid.rows]
    return Table(
        name=f"{name}-{found.to}",
        title=f"{heading}, {found.to} to {found.described_target}",
        caption=_caption(found),
        columns=(Column("Model", "left"), *(Column(title("rule", rule)) for rule in grid.rules)),
        groups=grouped(rows),
        notes=(*found.layout.footnotes.notes(), *notes, *unfinished(name, cells, results)),
        numbers=tuple(_number(found, cell) for cell in grid.cells),
    )


def _caption(found: Timed) -> str:
    usual = usual_count(filter(None, map(_summary, found.times.values())))
    seeds = f"median over n = {usual} seeds (smallest to largest)" if usual > 1 else "one seed each (n = 1)"
    shared = f"; every model with {found.layout.grid.shared[1:-1]}" if found.layout.grid.shared else ""
    until = f"until the validation accuracy first reaches {found.described_target}"
    text = f"{found.to.described} {until}; {seeds}{shared}."
    if any(math.inf in one.by_seed.values() for one in found.times.values()):
        text += (
            " A training that ends without reaching it counts as infinitely long (∞). Below such numbers: how many "
            "seeds reached it and, where the median did not, the best validation accuracy in percent."
        )
    return f"{text} On {next(iter(found.hardware))}." if len(found.hardware) == 1 else text


def _rows(found: Timed, row: Mapping[Choice, Cell], *, usual: int) -> tuple[str, list[Row]]:
    """The data set and the lines of a row."""
    layout, times = found.layout, found.of(row)
    stub, apart = layout.stub(row), _hardware_text(found, row)
    if apart:
        stub = replace(stub, marks=(*stub.marks, layout.footnotes.mark(apart)))
    lines = [Row((stub, *(_field(one, found) for one in times))), *layout.chosen_rows(row)]
    if any(one and math.inf in one.by_seed.values() for one in times):
        lines.append(Row((faint("reached"), *map(_reached_field, times))))
    if any(one and one.median == math.inf for one in times):
        lines.append(Row((faint("best, %"), *map(_best_field, times))))
    return dataset_of(row), [*lines, *counts_row([_summary(one) for one in times], usual=usual)]


def _hardware_text(found: Timed, row: Mapping[Choice, Cell]) -> str:
    """For a footnote of a row, where the rows of a table have different hardware: its own."""
    own = found.hardware_of(row)
    if len(found.hardware) < 2 or not own:
        return ""
    if len(own) == 1:
        return f"on {next(iter(own))}"
    each = {
        title("rule", rule): next(iter(one.hardware))
        for rule, one in zip(found.layout.grid.rules, found.of(row), strict=True)
        if one and one.hardware and one.median is not None
    }
    return f"different hardware, not to be compared: {'; '.join(f'{rule} on {text}' for rule, text in each.items())}"


def _summary(times: Times | None) -> Summary | None:
    """For its count."""
    return Summary(tuple(times.by_seed.values())) if times and times.median is not None else None


def _field(times: Times | None, found: Timed) -> Field:
    footnotes = found.layout.footnotes
    if times is None:
        return Field("")
    if times.median is None:
        return Field(MISSING, (footnotes.mark(times.unknown),) if times.unknown else (), emphasis="faint")
    marks: tuple[str, ...] = ()
    if times.diverged:
        late = f", {times.late} after it had reached the target" if times.late else ""
        marks = (footnotes.mark(f"{times.diverged} diverged of {len(times.by_seed)}{late}"),)
    if math.isinf(times.median):
        return Field("not reached", marks)
    scale, ends = found.to.scale, (min(times.reached), max(times.by_seed.values()))
    form = "{:g}" if found.to is TimeTo.EPOCHS else "{:,.0f}" if times.median >= 100 * scale else "{:.3g}"
    if len(times.by_seed) == 1:
        return numeric(form, times.median / scale, marks=marks)
    spread = f"({form} to {form if math.isfinite(ends[1]) else '∞'})"
    numbers = (one / scale for one in (times.median, *ends) if math.isfinite(one))
    return numeric(f"{form} {spread}", *numbers, marks=marks)


def _reached_field(times: Times | None) -> Field:
    text = f"{len(times.reached)} of {len(times.by_seed)}" if times and times.median is not None else ""
    return Field(text, emphasis="faint")


def _best_field(times: Times | None) -> Field:
    if times is None or times.median != math.inf or times.best is None:
        return Field("")
    return numeric("{:.2f}", times.best, emphasis="faint")


@dataclass(frozen=True, kw_only=True)
class TimeNumber(Number):
    """`measured` is the median of n times, None where it is infinite or unknown; `samples` are the finite times.

    `target` and `best_validation` are accuracies in percent. `missed` counts the seeds that ended without reaching the
    target, `left` those that are not finished and not there yet.
    """

    target: float | None
    reached: int = 0
    missed: int = 0
    left: int = 0
    best_validation: float | None = None
    hardware: str = ""


def _number(found: Timed, cell: Cell) -> TimeNumber:
    times, target = found.times[cell.group], found.target.of(cell.dataset.name)
    dataset, model, rule = names(found.layout.measured(cell))
    known = times.by_seed if times.median is not None else {}
    finite = {seed: time for seed, time in known.items() if math.isfinite(time)}
    return TimeNumber(
        dataset=dataset,
        model=model,
        rule=rule,
        variant=found.layout.variant(cell),
        measured=times.median if times.median is not None and math.isfinite(times.median) else None,
        n=len(known),
        diverged=times.diverged,
        metric=f"{found.to} to the target",
        unit=found.to.unit,
        samples=tuple(finite.values()),
        seeds=tuple(finite),
        target=None if target is None else round(100 * target, 9),
        reached=len(finite),
        missed=len(known) - len(finite),
        left=times.left,
        best_validation=times.best,
        hardware="; ".join(sorted(times.hardware)),
    )
