"""What a run prints: the plan, then a live table in a terminal or plain lines in other output, then the outcome."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asapbench.cli import settings
from asapbench.cli.text import count, duration, percent, print_table, say, size
from asapbench.escape import printable, visible
from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.estimate import Basis, EpochTimes, TimeLeft
from asapbench.running.plan import DISCARDED, Plan
from asapbench.running.selection import Request, Selected
from asapbench.running.view import Outcome, View
from asapbench.store import db_option
from asapbench.streams import is_terminal
from asapbench.suite import plugins
from asapbench.suite.cell import Cell, plain
from asapbench.suite.columns import Labels, differing, field_value
from asapbench.worker.protocol import Progressed

_SHOWN = 100
"""Cells that a dry run lists."""
_LINE_SECONDS = 10.0
"""Plain lines: at most one per cell in this time, in addition to its first and last."""

_DRAW_SECONDS = 0.5
"""Shortest time between two drawings of the live table, however often events arrive."""
_LINES_AROUND = 5
"""Lines of the terminal above and below the slots' lines, and the cursor's line."""
_WIDTHS = {"slot": 6, "cell": 8, "epoch": 7, "train": 8, "test": 8, "samples/s": 9, "left": 10}
"""The columns of the live table and their least widths."""
_FROM_WIDTH = {"slot": 72, "train": 64, "samples/s": 96}
"""The width of the terminal from which a column is shown; 0 for the others."""


def open_view(options: str) -> contextlib.AbstractContextManager[View]:
    """A live view in a terminal, else plain lines; `options` are those that the commands in it need."""
    return contextlib.closing(LiveView(Console(), options) if is_terminal(sys.stdout) else PlainView(options))


@dataclass
class _Tracked:
    """What was reported of a cell: `epochs` trained; `shown` is the newest accuracy as lines show it."""

    epochs: float = 0.0
    accuracy: float | None = None
    shown: str = ""
    rate: float | None = None
    is_evaluated: bool = False


class _Progress:
    """What both views share: how much of the plan is done, and the lines that stay. `cells` counts those to train.

    A plan may have ten thousand cells: it is counted once, not for each line.

    Epochs are reported when a checkpoint holds them, several at once and later than the training: a cell's position
    only moves forward until it starts again.
    """

    def __init__(self, options: str) -> None:
        self.options = options
        self.cells = self.finished = 0
        self.time_left = TimeLeft(EpochTimes("cpu"), (), slots=0)
        self.labels = Labels(())
        self._tracked: defaultdict[str, _Tracked] = defaultdict(_Tracked)

    def begin(self, plan: Plan, slots: Sequence[Slot]) -> None:
        """Prints the plan."""
        self.follow(plan)
        self.message(opening_line(plan, slots, shared=self.labels.shared))

    def follow(self, plan: Plan) -> None:
        """Counts the plan."""
        left = plan.left
        self.cells = len(left)
        self.time_left = plan.time_left(time.monotonic)
        self.labels = Labels(item.cell for item in plan.items)
        self._tracked = defaultdict(_Tracked)

    def close(self) -> None:
        """Nothing to restore."""

    def began(self, slot: Slot, cell: Cell, *, epochs_done: int, batch: int, bit_exact: bool) -> None:
        """Prints where a resumed cell continues."""
        tracked = self._tracked[cell.id]
        tracked.epochs = 0.0
        tracked.shown = tracked.shown if epochs_done else ""
        self.time_left.began(cell, epochs_done)
        self._reach(cell, epochs_done)
        if epochs_done or batch:
            self._say(cell, resumed_text(epochs_done, batch, bit_exact))

    def progressed(self, slot: Slot, cell: Cell, event: Progressed) -> None:
        """Counts; prints nothing."""
        epochs, is_evaluated = event.epoch - 1 + event.batch / event.batches, event.batch == event.batches
        self._reach(cell, epochs, event.accuracy, event.rate, is_evaluated=is_evaluated)

    def finished_epoch(self, slot: Slot, cell: Cell, metrics: EpochMetrics) -> None:
        """Counts; prints nothing."""
        self._tracked[cell.id].shown = _accuracy(metrics)
        self._reach(cell, metrics.epoch, metrics.train_accuracy, metrics.samples_per_second)

    def ended(self, slot: Slot, cell: Cell, state: str, error: str | None = None, *, retry: str | None = None) -> None:
        """Prints a line for the end of an attempt."""
        tracked = self._tracked[cell.id]
        is_over = state != "interrupted" and retry is None
        self.time_left.ended(cell, is_over=is_over, epochs=tracked.epochs)
        self.finished += is_over
        test = f", {tracked.shown}" if state == "done" and tracked.shown else ""
        self._say(cell, ended_text(state, cell, error, retry=retry, options=self.options) + test)

    def message(self, text: str) -> None:
        """Prints a line."""
        say(text)

    def _say(self, cell: Cell, text: str) -> None:
        """Prints a line about `cell`, without what all cells share."""
        self._print(f"[{self.finished}/{self.cells}] {self.labels.of(cell)} ({cell.short})  {text}")

    def _print(self, line: str) -> None:
        say(line)

    def _reach(
        self,
        cell: Cell,
        epochs: float,
        accuracy: float | None = None,
        rate: float | None = None,
        *,
        is_evaluated: bool = False,
    ) -> None:
        """`cell` has trained `epochs` of its epochs, unless more were reported before."""
        tracked = self._tracked[cell.id]
        if epochs >= tracked.epochs:
            tracked.epochs, tracked.accuracy, tracked.rate = epochs, accuracy, rate
            tracked.is_evaluated = is_evaluated
            self.time_left.trained(cell, epochs, rate=rate, evaluated=is_evaluated)

    def fraction(self) -> float:
        """The share of the time that has passed."""
        return self.time_left.fraction()

    def seconds_left(self) -> float:
        """Time to finish."""
        return self.time_left.seconds()


class PlainView(_Progress):
    """Lines, for a log file or a pipe."""

    def __init__(self, options: str = "") -> None:
        super().__init__(options)
        self._last: dict[str, float] = {}
        self._pending: dict[str, tuple[Cell, EpochMetrics]] = {}

    def finished_epoch(self, slot: Slot, cell: Cell, metrics: EpochMetrics) -> None:
        """Prints a line for the first and the last epoch; for others see `tick`."""
        super().finished_epoch(slot, cell, metrics)
        self._pending[cell.id] = cell, metrics
        if metrics.epoch in (1, cell.epochs):
            self._say_epoch(cell.id)

    def ended(self, slot: Slot, cell: Cell, state: str, error: str | None = None, *, retry: str | None = None) -> None:
        """Prints a line for the end of an attempt, none for epochs before it."""
        self._pending.pop(cell.id, None)
        super().ended(slot, cell, state, error, retry=retry)

    def tick(self) -> None:
        """Prints a line for the newest epoch of each cell, limited by `_LINE_SECONDS`."""
        now = time.monotonic()
        for name in list(self._pending):
            if now - self._last.get(name, 0.0) >= _LINE_SECONDS:
                self._say_epoch(name)

    def _say_epoch(self, name: str) -> None:
        cell, metrics = self._pending.pop(name)
        self._last[name] = time.monotonic()
        self._say(
            cell,
            f"epoch {metrics.epoch}/{cell.epochs}  train {percent(metrics.train_accuracy)}  "
            f"{_accuracy(metrics)}  {metrics.samples_per_second:,.0f} samples/s",
        )


class LiveView(_Progress):
    """A table that is redrawn: overall progress, then a line per slot as far as the terminal has lines."""

    def __init__(self, console: Console, options: str = "") -> None:
        super().__init__(options)
        self._console = console
        self._live: Live | None = None
        self._slots: Sequence[Slot] = ()
        self._training: dict[int, Cell] = {}
        self._drawn_at = 0.0
        self._pending: list[str] = []

    def begin(self, plan: Plan, slots: Sequence[Slot]) -> None:
        """Prints the plan and starts drawing."""
        self._slots = slots
        super().begin(plan, slots)
        if plan.left or plan.states["running"]:
            self._live = Live(self._drawn(), console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def close(self) -> None:
        """Restores the terminal."""
        self._print_pending()
        if self._live is not None:
            self._live.stop()

    def began(self, slot: Slot, cell: Cell, *, epochs_done: int, batch: int, bit_exact: bool) -> None:
        """A slot has started a cell; on a cluster the slot may be new."""
        if slot not in self._slots:
            self._slots = [*self._slots, slot]
        self._training[slot.number] = cell
        super().began(slot, cell, epochs_done=epochs_done, batch=batch, bit_exact=bit_exact)

    def ended(self, slot: Slot, cell: Cell, state: str, error: str | None = None, *, retry: str | None = None) -> None:
        """The slot is idle."""
        self._training.pop(slot.number, None)
        super().ended(slot, cell, state, error, retry=retry)

    def message(self, text: str) -> None:
        """Adds a permanent line above the table at once."""
        self._print(text)
        self._print_pending()

    def _print(self, line: str) -> None:
        """Adds a permanent line above the table at its next drawing: rich draws the table for each print."""
        self._pending.append(line)

    def _print_pending(self) -> None:
        if self._pending:
            self._console.print("\n".join(map(printable, self._pending)), markup=False, highlight=False)
            self._pending.clear()

    def tick(self) -> None:
        """Redraws, limited by `_DRAW_SECONDS`."""
        if self._live is not None and (now := time.monotonic()) - self._drawn_at >= _DRAW_SECONDS:
            self._drawn_at = now
            self._print_pending()  # rich draws the old table below these lines; the new one follows
            self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> Table:
        """Everything below the permanent lines. Only the cell's name shrinks; columns that do not fit are left out."""
        left = f"about {duration(self.seconds_left())} left"
        columns = [name for name in _WIDTHS if self._console.width >= _FROM_WIDTH.get(name, 0)]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for name in columns:
            is_cell = name == "cell"
            table.add_column(name, justify="left" if is_cell else "right", min_width=_WIDTHS[name], no_wrap=not is_cell)
        shown = self._shown()
        for line in map(self._line, shown):
            table.add_row(*(Text(line[name], no_wrap=True, overflow="ellipsis") for name in columns))
        whole = Table.grid(expand=True)
        whole.add_row(Text(f"{self.finished} of {count(self.cells, 'cell')} · {left}"))
        whole.add_row(ProgressBar(total=1.0, completed=self.fraction()))
        whole.add_row(table)
        if hidden := len(self._slots) - len(shown):
            whole.add_row(Text(f"... and {count(hidden, 'more slot')}"))
        return whole

    def _shown(self) -> Sequence[Slot]:
        """All slots that fit; if the terminal is not high enough, training ones come first."""
        room = max(1, self._console.height - _LINES_AROUND)
        if len(self._slots) <= room:
            return self._slots
        return sorted(self._slots, key=lambda slot: slot.number not in self._training)[:room]

    def _line(self, slot: Slot) -> dict[str, str]:
        line = dict.fromkeys(_WIDTHS, "") | {"slot": f"{slot.device} {slot.number}", "cell": "-"}
        if (cell := self._training.get(slot.number)) is None:
            return line
        tracked = self._tracked[cell.id]
        epoch = min(int(tracked.epochs) + (not tracked.is_evaluated), cell.epochs)
        line |= {"cell": visible(self.labels.rule_first(cell)), "epoch": f"{epoch}/{cell.epochs}"}
        line |= {"train": percent(tracked.accuracy), "test": tracked.shown.removeprefix("test ") or "-"}
        if tracked.rate:
            left = duration(self.time_left.of(cell))
            line |= {"samples/s": f"{tracked.rate:,.0f}", "left": "testing" if tracked.is_evaluated else left}
        return line


def _accuracy(metrics: EpochMetrics) -> str:
    """The accuracy on the test set; where that is not evaluated, on the validation data."""
    has_test = not math.isnan(metrics.test_accuracy)
    return f"test {percent(metrics.test_accuracy)}" if has_test else f"val {percent(metrics.validation_accuracy)}"


def resumed_text(epochs_done: int, batch: int, bit_exact: bool) -> str:
    """`resumes after epoch 3, batch 120`."""
    inside = f", batch {batch}" if batch else ""
    return f"resumes after epoch {epochs_done}{inside}" + ("" if bit_exact else " (not bit-exact)")


def ended_text(state: str, cell: Cell, error: str | None, *, retry: str | None = None, options: str = "") -> str:
    """How an attempt ended, in a line, and what the run does next; `asapbench show` has the whole error."""
    if error is None or state == "done":
        return state.replace("_", " ")
    if state == "pruned":
        return error
    lines = [line for line in error.strip().splitlines() if line.strip()]
    reason = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    more = f" (whole: asapbench show {cell.short}{options})" if state in ("failed", "out_of_memory") else ""
    then = "" if retry is None else f"; {retry}"
    return f"{state.replace('_', ' ')}: {reason}{more}{then}"


def opening_line(plan: Plan, slots: Sequence[Slot], *, shared: str = "") -> str:
    """The plan in one line; `shared` is what the labels of all cells have."""
    total, left = len(plan.items), len(plan.left)
    if not total:
        return "No cell is in such a state: nothing to train."
    if not left and not plan.states["running"]:
        return f"{_over(total, plan.states[DISCARDED])}: nothing to train."
    about = f"about {duration(plan.seconds)}" + ("" if set(plan.bases) <= {"measured"} else ", a rough estimate")
    named = f" of {shared}" if shared else ""
    return f"{left} of {count(total, 'cell')}{named} to train on {count(len(slots), f'{slots[0].kind} slot')}: {about}"


def _over(total: int, discarded: int) -> str:
    """`All 30 cells are done`, where none is left to train."""
    if 0 < discarded < total:
        return f"{total - discarded:,} of {total:,} cells are done, {discarded:,} discarded"
    state = "discarded" if discarded else "done"
    return f"The cell is {state}" if total == 1 else f"All {total:,} cells are {state}"


def print_plan(plan: Plan) -> None:
    """The dry run: states, cells, time and disk. What all cells share is in the heading, the rest in columns."""
    items = plan.items[:_SHOWN]
    labels = Labels(item.cell for item in plan.items)
    further = [n for n in differing([item.cell for item in items]) if n not in ("optimizer", "lr", "epochs")]
    titles = ("cell", "configuration", "state", "lr", *further, "epochs", "time")
    rows = [
        (
            item.cell.short,
            labels.of(item.cell),
            item.state,
            plain(item.cell.lr),
            *(field_value(item.cell, field) for field in further),
            f"{item.epochs_done}/{item.cell.epochs}",
            duration(item.seconds) if item.left else "",
        )
        for item in items
    ]
    alike = [n for n in ("state", "lr", "epochs") if len(rows) > 1 and len({row[titles.index(n)] for row in rows}) == 1]
    shared = [*([labels.shared] if labels.shared else []), *(f"{n} {rows[0][titles.index(n)]}" for n in alike)]
    if shared:
        say(f"All: {', '.join(shared)}")
    kept = [place for place, name in enumerate(titles) if name not in alike]
    print_table(
        [titles[place] for place in kept],
        [[row[place] for place in kept] for row in rows],
        left=("cell", "configuration", "state"),
    )
    if len(plan.items) > _SHOWN:
        say(f"... and {len(plan.items) - _SHOWN} more")
    states = ", ".join(f"{number} {state}" for state, number in plan.states.items())
    say(f"{count(len(plan.items), 'cell')}: {states}")
    hardware = f" of {plan.times.hardware}" if plan.times.hardware else ""
    say(f"To train: {len(plan.left)}, on {count(plan.slots, 'slot')}{hardware}")
    about = "at least" if plan.bases["floor"] else "about"
    say(f"Time: {about} {duration(plan.seconds)}")
    for line in basis_lines(plan) if plan.left else ():
        say(line)
    say(f"Disk: about {size(plan.disk_bytes)} of checkpoints")


def basis_lines(plan: Plan) -> list[str]:
    """On what the plan's time rests: nothing more to say of what was measured."""
    bases, source = plan.bases, plan.times.source
    if set(bases) <= {"measured"}:
        return ["  from epochs measured on this hardware"]
    texts: dict[Basis, str] = {
        "measured": "measured on this hardware",
        "scaled": "scaled by arithmetic from what was measured on this hardware",
        "arithmetic": "by arithmetic alone: nothing of that model was measured on this hardware",
        "shipped": "measured on such a device",
        "shipped and scaled": "scaled by layers or peaks from BP, DFA or ASAP on ResNet-18, measured on such a device",
        "floor": "the least that the device's peaks allow: no measurement of such a device is known",
    }
    lines = [f"  {count(bases[one], 'cell')}: {text}" for one, text in texts.items() if bases[one]]
    is_shipped = bool(bases.keys() & {"shipped", "shipped and scaled"})
    return ["  a rough estimate", *lines, *([f"  measurements: {source}"] if is_shipped else [])]


def given(db: str) -> str:
    """The options `--plugin` and `--db` that a command to paste needs."""
    return f"{plugins.options()}{db_option(db)}"


def closing_lines(outcome: Outcome, selected: Sequence[Selected], request: Request) -> tuple[int, list[str]]:
    """The exit status, and the lines at the end of a run: its outcome and the next command."""
    names = [] if request.leaves_out else [item.name for item in selected]
    again = f"{shlex.join(['asapbench', 'resume', *names])}{given_again(request)}"
    reports = [f"asapbench report --suite {shlex.quote(item.name)}{given(request.db)}" for item in selected]
    return closing(outcome, request, again=again, reports=reports)


def closing(outcome: Outcome, request: Request, *, again: str, reports: Sequence[str]) -> tuple[int, list[str]]:
    """As `closing_lines`: `again` is the command that continues, `reports` are those that show the results."""
    options = given(request.db)
    lines = []
    if outcome.ended:
        counted = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in sorted(outcome.ended.items()))
        lines.append(f"Ended: {counted}")
    if outcome.in_other_runs:
        lines.append(f"{count(outcome.in_other_runs, 'cell')} left to another run of this database")
    lines += [f"{count(number, 'cell')} left out: {fault}" for fault, number in outcome.left_out.items()]
    lines += [f"The results are complete in the database; {fault}" for fault in outcome.failed_sinks]
    if outcome.reason != "finished":
        lines.append(f"Stopped ({outcome.reason}). To resume: {again}")
        return (1 if outcome.reason == "failures" else 3), lines
    if outcome.ended["failed"] + outcome.ended["out_of_memory"] + outcome.ended["interrupted"]:
        lines.append(f"What failed: asapbench status{options}; to retry: {again}")
        return 1, lines
    if outcome.left_out:
        return 1, [*lines, f"To retry: {again}"]
    return 0, [*lines, *(f"The results: {command}" for command in reports)]


def given_again(request: Request) -> str:
    """The options of this run that its continuation needs too."""
    words: list[str] = []
    for text in request.filters:
        words += ["--only", text]
    if request.only_states:
        # A cell that was started and stopped is interrupted now, whatever its state was before.
        words += ["--only-state", ",".join(dict.fromkeys((*request.only_states, "interrupted")))]
    words += [*settings.words(request.run), *settings.words(request.training)]
    return "".join(f" {shlex.quote(word)}" for word in words) + given(request.db)
