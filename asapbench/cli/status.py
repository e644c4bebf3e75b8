"""`status`: what is done, running, failed, left; which runs are live; time to finish; once, or again and again."""

from __future__ import annotations

import functools
import math
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Db, seconds
from asapbench.cli.settings import with_settings
from asapbench.cli.text import count, duration, say, table_lines
from asapbench.errors import AsapbenchError, SuiteError
from asapbench.escape import printable
from asapbench.running.settings import RunSettings
from asapbench.store import DEFAULT_URL
from asapbench.streams import is_terminal
from asapbench.training.settings import TrainingSettings

if TYPE_CHECKING:
    from asapbench.running.overview import InTraining, LiveRun, Overview, SuiteOverview
    from asapbench.running.selection import Request
    from asapbench.store.overview import RecordedCell
    from asapbench.store.store import Store

_EVERY_SECONDS = {True: 2.0, False: 30.0}
"""Between two looks of `--watch`, on a terminal and in other output."""


@with_settings(only=("device", "slots"))
def status(
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="SUITE", help="Suites that the database knows. [default: all]")
    ] = None,
    cells: Annotated[bool, typer.Option("--cells", help="List every cell, not only those with a problem.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="TIME", help="Between two looks of --watch. [default: 2s, in a pipe 30s]"),
    ] = None,
    db: Db = DEFAULT_URL,
    *,
    settings: RunSettings,
    training: TrainingSettings,
) -> None:
    """Show what is done, running, failed and left; time to finish.

    Example: asapbench status quickstart --watch
    """
    from asapbench.running.executors import planned_slots
    from asapbench.running.overview import Heartbeats, overview
    from asapbench.running.selection import Request
    from asapbench.store import Store

    pause = _EVERY_SECONDS[is_terminal(sys.stdout)] if every is None else seconds(every, "--every")
    heartbeats, here = Heartbeats(), functools.cache(lambda: planned_slots(settings, training))

    def look() -> Overview:
        with Store.read_only(db) as store:
            return overview(store, suites or (), here, heartbeats=heartbeats)

    def lines(found: Overview, width: float) -> list[str]:
        return [*_lines(found, width), *_next_command(found, suites or (), db)]

    if watch:
        if cells:
            raise SuiteError("--cells lists cells once: leave it or --watch out")
        _watch(look, lines, pause=pause)
        return
    found, width = look(), shutil.get_terminal_size().columns if is_terminal(sys.stdout) else math.inf
    if not cells:
        shown = lines(found, width)
    else:
        shown = _lines(replace(found, training=(), problems=(), further_problems=0), width)
    for line in shown:
        say(line)
    if cells:
        with Store.read_only(db) as store:
            _print_cells(store, suites or (), Request(db=db, run=settings, training=training))
        for line in _next_command(found, suites or (), db):
            say(line)


def _watch(look: Callable[[], Overview], lines: Callable[[Overview, float], list[str]], *, pause: float) -> None:
    """Shows what `look` finds, refreshed on a terminal, block after block in other output. Ctrl-C ends it.

    Only the first look may fail: later the database may be locked or away for a while.
    """
    found = look()
    try:
        if is_terminal(sys.stdout):
            _refresh(found, look, lines, pause=pause)
        else:
            _repeat(found, look, lines, pause=pause)
    except KeyboardInterrupt:
        return


def _repeat(
    found: Overview, look: Callable[[], Overview], lines: Callable[[Overview, float], list[str]], *, pause: float
) -> None:
    fault = ""
    while True:
        say(f"{time.strftime('%H:%M:%S')}{fault}")
        for line in [] if fault else lines(found, math.inf):
            say(line)
        say("")
        time.sleep(pause)
        found, fault = _looked(look, found)


def _refresh(
    found: Overview, look: Callable[[], Overview], lines: Callable[[Overview, float], list[str]], *, pause: float
) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console, fault = Console(highlight=False), ""

    def drawn() -> Text:
        head = f"{time.strftime('%H:%M:%S')}, every {duration(pause)}; Ctrl-C ends this{fault}"
        shown = [head, "", *lines(found, console.width)]
        room = max(console.height - 1, 2)
        if len(shown) > room:
            shown = [*shown[: room - 1], f"... and {count(len(shown) - room + 1, 'more line')}"]
        return Text("\n".join(map(printable, shown)), no_wrap=True, overflow="ellipsis")

    with Live(drawn(), console=console, auto_refresh=False) as live:
        while True:
            live.update(drawn(), refresh=True)
            time.sleep(pause)
            found, fault = _looked(look, found)


def _looked(look: Callable[[], Overview], before: Overview) -> tuple[Overview, str]:
    """What `look` finds, and no fault; what was found before, and why it cannot be read now."""
    try:
        return look(), ""
    except AsapbenchError as error:
        return before, f" (as it was before: {error})"


def _lines(found: Overview, width: float) -> list[str]:
    """Everything below the time: counts, live runs, cells in training, cells with a problem."""
    from asapbench.suite import plugins
    from asapbench.suite.columns import Labels

    recorded = [*(one.recorded for one in found.training), *(one.recorded for one in found.problems)]
    shown = [one.cell for one in recorded]
    labels = Labels(cell for cell in shown if cell is not None)
    lines = _counts(found.suites, width)
    lines += ["", *map(_live, found.runs)] if found.runs else []
    if found.seconds is not None and (found.runs or len(found.suites) > 1):
        lines.append(f"Time left: about {duration(found.seconds)}")
    if shown and labels.shared:
        lines += ["", f"The cells below: {labels.shared}"]

    def named(recorded: RecordedCell) -> str:
        return f"  {recorded.id[:10]}  {recorded.label if recorded.cell is None else labels.of(recorded.cell)}"

    lines += [f"{named(one.recorded)}: {_position(one)}" for one in found.training]
    for one in found.problems:
        state = one.attempt.state.replace("_", " ")
        lines.append(f"{named(one.recorded)}: {state}, epoch {one.attempt.epochs_done}/{one.epochs}")
    if found.further_problems:
        lines.append(f"  ... and {count(found.further_problems, 'more cell')} with a problem")
    return [*lines, *(f"{one.name}: {plugins.lacking(one.unreadable)}" for one in found.suites if one.unreadable)]


def _counts(suites: Sequence[SuiteOverview], width: float) -> list[str]:
    """The table of states."""
    from asapbench.running.overview import STATES

    used = [state for state in STATES if any(suite.states[state] for suite in suites)]
    rows = [
        (
            suite.name,
            str(suite.states.total()),
            *(str(suite.states[state] or "") for state in used),
            "" if suite.seconds is None else duration(suite.seconds),
        )
        for suite in suites
        if suite.states.total() or not suite.unreadable
    ]
    titles = ("suite", "cells", *(state.replace("_", " ") for state in used), "time left")
    return table_lines(titles, rows, left=("suite",), width=width)


def _live(run: LiveRun) -> str:
    """A live run, and how that is known."""
    where = f"pid {run.pid} on {run.host}"
    heard = "" if run.heartbeat is None else f", last sign of life {duration(run.heartbeat)} ago"
    if not run.cells:
        return f"A run is live: {where}, between two cells"
    what = f"{count(run.cells, 'cell')} in training on {run.kind}"
    if run.is_seen:
        return f"A run is live: {where}, {what}{heard}"
    unseen = heard or "; it cannot be seen from here, --watch shows whether it is alive"
    return f"Marked as running: {where}, {what}{unseen}"


def _position(one: InTraining) -> str:
    epoch = min(int(one.position) + 1, one.epochs)
    left = "" if one.seconds is None else f", about {duration(one.seconds)} left"
    return f"running, epoch {epoch}/{one.epochs}{left}"


def _next_command(found: Overview, suites: Sequence[str], db: str) -> list[str]:
    """The command that trains what is left, unless a run is live."""
    from asapbench.store import db_option
    from asapbench.suite import plugins

    if found.runs or found.seconds is None:
        return []
    return [f"To resume: {shlex.join(['asapbench', 'resume', *suites])}{plugins.options()}{db_option(db)}"]


def _print_cells(store: Store, suites: Sequence[str], request: Request) -> None:
    """A line for each cell."""
    from asapbench.running.launch import plan
    from asapbench.running.selection import recorded
    from asapbench.suite.columns import distinct_labels

    found = [item for item in recorded(store, suites, request) if item.cells]
    items = plan(store, found, request).items if found else ()
    labels = distinct_labels(item.cell for item in items)
    for item in items:
        epochs = f"epoch {item.epochs_done}/{item.cell.epochs}"
        say(f"  {item.cell.short}  {labels[item.cell.id]}: {item.state.replace('_', ' ')}, {epochs}")
