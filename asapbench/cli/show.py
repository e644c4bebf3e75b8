"""`show`: one cell: configuration, attempts, curves, error with traceback."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asapbench.cli.options import Db, with_measured
from asapbench.cli.text import percent, print_table, say
from asapbench.escape import visible
from asapbench.store import DEFAULT_URL
from asapbench.store.records import IS_MEASURED, MEASURED_URL

if TYPE_CHECKING:
    from asapbench.metrics import Alignment, EpochMetrics, GradientQuality
    from asapbench.store import Attempt, Provenance

_BARS = "▁▂▃▄▅▆▇█"


@with_measured
def show(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The first digits of a cell's identity.")],
    db: Db = DEFAULT_URL,
    all_epochs: Annotated[bool, typer.Option("--all-epochs", help="List every epoch, not twelve of them.")] = False,
) -> None:
    """Show one cell: configuration, attempts, learning curve, errors.

    Example: asapbench show 3f2a91
    """
    from asapbench.report.certified import certificates_of
    from asapbench.store import Store

    with Store.read_only(db) as store:
        cell_id = store.find_cell_id(cell)
        content = store.configuration(cell_id)
        attempts = store.attempts(cell_id)
        epochs = store.epochs(attempts[-1].lineage) if attempts else []
        angles = store.alignment(attempts[-1].lineage) if attempts else []
        qualities = store.gradient_quality(attempts[-1].lineage) if attempts else []
        discarded = store.discards(cell_ids=[cell_id]).get(cell_id)
        provenances = {attempt.id: store.provenance(attempt.provenance_id) for attempt in attempts}
        certificates = certificates_of(store, content)
    if db == MEASURED_URL:
        say(f"{IS_MEASURED}\n")
    _print_configuration(content, cell_id)
    if discarded is not None:
        reason = visible(discarded.reason or "no reason given")
        say(f"discarded      {discarded.decided_at[:19]}: {reason}; reports leave this cell out")
    _print_attempts(attempts, {attempt: _plugins(content, ran.versions) for attempt, ran in provenances.items()})
    if attempts:
        _print_provenance(provenances[attempts[-1].id])
    _print_epochs(epochs, all_epochs=all_epochs)
    _print_alignment(angles)
    _print_gradient_quality(qualities)
    for line in certificates:
        say(line)
    _print_errors(attempts)


def _print_configuration(content: dict[str, Any], cell_id: str) -> None:
    """Prints the stored configuration. The providers of its rule, model and data set need not be installed."""
    from asapbench.errors import SuiteError
    from asapbench.suite.cell import Cell

    try:
        cell = Cell.from_json(content)
        title, content = cell.label, cell.to_json()
    except SuiteError as error:
        title = str(error)
    say(f"{title}\n\ncell           {cell_id}")
    for field, value in content.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{name} = {option}" for name, option in value.items() if name != "name")
            say(f"{field:<14} {value.get('name')}{f' ({inner})' if inner else ''}")
        else:
            say(f"{field:<14} {value}")


def _plugins(content: dict[str, Any], versions: dict[str, str]) -> str:
    """The plug-ins of what the cell chooses; the cell may be one that cannot be read."""
    from asapbench.suite.plugins import shortened

    chosen = [f"{field} {value.get('name') if isinstance(value, dict) else value}" for field, value in content.items()]
    return ", ".join(dict.fromkeys(shortened(versions[key]) for key in chosen if key in versions))


def _print_attempts(attempts: Sequence[Attempt], plugins: dict[str, str]) -> None:
    if not attempts:
        say("\nno attempt yet")
        return
    say("\nattempts")
    rows = [
        (
            str(attempt.number),
            attempt.state,
            str(attempt.epochs_done),
            percent(attempt.last_test_accuracy),
            percent(attempt.best_test_accuracy),
            attempt.started_at[:19],
            " on ".join(filter(None, (attempt.device, attempt.host))),
            _remarks(attempt),
        )
        for attempt in attempts
    ]
    print_table(
        ("number", "state", "epochs", "last", "best", "started", "device", "remarks"),
        rows,
        left=("state", "device", "remarks"),
    )
    for attempt in attempts:
        if plugins[attempt.id]:
            say(f"plug-ins of attempt {attempt.number}: {plugins[attempt.id]}")
        if attempt.weights_path is not None:
            say(f"weights of attempt {attempt.number}: {attempt.weights_path}")


def _remarks(attempt: Attempt) -> str:
    remarks = {
        "superseded": attempt.superseded,
        "resumes the one before": attempt.resumed_from is not None,
        "not bit-exact": not attempt.bit_exact,
    }
    return ", ".join(remark for remark, holds in remarks.items() if holds)


def _print_provenance(provenance: Provenance) -> None:
    from asapbench.report.hardware import options_text

    dirty = " with changes" if provenance.dirty else ""
    commit = "not a checkout" if provenance.commit is None else f"{provenance.commit[:12]}{dirty}"
    say(f"\ncode           {commit}")
    say(f"versions       {', '.join(f'{name} {version}' for name, version in provenance.versions.items())}")
    hardware = provenance.hardware
    gpus = f", {', '.join(map(str, hardware['gpus']))}" if isinstance(hardware.get("gpus"), list) else ""
    say(f"hardware       {hardware.get('processor')}, {hardware.get('cores')} cores{gpus}")
    if options := options_text(hardware):
        say(f"options        {options}")
    if isinstance(overrides := hardware.get("overrides"), dict):
        say(f"environment    {', '.join(f'{name}={value}' for name, value in overrides.items())}")


def _print_epochs(epochs: Sequence[EpochMetrics], *, all_epochs: bool) -> None:
    if not epochs:
        return
    say(f"\ntest accuracy  {curve([row.test_accuracy for row in epochs])}")
    validated = [row for row in epochs if row.validation_accuracy is not None]
    if validated:
        say(f"validation     {curve([row.validation_accuracy or 0.0 for row in validated])}")
        best = max(validated, key=lambda row: _or_worst(row.validation_accuracy))
        say(
            f"best val       {percent(best.validation_accuracy)} at epoch {best.epoch}, where the test accuracy is "
            f"{percent(best.test_accuracy)}"
        )
    step = 1 if all_epochs else max(1, -(-len(epochs) // 12))
    of_validation = ("val loss", "val") if validated else ()
    print_table(
        ("epoch", "lr", "train loss", "train", *of_validation, "test loss", "test", "samples/s"),
        [
            (
                str(row.epoch),
                f"{row.lr:.2e}",
                f"{row.train_loss:.4f}",
                percent(row.train_accuracy),
                *((_number(row.validation_loss, ".4f"), percent(row.validation_accuracy)) if validated else ()),
                f"{row.test_loss:.4f}",
                percent(row.test_accuracy),
                f"{row.samples_per_second:,.0f}",
            )
            for row in epochs
            if row.epoch % step == 0 or row.epoch in (1, epochs[-1].epoch)
        ],
    )


def _or_worst(accuracy: float | None) -> float:
    """For a maximum: NaN, of a training that diverged, is the least."""
    return -1.0 if accuracy is None or math.isnan(accuracy) else accuracy


def _print_alignment(angles: Sequence[Alignment]) -> None:
    """Prints the angles of the last epoch that has any."""
    if not angles:
        return
    last = {(row.layer, row.quantity): row.degrees for row in angles if row.epoch == angles[-1].epoch}
    quantities: tuple[Literal["weights", "update"], ...] = ("weights", "update")
    say(f"\nangles after epoch {angles[-1].epoch}, in degrees")
    rows = [
        (name, *(_number(last.get((name, q)), ".1f") for q in quantities)) for name in dict.fromkeys(n for n, _ in last)
    ]
    print_table(("layer", *quantities), rows, left=("layer",))


def _print_gradient_quality(qualities: Sequence[GradientQuality]) -> None:
    """Prints the comparison of gradients of the last epoch that has one."""
    if not qualities:
        return
    say(f"\ngradients beside backpropagation's after epoch {qualities[-1].epoch}")
    print_table(
        ("layer", "norm ratio", "effective rank", "BP's rank", "decrease share"),
        [
            (
                row.layer or "whole network",
                _number(row.norm_ratio, ".3g"),
                _number(row.effective_rank, ".1f"),
                _number(row.bp_effective_rank, ".1f"),
                _number(row.decrease_share, ".3g"),
            )
            for row in qualities
            if row.epoch == qualities[-1].epoch
        ],
        left=("layer",),
    )


def _number(value: float | None, digits: str) -> str:
    return "-" if value is None else f"{value:{digits}}"


def _print_errors(attempts: Sequence[Attempt]) -> None:
    """Errors of all attempts: they remain useful after the last one succeeds."""
    for attempt in attempts:
        if not attempt.error:
            continue
        say(f"\nerror of attempt {attempt.number}\n{attempt.error}")
        if attempt.log_tail and attempt.log_tail.strip() not in attempt.error:
            say(f"\nlog of attempt {attempt.number}\n{attempt.log_tail}")


def curve(values: Sequence[float], width: int = 60) -> str:
    """`values` as a line of bars, followed by their minimum and maximum in percent. NaN is left out."""
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return "-"
    if len(values) > width:
        values = [values[round(n * (len(values) - 1) / (width - 1))] for n in range(width)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    bars = "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in values)
    return f"{bars}  {100 * low:.1f} to {100 * high:.1f} %"
