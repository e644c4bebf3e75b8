"""Results for the tests of the page: rules that trained, one that diverged, one that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asapbench.metrics import Alignment, EpochMetrics, GradientQuality
from asapbench.store import Claim, OwnerProcess, Provenance, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, parse, shipped

OWNER = OwnerProcess("a-host", "b", 4, 1.0)
XEON = Provenance("0123abc", False, {"torch": "2.14.1"}, {"processor": "Xeon", "cores": 2})
H100 = Provenance("0123abc", True, {"torch": "2.14.1"}, {"processor": "EPYC", "cores": 64, "gpus": ["H100"]})


SWEEP = """[suite]
name = "mine"
[defaults]
dataset = "digits"
epochs = 2
model = "resnet10"
validation = 100
seeds = [0, 1]
[[grid]]
rule = ["bp", "fa"]
lr = [0.01, 0.1]
"""
VALIDATION = {("bp", 0.01): 0.9, ("bp", 0.1): 0.8, ("fa", 0.01): 0.3, ("fa", 0.1): 0.4}
"""At the last epoch; at the first one the order is the other way round."""


def an_epoch(number: int, accuracy: float, *, seconds: float = 2.0) -> EpochMetrics:
    return EpochMetrics(number, 1.5, 0.5, 1.25, accuracy, None, None, 0.03, seconds, 719.0 / seconds, 2**20 * 100)


def layers(number: int) -> list[Alignment | GradientQuality]:
    names = ("stages.0.0.conv1", "fc")
    angles = [Alignment(number, name, "weights", 45.0 + number) for name in names]
    return [*angles, *(GradientQuality(number, name, 2.0, 3.0, 4.0, 0.5) for name in (*names, ""))]


def of_rules(*rules: str) -> list[Cell]:
    cells = [cell for cell in load("quickstart").cells if cell.model.name == "resnet10"]
    return [cell for cell in cells if cell.rule.name in rules]


def claimed(store: Store, cell: Cell, *, provenance: Provenance = XEON, device: str = "cpu") -> Claim:
    claim = store.claim(cell, owner=OWNER, provenance=provenance, device=device)
    assert claim is not None
    return claim


def with_results(url: str, cells: Sequence[Cell], *, text: str | None = None) -> str:
    """The database at `url` with the suite "quickstart" of `cells`: BP and ASAP trained, FA diverged, KP failed."""
    with Store.open(url) as store:
        source = shipped()["quickstart"]
        store.record_suite("quickstart", str(source), cells, text=text or source.read_text(encoding="utf-8"))
        for cell in cells:
            claim = claimed(store, cell)
            if cell.rule.name in ("bp", "asap"):
                base = 0.9 if cell.rule.name == "bp" else 0.8
                rows = [an_epoch(number, base + 0.01 * number + 0.001 * cell.seed) for number in (1, 2)]
                store.record_epochs(claim, rows, [row for number in (0, 1, 2) for row in layers(number)])
                store.finish(claim, "done")
            elif cell.rule.name == "fa":
                store.record_epochs(claim, [an_epoch(1, 0.1)])
                store.finish(claim, "diverged", error="epoch 2: the training loss is not finite")
            else:
                log = "<script>alert(1)</script> & the end of the log"
                store.finish(claim, "failed", error="Traceback\nRuntimeError: <b>no</b> kernel", log_tail=log)
    return url


def finished(store: Store, cell: Cell, accuracies: Sequence[tuple[float | None, float]]) -> None:
    """A cell with these accuracies, of validation and test, at each epoch."""
    claim = claimed(store, cell)
    rows = [
        replace(
            an_epoch(number, test), validation_accuracy=validation, validation_loss=None if validation is None else 1.0
        )
        for number, (validation, test) in enumerate(accuracies, start=1)
    ]
    store.record_epochs(claim, rows)
    store.finish(claim, "done")


def with_sweep(url: str) -> str:
    """The database at `url` with two rates of two rules, whose test accuracy is 10 points above that of validation.

    A suite beside them has one rate and no validation data.
    """
    cells, others = list(parse(SWEEP, source="mine.toml").cells), of_rules("bp")
    with Store.open(url) as store:
        store.record_suite("mine", "mine.toml", cells, text=SWEEP)
        store.record_suite("quickstart", "quickstart.toml", others, text=load("quickstart").text)
        for cell in cells:
            best = VALIDATION[cell.rule.name, cell.lr] + 0.01 * cell.seed
            finished(store, cell, [(1.2 - best, 1.3 - best), (best, best + 0.1)])
        for cell in others:
            finished(store, cell, [(None, 0.9 + 0.01 * cell.seed), (None, 0.8 + 0.01 * cell.seed)])
    return url
