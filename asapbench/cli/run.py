"""`run`, `resume` and `rerun`: train what is not done yet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Db, DryRun, Only, OnlyState, Seeds, Set, SetPlace, joined, states
from asapbench.cli.settings import with_settings
from asapbench.cli.text import count, printing_is_optional, say
from asapbench.running.settings import RunSettings
from asapbench.store import DEFAULT_URL
from asapbench.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asapbench.running.selection import Request, Selected
    from asapbench.store import Store

Suites = Annotated[list[str], typer.Argument(metavar="SUITE", help="Suite files, or names of shipped suites.")]
Recorded = Annotated[
    list[str] | None, typer.Argument(metavar="SUITE", help="Suites that the database knows. [default: all]")
]


@with_settings()
def run(
    suites: Suites,
    only: Only = None,
    set_: Set = None,
    seeds: Seeds = None,
    only_state: OnlyState = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    *,
    settings: RunSettings,
    training: TrainingSettings,
) -> None:
    """Train every cell of the suites that is not done yet.

    A second run trains nothing. Stop it with Ctrl-C at any time: `asapbench resume` continues from there.

    Example: asapbench run quickstart --only rule=bp,asap
    """
    from asapbench.errors import NoDatabaseError
    from asapbench.running.selection import Request, select
    from asapbench.store import Store

    request = Request(
        db=db,
        filters=only or (),
        changes=set_ or (),
        seeds=None if seeds is None else joined(seeds),
        only_states=states(only_state),
        run=settings,
        training=training,
    )
    selected = select(suites, request)
    if dry_run:
        try:
            with Store.read_only(db) as store:
                _print_dry_run(store, selected, request)
        except NoDatabaseError:
            _print_dry_run(None, selected, request)
    elif settings.executor == "slurm":
        hand_to_slurm(settings)
    else:
        with Store.open(db) as store:
            _train(store, selected, request)


@with_settings()
def resume(
    suites: Recorded = None,
    only: Only = None,
    set_: SetPlace = None,
    only_state: OnlyState = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    *,
    settings: RunSettings,
    training: TrainingSettings,
) -> None:
    """Continue exactly where interrupted runs stopped.

    Without a name: every suite that the database knows.

    Example: asapbench resume quickstart --time-limit 2h
    """
    from asapbench.running.selection import Request

    request = Request(
        db=db,
        filters=only or (),
        changes=set_ or (),
        only_states=states(only_state),
        leaves_out=not suites,
        run=settings,
        training=training,
    )
    _train_recorded(suites or (), request, dry_run=dry_run)


@with_settings()
def rerun(
    suites: Recorded = None,
    only: Only = None,
    set_: SetPlace = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    *,
    settings: RunSettings,
    training: TrainingSettings,
) -> None:
    """Supersede the results of chosen cells and train them again.

    Superseded results are no longer reported, but not deleted.

    Name suites or --only (or both): a rerun of everything names every suite.

    Example: asapbench rerun quickstart --only rule=asap
    """
    from asapbench.errors import SuiteError
    from asapbench.running.selection import Request

    if not suites and not only:
        raise SuiteError("rerun: name a suite, or cells with --only, as in --only rule=asap")
    if settings.executor == "slurm":
        # A job that is queued again would supersede its own results.
        raise SuiteError("rerun: --executor slurm is for run and resume")
    request = Request(db=db, filters=only or (), changes=set_ or (), run=settings, training=training)
    _train_recorded(suites or (), request, dry_run=dry_run, supersede=True)


def _train_recorded(suites: Sequence[str], request: Request, *, dry_run: bool, supersede: bool = False) -> None:
    """Trains recorded cells, those without a result or, with `supersede`, all; or prints what it would train."""
    from asapbench.running.selection import recorded
    from asapbench.store import Store

    if dry_run:
        with Store.read_only(request.db) as store:
            _print_dry_run(store, recorded(store, suites, request), request, supersede=supersede)
        return
    # Not opened for reading first: a database of an older version is upgraded here.
    with Store.existing(request.db) as store:
        selected = recorded(store, suites, request, load_plugins=say)
        if request.run.executor == "slurm":
            hand_to_slurm(request.run)
        else:
            _train(store, selected, request, supersede=supersede)


def hand_to_slurm(settings: RunSettings) -> None:
    """Hands this command line to Slurm."""
    from asapbench.running.slurm import submit, without_slurm

    printing_is_optional()
    job = submit(without_slurm(sys.argv[1:]), options=settings.slurm or (), folder=Path("results/slurm"))
    say(f"Slurm job {job.number}; what it prints: {job.log}")


def _print_dry_run(
    store: Store | None, selected: Sequence[Selected], request: Request, *, supersede: bool = False
) -> None:
    """Prints the plan, after the cells that a dry run cannot read: it loads no plug-in."""
    from asapbench.cli.progress import print_plan
    from asapbench.running.launch import notices, plan
    from asapbench.running.sinks.feed import check_sinks
    from asapbench.suite.plugins import lacking

    check_sinks(request.run)
    for item in selected:
        if item.unreadable:
            say(f"{item.name}: {lacking(item.unreadable)}")
        for plugin in item.plugins:
            say(f"{item.name}: without --dry-run, this command loads the plug-in {plugin}, which the database names")
    cells = {cell.id for item in selected for cell in item.cells}
    if not cells and any(item.unreadable for item in selected):
        return
    if supersede:
        say(f"The results of {count(len(cells), 'cell')} would be superseded, and these cells trained again:")
    print_plan(plan(store, selected, request, supersede=supersede))
    for line in notices(store, selected, request, supersede=supersede) if store is not None else ():
        say(line)


def _train(store: Store, selected: Sequence[Selected], request: Request, *, supersede: bool = False) -> None:
    """Trains, prints how the run ended, and exits with its status."""
    from asapbench.cli.progress import closing_lines, given, open_view
    from asapbench.running.launch import run as train

    printing_is_optional()
    with open_view(given(request.db)) as view:
        outcome = train(store, selected, request, view=view, supersede=supersede)
    status, lines = closing_lines(outcome, selected, request)
    for line in lines:
        say(line)
    raise typer.Exit(status)
