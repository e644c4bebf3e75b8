"""Which cells may train beside each other, with devices that exist only as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asapbench.running.admission import SHARE, Admission
from asapbench.suite.catalog import OPTIMIZERS
from asapbench.suite.load import load

GIB = 2**30
A, B, *_ = {cell.group: cell for cell in load("quickstart").cells}.values()
SIBLING = A.with_seed(7)


def admitted(admission: Admission, cells, device: str = "gpu") -> int:
    """How many of `cells` start one after the other on an empty device."""
    running = []
    for cell in cells:
        if admission.may_start(cell, device, running):
            running.append(cell)
    return len(running)


def seeds(number: int, cell=A):
    return [cell.with_seed(seed) for seed in range(number)]


def test_cells_start_while_their_measured_peaks_fit_into_nine_tenths_of_what_is_free() -> None:
    for free in (4, 10, 23):
        admission = Admission({"gpu": free * GIB}, peaks={A.group: 2 * GIB})
        assert admitted(admission, seeds(20)) == int(SHARE * free / 2)


def test_devices_are_filled_each_by_its_own_memory() -> None:
    admission = Admission({"small": 3 * GIB, "large": 30 * GIB}, peaks={A.group: GIB})
    assert [admitted(admission, seeds(40), device) for device in ("small", "large", "untold")] == [2, 27, 40]


def test_a_cell_that_fits_nowhere_starts_on_an_empty_device_and_beside_nobody() -> None:
    admission = Admission({"gpu": GIB}, peaks={A.group: 50 * GIB, B.group: GIB // 10})
    assert admission.may_start(A, "gpu", [])
    assert not admission.may_start(A, "gpu", [B])
    assert not admission.may_start(B, "gpu", [A])


def test_a_cell_never_measured_counts_by_its_estimate_until_its_first_epoch_has_told() -> None:
    admission = Admission({"gpu": 10 * GIB})
    before = admitted(admission, seeds(100))
    assert 1 < before < 100
    admission.measured(A, GIB // 10)
    assert admitted(admission, seeds(100)) == 90
    admission.measured(SIBLING, 2 * GIB)
    assert admitted(admission, seeds(100)) == 4, "a greater peak of another seed counts for all"
    admission.measured(A, None)
    admission.measured(A, GIB)
    assert admitted(admission, seeds(100)) == 4


def test_on_a_gpu_a_context_and_what_the_allocator_holds_count_as_well() -> None:
    peaks = {A.group: 2 * GIB}
    on = {kind: Admission({"gpu": 100 * GIB}, kind=kind, peaks=peaks) for kind in ("cpu", "cuda")}
    assert on["cpu"].needs(A) == 2 * GIB
    assert on["cuda"].needs(A) == pytest.approx(1.2 * 2 * GIB + 0.7e9, rel=1e-6)


def test_a_limit_holds_for_all_seeds_and_keeps_neighbours_away_from_those_that_run() -> None:
    admission = Admission()
    assert admitted(admission, seeds(10)) == 10
    admission.limit(A, 1)
    assert admitted(admission, [SIBLING, *seeds(10)]) == 2
    assert admission.may_start(B, "gpu", [A])
    assert not admission.may_start(B, "gpu", [B, A]), "A would have two neighbours"
    admission.limit(SIBLING, 0)
    assert not admission.may_start(B, "gpu", [A])
    assert not admission.may_start(A, "gpu", [B])
    admission.limit(A, 5)
    assert not admission.may_start(A, "gpu", [B]), "a limit is never raised again"


def test_the_estimate_grows_with_batch_width_and_what_a_rule_holds_beside_the_network() -> None:
    cell = next(c for c in load("cifar10").cells if (c.model.name, c.rule.name) == ("resnet18", "bp"))
    admission = Admission()
    wider = replace(cell, batch_size=8 * cell.batch_size)
    adam = replace(cell, optimizer=OPTIMIZERS["adamw"].choose())
    assert admission.needs(wider) > 2 * admission.needs(cell)
    assert admission.needs(adam) > admission.needs(cell)
    tiny = {c.rule.name: c for c in load("tiny_imagenet").cells if c.model.name == "resnet18"}
    assert admission.needs(tiny["dfa"]) > admission.needs(tiny["fa"]) + 200 * 4 * 100_000
