"""`run`, `resume` and `rerun`: train what is not done yet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from asapbench.cli.options import (
    Db,
    DryRun,
    Only,
    OnlyState,
    Seeds,
    Set,
    Training,
    joined,
    seconds,
    slot_count,
    states,
    with_training_options,
)
from asapbench.cli.text import printing_is_optional, say
from asapbench.store import DEFAULT_URL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asapbench.running.launch import Request, Selected
    from asapbench.store import Store

Suites = Annotated[list[str], typer.Argument(metavar="SUITE...", help="Suite files, or names of shipped suites.")]
Recorded = Annotated[
    list[str] | None, typer.Argument(metavar="[SUITE]...", help="Suites that the database knows. [default: all]")
]


@with_training_options
def run(
    suites: Suites,
    only: Only = None,
    set_: Set = None,
    seeds: Seeds = None,
    only_state: OnlyState = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    *,
    training: Training,
) -> None:
    """Train every cell of the suites that is not done yet.

    A second run trains nothing. Stop it with Ctrl-C at any time: `asapbench resume` continues from there.
    """
    from asapbench.running.launch import select

    request = _request(
        training,
        db=db,
        filters=only or (),
        settings=set_ or (),
        seeds=None if seeds is None else joined(seeds),
        only_states=states(only_state),
    )
    selected = select(suites, request)
    if dry_run:
        _dry_run(selected, request)
    elif training.executor == "slurm":
        _submit(training)
    else:
        from asapbench.store import Store

        with Store.open(db) as store:
            _train(store, selected, request)


@with_training_options
def resume(
    suites: Recorded = None,
    only: Only = None,
    only_state: OnlyState = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    *,
    training: Training,
) -> None:
    """Continue exactly where interrupted runs stopped.

    Without a name: every suite that the database knows.
    """
    from asapbench.running.launch import recorded
    from asapbench.store import Store

    request = _request(training, db=db, filters=only or (), only_states=states(only_state))
    # Not opened for reading first: a database of an older version is upgraded here.
    with Store.read_only(db) if dry_run else Store.existing(db) as store:
        selected = recorded(store, suites or (), request)
        if not dry_run and training.executor != "slurm":
            _train(store, selected, request)
    if dry_run:
        _dry_run(selected, request)
    else:
        _submit(training)


@with_training_options
def rerun(
    suites: Recorded = None,
    only: Only = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    *,
    training: Training,
) -> None:
    """Supersede the results of chosen cells and train them again.

    Nothing is deleted. Name suites or --only (or both): to rerun everything, name every suite.
    """
    from asapbench.cli.progress import print_plan
    from asapbench.cli.text import count
    from asapbench.errors import SuiteError
    from asapbench.running.launch import plan, recorded
    from asapbench.store import Store

    if not suites and not only:
        raise SuiteError("rerun: name a suite, or cells with --only, as in --only rule=asap")
    if training.executor == "slurm":
        # A job that is queued again would set its own results aside.
        raise SuiteError("rerun: --executor slurm is for run and resume")
    request = _request(training, db=db, filters=only or ())
    with Store.read_only(db) if dry_run else Store.existing(db) as store:
        selected = recorded(store, suites or (), request)
        if not dry_run:
            _train(store, selected, request, set_aside=True)
    cells = {cell.id for item in selected for cell in item.cells}
    say(f"The results of {count(len(cells), 'cell')} would be set aside, and these trained again:")
    print_plan(plan(None, selected, request))


def _request(given: Training, *, db: str, **chosen: Any) -> Request:
    """The request that the options make, with what is written as text read."""
    from asapbench.errors import SuiteError
    from asapbench.running.launch import Request

    if given.address is not None and given.executor != "ray":
        raise SuiteError(f"--address {given.address}: belongs to --executor ray")
    if given.slurm and given.executor != "slurm":
        raise SuiteError(f"--slurm {given.slurm[0]}: belongs to --executor slurm")
    every = given.checkpoint_every
    return Request(
        db=db,
        data=given.data,
        files=given.files,
        device=given.device,
        executor=given.executor,
        address=given.address,
        slots=slot_count(given.slots),
        threads=given.threads,
        time_limit=None if given.time_limit is None else seconds(given.time_limit, option="--time-limit"),
        checkpoint_seconds=None if every == "auto" else seconds(every, option="--checkpoint-every"),
        keep_weights=given.keep_weights,
        alignment=given.alignment,
        retries=given.retries,
        max_failures=1 if given.fail_fast else given.max_failures,
        hang_seconds=seconds(given.hang_after, option="--hang-after"),
        deterministic=given.deterministic,
        compiled=given.compiled,
        cuda_graphs=given.cuda_graphs,
        **chosen,
    )


def _submit(training: Training) -> None:
    """Hands this command line to Slurm."""
    from asapbench.running.slurm import submit, without_slurm

    printing_is_optional()
    job = submit(without_slurm(sys.argv[1:]), options=training.slurm or (), folder=Path("results/slurm"))
    say(f"Slurm job {job.number}; what it prints: {job.log}")


def _dry_run(selected: Sequence[Selected], request: Request) -> None:
    from asapbench.cli.progress import print_plan
    from asapbench.errors import NoDatabaseError
    from asapbench.running.launch import other_files, plan
    from asapbench.store import Store

    try:
        store: Store | None = Store.read_only(request.db)
    except NoDatabaseError:
        store = None
    try:
        print_plan(plan(store, selected, request))
        for line in other_files(store, selected) if store is not None else ():
            say(line)
    finally:
        if store is not None:
            store.close()


def _train(store: Store, selected: Sequence[Selected], request: Request, *, set_aside: bool = False) -> NoReturn:
    """Trains, says how it ended, and exits with the status of that."""
    from asapbench.cli.progress import closing_lines, open_view
    from asapbench.running.launch import run as train

    printing_is_optional()
    with open_view() as view:
        outcome = train(store, selected, request, view=view.begin, set_aside=set_aside)
    status, lines = closing_lines(outcome, selected, request)
    for line in lines:
        say(line)
    raise typer.Exit(status)
