"""`run`, `resume` and `rerun`: train what is not done yet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Db, DryRun, Only, OnlyState, Seeds, Set, SetPlace, joined, states
from asapbench.cli.settings import with_settings
from asapbench.cli.text import printing_is_optional, say
from asapbench.running.settings import RunSettings
from asapbench.store import DEFAULT_URL
from asapbench.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asapbench.running.selection import Request, Selected
    from asapbench.store import Store

Suites = Annotated[list[str], typer.Argument(metavar="SUITE...", help="Suite files, or names of shipped suites.")]
Recorded = Annotated[
    list[str] | None, typer.Argument(metavar="[SUITE]...", help="Suites that the database knows. [default: all]")
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
    """
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
        _print_dry_run(selected, request)
        return
    if settings.executor == "slurm":
        _submit(settings)
        return
    with Store.open(db) as store:
        status = _train(store, selected, request)
    raise typer.Exit(status)


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
    """
    from asapbench.running.selection import Request, recorded
    from asapbench.store import Store

    request = Request(
        db=db,
        filters=only or (),
        changes=set_ or (),
        only_states=states(only_state),
        leaves_out=not suites,
        run=settings,
        training=training,
    )
    if dry_run:
        with Store.read_only(db) as store:
            selected = recorded(store, suites or (), request)
        _print_dry_run(selected, request)
        return
    # Not opened for reading first: a database of an older version is upgraded here.
    with Store.existing(db) as store:
        selected = recorded(store, suites or (), request, load_plugins=say)
        if settings.executor == "slurm":
            _submit(settings)
            return
        status = _train(store, selected, request)
    raise typer.Exit(status)


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
    """
    from asapbench.errors import SuiteError
    from asapbench.running.selection import Request, recorded
    from asapbench.store import Store

    if not suites and not only:
        raise SuiteError("rerun: name a suite, or cells with --only, as in --only rule=asap")
    if settings.executor == "slurm":
        # A job that is queued again would supersede its own results.
        raise SuiteError("rerun: --executor slurm is for run and resume")
    request = Request(db=db, filters=only or (), changes=set_ or (), run=settings, training=training)
    if dry_run:
        with Store.read_only(db) as store:
            selected = recorded(store, suites or (), request)
        _print_dry_rerun(selected, request)
        return
    with Store.existing(db) as store:
        status = _train(store, recorded(store, suites or (), request, load_plugins=say), request, supersede=True)
    raise typer.Exit(status)


def _submit(settings: RunSettings) -> None:
    """Hands this command line to Slurm."""
    from asapbench.running.slurm import submit, without_slurm

    printing_is_optional()
    job = submit(without_slurm(sys.argv[1:]), options=settings.slurm or (), folder=Path("results/slurm"))
    say(f"Slurm job {job.number}; what it prints: {job.log}")


def _print_dry_run(selected: Sequence[Selected], request: Request) -> None:
    from asapbench.cli.progress import print_plan
    from asapbench.errors import NoDatabaseError
    from asapbench.running.launch import plan
    from asapbench.running.selection import other_files
    from asapbench.store import Store

    if not _print_left_out(selected):
        return
    try:
        store = Store.read_only(request.db)
    except NoDatabaseError:
        print_plan(plan(None, selected, request))
        return
    with store:
        print_plan(plan(store, selected, request))
        for line in other_files(store, selected):
            say(line)


def _print_dry_rerun(selected: Sequence[Selected], request: Request) -> None:
    from asapbench.cli.progress import print_plan
    from asapbench.cli.text import count
    from asapbench.running.launch import plan

    if not _print_left_out(selected):
        return
    cells = {cell.id for item in selected for cell in item.cells}
    say(f"The results of {count(len(cells), 'cell')} would be superseded, and these cells trained again:")
    print_plan(plan(None, selected, request))


def _print_left_out(selected: Sequence[Selected]) -> bool:
    """Prints the cells that a dry run cannot read, for it loads no plug-in; returns whether there are others."""
    from asapbench.suite.plugins import lacking

    for item in selected:
        if item.unreadable:
            say(f"{item.name}: {lacking(item.unreadable)}")
        for plugin in item.plugins:
            say(f"{item.name}: without --dry-run, this command loads the plug-in {plugin}, which the database names")
    return any(item.cells for item in selected) or not any(item.unreadable for item in selected)


def _train(store: Store, selected: Sequence[Selected], request: Request, *, supersede: bool = False) -> int:
    """Trains and prints how the run ended; the exit status."""
    from asapbench.cli.progress import closing_lines, open_view
    from asapbench.running.launch import run as train

    printing_is_optional()
    with open_view() as view:
        outcome = train(store, selected, request, view=view, supersede=supersede)
    status, lines = closing_lines(outcome, selected, request)
    for line in lines:
        say(line)
    return status
