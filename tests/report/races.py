"""Suites whose trainings have made-up validation accuracies by epoch: what is timed is known by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from asapbench.metrics import EpochMetrics
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

XEON = Provenance(None, None, {"torch": "2.14.1"}, {"processor": "Xeon", "cores": 8})
EPYC = Provenance(None, None, {"torch": "2.14.1"}, {"processor": "EPYC", "cores": 64})
OWNER = OwnerProcess("a-host", "b", 4, 1.0)


def suite_file(
    folder: Path,
    *,
    widths: Sequence[int] = (4,),
    rules: Sequence[str] = ("bp", "fa"),
    seeds: Sequence[int] = (0, 1, 2),
    target: str = "0.6",
    validation: int = 100,
    more: str = "",
) -> Path:
    """A suite of one row for each width, on digits."""
    path = folder / "race.toml"
    path.write_text(
        f"""[suite]
name = "race"
{f"target = {target}" if target else ""}
[defaults]
dataset = "digits"
epochs = 4
validation = {validation}
seeds = {list(seeds)}
lr = 0.1
rule = {list(rules)}
[[grid]]
model = {{ name = "resnet10", width = {list(widths)} }}
{more}
""",
        encoding="utf-8",
    )
    return path


def train(
    store: Store,
    cell: Cell,
    accuracies: Sequence[float],
    *,
    state: str = "done",
    ran: Provenance = XEON,
    device: str = "cpu",
) -> None:
    """One attempt; epoch n takes n seconds, and the test accuracy is always 1."""
    claim = store.claim(cell, owner=OWNER, provenance=ran, device=device)
    assert claim is not None
    rows = []
    for epoch, accuracy in enumerate(accuracies, start=1):
        held_out = (1.0, accuracy) if cell.validation else (None, None)
        rows.append(EpochMetrics(epoch, 1.0, 0.5, 1.0, 1.0, *held_out, 0.1, float(epoch), 9.0, None))
    store.record_epochs(claim, rows)
    if state != "running":
        store.finish(claim, state)  # type: ignore[arg-type]


def reaching(epoch: int | None, *, epochs: int = 4) -> list[float]:
    """Validation accuracies that first reach 0.6 at this epoch, or never: then 0.5 is the best."""
    return [0.6 if n == epoch else 0.5 if n < (epoch or 99) else 0.55 for n in range(1, epochs + 1)]


def race(folder: Path, epochs: Mapping[tuple[int, str], Sequence[int | None]], **terms: object) -> str:
    """The URL of a database in which the seeds of (width, rule) first reach 0.6 at these epochs."""
    widths, rules = dict.fromkeys(width for width, _ in epochs), dict.fromkeys(rule for _, rule in epochs)
    suite = load(str(suite_file(folder, widths=list(widths), rules=list(rules), **terms)))  # type: ignore[arg-type]
    url = f"sqlite:///{folder}/race.sqlite"
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, list(suite.cells), text=suite.text)
        for cell in suite.cells:
            own = epochs.get((cell.model.integer("width"), cell.rule.name), ())
            if cell.seed < len(own):
                train(store, cell, reaching(own[cell.seed]))
    return url
