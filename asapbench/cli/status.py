"""`status`: what is done, running, failed, left; time to finish."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Db
from asapbench.cli.settings import with_settings
from asapbench.cli.text import duration, print_table, say
from asapbench.running.settings import RunSettings
from asapbench.store import DEFAULT_URL
from asapbench.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asapbench.running.plan import Item


@with_settings(only=("device", "slots"))
def status(
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="SUITE", help="Suites that the database knows. [default: all]")
    ] = None,
    cells: Annotated[bool, typer.Option("--cells", help="List every cell, not only those with a problem.")] = False,
    db: Db = DEFAULT_URL,
    *,
    settings: RunSettings,
    training: TrainingSettings,
) -> None:
    """Show what is done, running, failed and left; time to finish.

    Example: asapbench status quickstart
    """
    from asapbench.running.launch import plan
    from asapbench.running.selection import Request, recorded
    from asapbench.store import Store, db_option
    from asapbench.suite import plugins

    request = Request(db=db, run=settings, training=training)
    with Store.read_only(db) as store:
        found = recorded(store, suites or (), request)
        plans = {item.name: plan(store, [item], request) for item in found if item.cells}
    shown = ("done", "diverged", "running", "interrupted", "failed", "out_of_memory", "pending", "discarded")
    used = [state for state in shown if any(the_plan.states[state] for the_plan in plans.values())]
    print_table(
        ("suite", "cells", *(state.replace("_", " ") for state in used), "time left"),
        [
            (
                name,
                str(len(the_plan.items)),
                *(str(the_plan.states[state] or "") for state in used),
                duration(the_plan.seconds) if the_plan.left else "",
            )
            for name, the_plan in plans.items()
        ],
        left=("suite",),
    )
    _print_cells([item for the_plan in plans.values() for item in the_plan.items], all_cells=cells)
    for item in found:
        if item.unreadable:
            say(f"{item.name}: {plugins.lacking(item.unreadable)}")
    if any(the_plan.left for the_plan in plans.values()):
        say(f"To resume: {shlex.join(['asapbench', 'resume', *(suites or ())])}{plugins.options()}{db_option(db)}")


def _print_cells(items: Sequence[Item], *, all_cells: bool) -> None:
    """A line for each cell, or for each that is running, failed or diverged."""
    from asapbench.suite.columns import distinct_labels

    shown = [item for item in items if all_cells or item.state in ("running", "failed", "out_of_memory", "diverged")]
    labels = distinct_labels(item.cell for item in items) if shown else {}
    for item in shown:
        epochs = f"epoch {item.epochs_done}/{item.cell.epochs}"
        say(f"  {item.cell.short}  {labels[item.cell.id]}: {item.state.replace('_', ' ')}, {epochs}")
