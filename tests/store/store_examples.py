"""Cells, epochs and owners for the tests of the store."""

from asapbench.certificate import Certificate, Finding
from asapbench.metrics import Alignment, EpochMetrics, GradientQuality, Measurement
from asapbench.store import OwnerProcess, Provenance
from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import Cell

NOBODY = OwnerProcess("a-host", "a-boot", 4242, 17.5)
PROVENANCE = Provenance("0123abc", False, {"torch": "2.14.1"}, {"cpu": "example", "cores": 2})
TERMS = {"owner": NOBODY, "provenance": PROVENANCE, "device": "cpu"}


def a_cell(seed=0, *, rule="asap", lr=0.03, **options):
    return Cell(
        dataset=CATALOG["dataset"]["digits"].choose(),
        model=CATALOG["model"]["resnet10"].choose({"width": 8}),
        rule=CATALOG["rule"][rule].choose(options),
        optimizer=CATALOG["optimizer"]["sgd"].choose(),
        lr=lr,
        schedule=CATALOG["schedule"]["cosine"].choose(),
        epochs=3,
        batch_size=32,
        augment="none",
        seed=seed,
    )


def an_epoch(epoch, *, test=0.5, validation=None, loss=1.25, seconds=2.0):
    return EpochMetrics(
        epoch=epoch,
        train_loss=loss,
        train_accuracy=0.75,
        test_loss=loss,
        test_accuracy=test,
        validation_loss=None if validation is None else loss,
        validation_accuracy=validation,
        lr=0.03 / epoch,
        seconds=seconds,
        samples_per_second=1000.0,
        peak_memory_bytes=None,
    )


def an_angle(epoch, layer="stages.0.0.conv1", *, quantity="weights", degrees=62.5):
    return Alignment(epoch, layer, quantity, degrees)


def a_quality(epoch, layer="stages.0.0.conv1", *, share=0.125):
    return GradientQuality(epoch, layer, 1.75, effective_rank=9.5, bp_effective_rank=14.25, decrease_share=share)


A_MEASUREMENT = Measurement("stages.0.0.conv1", "angle", 48.25, spread=1.5, n=8)


def a_certificate(rule="fa(linear_feedback=kaiming)", *, verdict="holds", rule_revision=1):
    clean = Finding("clean", "holds", "parameters, buffers, modes")
    fixed = Finding("fixed", verdict, "B moved by 1.5e-02", 0.015, "fc", "make it a buffer")
    return Certificate(rule, "mlp(hidden=8)", (clean, fixed), None, rule_revision, 1)


def trained(store, cell, *, tests=(0.25, 0.5, 0.5), state="done", **terms):
    claim = store.claim(cell, **(TERMS | terms))
    store.record_epochs(claim, [an_epoch(i, test=test) for i, test in enumerate(tests, start=1)])
    store.finish(claim, state)
    return claim


def current(store, cell):
    return store.states([cell.id])[cell.id]
