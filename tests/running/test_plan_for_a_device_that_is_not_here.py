"""`--dry-run --device h100` plans for a GPU that is not here, from measurements or floors, and says from which."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from asapbench.machine.known_devices import DEVICES, known_device
from asapbench.running.device_times import SHIPPED, DeviceTimes, floor_seconds
from asapbench.running.launch import plan
from asapbench.running.selection import Request, select
from asapbench.store import Timing
from asapbench.suite import catalog
from asapbench.suite.cell import Cell
from asapbench.training.settings import TrainingSettings

H100, A100 = known_device("h100"), known_device("A100")


def cell(*filters: str, precision: str = "tf32") -> Cell:
    request = Request(db="", filters=filters, changes=(f"precision={precision}",))
    return select(["cifar10"], request)[0].cells[0]


BP, DFA, ASAP = (cell("model=resnet18", f"rule={rule}") for rule in ("bp", "dfa", "asap"))


def times_with(*timings: Timing, **settings: bool) -> DeviceTimes:
    return DeviceTimes(H100, timings, training=TrainingSettings(**settings))


def training_seconds(cell: Cell, **settings: bool) -> float:
    times = times_with(**settings)
    return times.of(cell).seconds * times.share_of_training(cell)


@pytest.mark.parametrize(
    ("which", "settings", "seconds"),
    [
        (BP, {}, 1.93),
        (DFA, {}, 1.64),
        (ASAP, {"cuda_graphs": True}, 1.93),
        (BP, {"cuda_graphs": False}, 3.901),
        (ASAP, {"compiled": True}, 2.012),
    ],
)
def test_a_shipped_measurement_is_taken_as_it_is_with_the_evaluation_added(
    which: Cell, settings: dict[str, bool], seconds: float
) -> None:
    assert times_with(**settings).of(which).basis == "shipped"
    assert training_seconds(which, **settings) == pytest.approx(seconds)


def test_bf16_under_graphs_saves_what_it_saves_compiled_kernels() -> None:
    """That was not measured, and the plan says so."""
    bf16 = cell("model=resnet18", "rule=bp", precision="bf16")
    assert times_with().of(bf16).basis == "shipped and scaled"
    assert training_seconds(bf16) == pytest.approx(1.93 * 1.329 / 1.744)


def test_a_cell_whose_optimizer_allows_no_graphs_waits_for_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "OPTIMIZERS", {"sgd": replace(catalog.OPTIMIZERS["sgd"], takes_fused=False)})
    assert training_seconds(BP) == pytest.approx(3.901)


def test_a_published_target_is_within_the_floor() -> None:
    """docs/performance.md: the arithmetic bound of an epoch of BP in TF32 on an H100 is 0.34 s."""
    assert floor_seconds(BP, H100) == pytest.approx(0.34, abs=0.005)


def test_other_cells_are_scaled_and_no_estimate_is_below_the_floor() -> None:
    times = times_with()
    for filters in (("model=alexnet", "rule=bp"), ("model=resnet34", "rule=dfa"), ("model=resnet18", "rule=kp")):
        one = cell(*filters)
        assert times.of(one).basis == "shipped and scaled"
        assert times.of(one).seconds > floor_seconds(one, H100)


def test_what_the_database_has_of_that_hardware_counts_first() -> None:
    timing = Timing(BP, "cuda GPU-1", 5.0, H100.name, 6.0)
    other = Timing(BP, "cuda GPU-1", 5.0, A100.name, 6.0)
    assert times_with(timing, other).of(BP).seconds == 6.0
    assert times_with(other).of(BP).basis == "shipped"


def test_without_a_measurement_there_is_only_a_floor_and_it_is_called_so(capsys) -> None:
    from asapbench.cli.progress import print_plan

    assert A100.name not in SHIPPED
    request = Request(
        db="", filters=("model=resnet18",), changes=("precision=tf32",), training=TrainingSettings(device="a100")
    )
    print_plan(plan(None, select(["cifar10"], request), request))
    said = capsys.readouterr().out
    assert f"on 1 slot of {A100.name}" in said
    assert "Time: at least " in said
    assert "no measurement of such a device is known" in said


def test_every_shipped_measurement_is_of_a_known_device() -> None:
    assert {device.name for device in DEVICES} >= set(SHIPPED)


def test_a_dry_run_names_the_source_and_imports_no_torch(tmp_path) -> None:
    code = (
        "import sys, json; sys.argv = ['asapbench', 'run', 'cifar10', '--dry-run', '--device', 'h100', '--set', "
        "'precision=tf32']; import asapbench.cli; asapbench.cli.app(standalone_mode=False); "
        "print(json.dumps('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "docs/performance.md" in done.stdout
    assert not json.loads(done.stdout.splitlines()[-1])
