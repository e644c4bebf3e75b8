"""`run`, `resume` and `rerun`: train what is not done yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asapbench.cli.options import (
    Address,
    Alignment,
    CheckpointEvery,
    Data,
    Db,
    Deterministic,
    Device,
    DryRun,
    Executor,
    FailFast,
    KeepWeights,
    Only,
    Seeds,
    Set,
    Slots,
    Threads,
    TimeLimit,
    seconds,
)
from asapbench.store import DEFAULT_URL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asapbench.scheduling.launch import Request, Selected
    from asapbench.store import Store

Suites = Annotated[list[str], typer.Argument(metavar="SUITE...", help="Suite files, or names of shipped suites.")]
Recorded = Annotated[
    list[str] | None, typer.Argument(metavar="[SUITE]...", help="Suites that the database knows. [default: all]")
]


def run(
    suites: Suites,
    only: Only = None,
    set_: Set = None,
    seeds: Seeds = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    data: Data = None,
    device: Device = "auto",
    slots: Slots = None,
    threads: Threads = 1,
    executor: Executor = "local",
    address: Address = None,
    time_limit: TimeLimit = None,
    checkpoint_every: CheckpointEvery = "2m",
    keep_weights: KeepWeights = False,
    alignment: Alignment = False,
    fail_fast: FailFast = False,
    deterministic: Deterministic = True,
) -> None:
    """Train every cell of the suites that is not done yet.

    A second run trains nothing. Stop it with Ctrl-C whenever you like: `asapbench resume` goes on from there.
    """
    from asapbench.scheduling.launch import select

    request = _request(
        db=db,
        filters=only or (),
        settings=set_ or (),
        seeds=seeds,
        data=data,
        device=device,
        slots=slots,
        threads=threads,
        executor=executor,
        address=address,
        time_limit=time_limit,
        checkpoint_every=checkpoint_every,
        keep_weights=keep_weights,
        alignment=alignment,
        fail_fast=fail_fast,
        deterministic=deterministic,
    )
    selected = [select(suite, request) for suite in suites]
    if dry_run:
        _dry_run(selected, request)
    else:
        from asapbench.store import Store

        with Store.open(db) as store:
            _train(store, selected, request)


def resume(
    suites: Recorded = None,
    only: Only = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    data: Data = None,
    device: Device = "auto",
    slots: Slots = None,
    threads: Threads = 1,
    executor: Executor = "local",
    address: Address = None,
    time_limit: TimeLimit = None,
    checkpoint_every: CheckpointEvery = "2m",
    keep_weights: KeepWeights = False,
    alignment: Alignment = False,
    fail_fast: FailFast = False,
    deterministic: Deterministic = True,
) -> None:
    """Go on exactly where interrupted runs stopped: every suite the database knows, or those named."""
    from asapbench.scheduling.launch import recorded
    from asapbench.store import Store

    request = _request(
        db=db,
        filters=only or (),
        data=data,
        device=device,
        slots=slots,
        threads=threads,
        executor=executor,
        address=address,
        time_limit=time_limit,
        checkpoint_every=checkpoint_every,
        keep_weights=keep_weights,
        alignment=alignment,
        fail_fast=fail_fast,
        deterministic=deterministic,
    )
    with Store.read_only(db) as reader:
        selected = recorded(reader, suites or (), request)
    if dry_run:
        _dry_run(selected, request)
        return
    with Store.open(db) as store:
        _train(store, selected, request)


def rerun(
    suites: Recorded = None,
    only: Only = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    data: Data = None,
    device: Device = "auto",
    slots: Slots = None,
    threads: Threads = 1,
    executor: Executor = "local",
    address: Address = None,
    time_limit: TimeLimit = None,
    checkpoint_every: CheckpointEvery = "2m",
    keep_weights: KeepWeights = False,
    alignment: Alignment = False,
    fail_fast: FailFast = False,
    deterministic: Deterministic = True,
) -> None:
    """Set the results of chosen cells aside and train them again. Nothing is deleted.

    Name suites or --only (or both): a rerun of everything must be asked for suite by suite.
    """
    from asapbench.cli.progress import print_plan
    from asapbench.cli.text import count
    from asapbench.errors import SuiteError
    from asapbench.scheduling.launch import plan, recorded
    from asapbench.store import Store

    if not suites and not only:
        raise SuiteError("rerun: name a suite, or cells with --only, as in --only rule=asap")
    request = _request(
        db=db,
        filters=only or (),
        data=data,
        device=device,
        slots=slots,
        threads=threads,
        executor=executor,
        address=address,
        time_limit=time_limit,
        checkpoint_every=checkpoint_every,
        keep_weights=keep_weights,
        alignment=alignment,
        fail_fast=fail_fast,
        deterministic=deterministic,
    )
    with Store.read_only(db) as reader:
        selected = recorded(reader, suites or (), request)
    if dry_run:
        cells = {cell.id for item in selected for cell in item.cells}
        typer.echo(f"The results of {count(len(cells), 'cell')} would be set aside, and these trained again:")
        print_plan(plan(None, selected, request))
        return
    with Store.open(db) as store:
        _train(store, selected, request, set_aside=True)


def _request(*, time_limit: str | None, checkpoint_every: str, **options: Any) -> Request:
    """The request that the options make, their times read."""
    from asapbench.scheduling.launch import Request

    return Request(
        time_limit=None if time_limit is None else seconds(time_limit, option="--time-limit"),
        checkpoint_seconds=seconds(checkpoint_every, option="--checkpoint-every"),
        **options,
    )


def _dry_run(selected: Sequence[Selected], request: Request) -> None:
    from asapbench.cli.progress import print_plan
    from asapbench.errors import NoDatabaseError
    from asapbench.scheduling.launch import plan
    from asapbench.store import Store

    try:
        store: Store | None = Store.read_only(request.db)
    except NoDatabaseError:
        store = None
    try:
        print_plan(plan(store, selected, request))
    finally:
        if store is not None:
            store.close()


def _train(store: Store, selected: Sequence[Selected], request: Request, *, set_aside: bool = False) -> None:
    from asapbench.cli.progress import closing_lines, open_view
    from asapbench.scheduling.launch import run as train

    with open_view() as view:
        outcome = train(store, selected, request, view=view.begin, set_aside=set_aside)
    status, lines = closing_lines(outcome, selected, request)
    for line in lines:
        typer.echo(line)
    raise typer.Exit(status)
