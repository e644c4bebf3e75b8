"""`tune`: the same search of settings for every rule, then its best settings under new seeds."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Db, DryRun, Only, Seeds, Set, joined
from asapbench.cli.settings import with_settings
from asapbench.cli.text import count, duration, percent, print_table, printing_is_optional, say
from asapbench.errors import NoDatabaseError
from asapbench.running.settings import RunSettings
from asapbench.store import DEFAULT_URL
from asapbench.training.settings import TrainingSettings

if TYPE_CHECKING:
    from asapbench.analysis.trials import Trial
    from asapbench.running.selection import Request
    from asapbench.running.tuning import Phase, Search
    from asapbench.store import Store
    from asapbench.suite.tuning import Study

_Suite = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file with [tune], or a shipped suite's name.")]
_Trials = Annotated[
    int | None, typer.Option("--trials", min=1, metavar="N", help="Trials of each rule, instead of the suite's.")
]


@with_settings()
def tune(
    suite: _Suite,
    only: Only = None,
    set_: Set = None,
    seeds: Seeds = None,
    trials: _Trials = None,
    dry_run: DryRun = False,
    db: Db = DEFAULT_URL,
    *,
    settings: RunSettings,
    training: TrainingSettings,
) -> None:
    """Tune every rule equally, then train it at its best values.

    Trials hold examples out and are chosen on them alone. Stop it at any time: the same command continues the search.

    Example: asapbench tune tuned_cpu --only rule=bp,asap
    """
    from asapbench.cli.run import hand_to_slurm
    from asapbench.running.selection import Request
    from asapbench.running.tuning import search
    from asapbench.store import Store
    from asapbench.suite.load import load
    from asapbench.suite.select import data_path

    request = Request(
        db=db,
        filters=only or (),
        changes=set_ or (),
        seeds=None if seeds is None else joined(seeds),
        run=settings,
        training=training,
    )
    wanted = search(load(suite, data_path=data_path(request.changes)), request, trials=trials)
    if dry_run:
        _print_dry_run(wanted, request)
    elif settings.executor == "slurm":
        hand_to_slurm(settings)
    else:
        with Store.open(db) as store:
            _tune(store, suite, wanted, request, trials=trials)


def _tune(store: Store, suite: str, wanted: Search, request: Request, *, trials: int | None) -> None:
    from asapbench.cli.progress import closing, given, given_again, open_view
    from asapbench.running.tuning import tune as train

    printing_is_optional()
    announce = partial(_announce, wanted=wanted)
    outcome = train(store, wanted, request, open_view=lambda: open_view(given(request.db)), announce=announce)
    changed = [word for text in request.changes for word in ("--set", text)]
    changed += [] if request.seeds is None else ["--seeds", request.seeds]
    changed += [] if trials is None else ["--trials", str(trials)]
    again = shlex.join(["asapbench", "tune", suite, *changed]) + given_again(request)
    report = f"asapbench report --tuned {shlex.quote(wanted.suite.name)}{given(request.db)}"
    status, lines = closing(outcome, request, again=again, reports=[report])
    for line in lines:
        say(line)
    raise typer.Exit(status)


def _announce(phase: Phase, *, wanted: Search) -> None:
    """Prints which phase begins; before the finals, the best trial of each study."""
    whole = sum(phase.trials.values())
    if phase.kind == "trials":
        say(f"Trials: {phase.ended} of {whole} have ended; the suite's own cells train beside them")
        return
    for study, trial in phase.best:
        say(f"{study.label}: {_best_text(trial, phase.trials[study])}")
    for study in unended(wanted, phase):
        say(f"{study.label}: not all of its trials have ended: no finals")
    if any(trial is not None for _, trial in phase.best):
        say("Finals: the best settings under the seeds of the suite")


def unended(wanted: Search, phase: Phase) -> Iterator[Study]:
    """The studies that have no finals, as trials of them failed."""
    ended = {study for study, _ in phase.best}
    return (study for study in wanted.studies if study not in ended)


def _best_text(trial: Trial | None, trials: int) -> str:
    from asapbench.suite.cell import plain

    if trial is None:
        return f"none of its {count(trials, 'trial')} has a result: no finals"
    values = ", ".join(f"{key} {plain(value)}" for key, value in trial.values.items())
    return f"best of {count(trials, 'trial')}: {values}, validation {percent(trial.accuracy)}"


def _print_dry_run(wanted: Search, request: Request) -> None:
    """Prints the cells of each kind and their time. Which values later trials have is known when they are asked for."""
    from asapbench.cli.progress import basis_lines
    from asapbench.running.launch import plan
    from asapbench.running.tuning import expected
    from asapbench.store import Store

    with ExitStack() as opened:
        store = None
        with suppress(NoDatabaseError):
            store = opened.enter_context(Store.read_only(request.db))
        kinds = expected(store, wanted)
        plans = {kind: plan(store, [item], request) for kind, item in kinds.items()}
        together = plan(store, list(kinds.values()), request)
    tuning = wanted.tuning
    say(f"{wanted.suite.title}: studies: {len(wanted.studies)}; trials of each: {tuning.trials}, {tuning.sampler}")
    print_table(
        ("cells", "all", "to train", "time"),
        [
            (kind, f"{len(one.items)}", f"{len(one.left)}", duration(one.seconds) if one.left else "")
            for kind, one in plans.items()
        ],
        left=("cells",),
    )
    say(f"Time: about {duration(together.seconds)} on {count(together.slots, 'slot')}")
    for line in basis_lines(together) if together.left else ():
        say(line)
