"""On a GPU in deterministic mode a cell gives the same bits again, also after a resume; batches are the CPU's."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "training"))
from tiny_cell import Recorder, bits, cell, in_precisions, noise_images, same_bits, trainer

from asapbench.suite.catalog import OPTIMIZERS, RULES
from asapbench.suite.cell import Cell

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def trained(which, folder: Path, *, stop: int | None = None, previous: tuple[Path, ...] = (), **settings: bool):
    """As a run does by default: with graphs, without compiled kernels."""
    recorder = Recorder(stop)
    run = trainer(which, noise_images(), folder, recorder, device="cuda", previous=previous, **settings)
    run.fit()
    return recorder, bits(run)


@pytest.mark.parametrize(("rule", "precision"), in_precisions("float32", "tf32", "bf16"))
def test_a_cell_resumes_bit_for_bit(rule: str, precision: str, tmp_path) -> None:
    which = replace(cell(rule), precision=precision)
    _, whole = trained(which, tmp_path / "whole")
    trained(which, tmp_path / "part", stop=2)
    recorder, resumed = trained(which, tmp_path / "rest", previous=(tmp_path / "part",))
    assert recorder.bit_exact
    assert same_bits(whole, resumed)


@pytest.mark.parametrize("rule", RULES)
def test_the_first_epoch_is_the_cpus_except_for_rounding(rule: str, tmp_path) -> None:
    here, _ = trained(cell(rule, epochs=1), tmp_path / "gpu")
    there = Recorder()
    trainer(cell(rule, epochs=1), noise_images(), tmp_path / "cpu", there).fit()
    assert here.rows[0].train_loss == pytest.approx(there.rows[0].train_loss, rel=1e-2)
    assert here.rows[0].peak_memory_bytes


def test_augmented_batches_are_the_same_on_both_devices(tmp_path) -> None:
    on = {d: trainer(cell(), noise_images(), tmp_path / d, Recorder(), device=d) for d in ("cpu", "cuda")}
    for (x, y), (a, b) in zip(on["cpu"].train.epoch(3, 16), on["cuda"].train.epoch(3, 16), strict=True):
        assert torch.equal(x, a.cpu())
        assert torch.equal(y, b.cpu())


@pytest.mark.parametrize("rule", RULES)
def test_asking_for_angles_and_gradient_quality_changes_no_bit(rule: str, tmp_path) -> None:
    asked = Recorder()
    options = {"alignment": True, "gradient_quality": True}
    run = trainer(cell(rule), noise_images(), tmp_path / "asked", asked, device="cuda", **options)
    run.fit()
    assert same_bits(bits(run), trained(cell(rule), tmp_path / "plain")[1])
    assert {row.epoch for row in asked.angles} == {0, 1, 2, 3}


GRAPHS = [
    *((rule, "float32", "sgd") for rule in RULES),
    *((rule, "bf16", "sgd") for rule in ("bp", "asap", "dfa", "predsim")),
    *((rule, "tf32", "adam") for rule in ("bp", "asap")),
]


@pytest.mark.parametrize(("rule", "precision", "optimizer"), GRAPHS)
def test_a_graph_trains_the_bits_of_eager_steps(rule: str, precision: str, optimizer: str, tmp_path) -> None:
    which = replace(cell(rule), precision=precision, optimizer=OPTIMIZERS[optimizer].choose())
    assert_a_graph_trains_the_bits_of_eager_steps(which, tmp_path)


@pytest.mark.parametrize("options", [{"checkpointing": True}, {"micro_batches": 2}], ids=str)
def test_a_graph_holds_bp_in_less_memory(options: dict[str, bool | int], tmp_path) -> None:
    assert_a_graph_trains_the_bits_of_eager_steps(replace(cell("bp"), rule=RULES["bp"].choose(options)), tmp_path)


def assert_a_graph_trains_the_bits_of_eager_steps(which: Cell, folder: Path) -> None:
    eager, plain = trained(which, folder / "eager", cuda_graphs=False)
    replayed, graph = trained(which, folder / "graph", cuda_graphs=True)
    assert same_bits(plain, graph)
    assert all(one.same_result(two) for one, two in zip(eager.rows, replayed.rows, strict=True))


def test_a_cell_resumes_bit_for_bit_from_eager_steps_to_a_graph(tmp_path) -> None:
    _, whole = trained(cell(), tmp_path / "whole", cuda_graphs=False)
    trained(cell(), tmp_path / "part", stop=2, cuda_graphs=False)
    recorder, resumed = trained(cell(), tmp_path / "rest", previous=(tmp_path / "part",))
    assert recorder.bit_exact
    assert same_bits(whole, resumed)


def test_the_memory_of_a_replayed_graph_is_counted(tmp_path) -> None:
    """Though nothing is allocated then."""
    rows, _ = trained(cell(), tmp_path)
    peaks = [row.peak_memory_bytes for row in rows.rows]
    assert min(peaks[1:]) >= 0.5 * max(peaks)


WAYS = {"kernels": {"compiled": True, "cuda_graphs": False}, "kernels in a graph": {"compiled": True}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_compiled_cell_trains_as_an_uncompiled_one_and_resumes_bit_for_bit(
    way: str, precision: str, tmp_path
) -> None:
    which = replace(cell(), precision=precision)
    plain, _ = trained(which, tmp_path / "plain")
    whole, expected = trained(which, tmp_path / "whole", **WAYS[way])
    assert whole.rows[0].train_loss == pytest.approx(plain.rows[0].train_loss, rel=2e-2)
    trained(which, tmp_path / "part", stop=2, **WAYS[way])
    recorder, resumed = trained(which, tmp_path / "rest", previous=(tmp_path / "part",), **WAYS[way])
    assert recorder.bit_exact
    assert same_bits(expected, resumed)
