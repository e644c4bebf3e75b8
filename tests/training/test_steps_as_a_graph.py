"""Steps that are replayed as a CUDA graph train the same bits as eager steps. A tape stands in for the graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tape import recorded
from tiny_cell import Recorder, bits, cell, same_bits, trainer

from asapbench.data import batches
from asapbench.errors import WorkerError
from asapbench.rules.engine import host
from asapbench.suite.catalog import OPTIMIZERS, RULES
from asapbench.training import graph, optimizer
from asapbench.training import trainer as training
from asapbench.training.trainer import Trainer

RECIPES: dict[str, dict[str, Any]] = {
    **{rule: {} for rule in RULES},
    "checkpointing": {"rule": RULES["bp"].choose({"checkpointing": True})},
    "micro-batches": {"rule": RULES["bp"].choose({"micro_batches": 2})},
    "nesterov": {"optimizer": OPTIMIZERS["sgd"].choose({"nesterov": True})},
    "dampened": {"optimizer": OPTIMIZERS["sgd"].choose({"dampening": 0.1})},
    "no momentum": {"optimizer": OPTIMIZERS["sgd"].choose({"momentum": 0.0})},
    "adam": {"optimizer": OPTIMIZERS["adam"].choose(), "lr": 5e-3},
    "adamw": {"optimizer": OPTIMIZERS["adamw"].choose(), "lr": 5e-3},
    "explicit feedback": {"rule": RULES["asap"].choose({"form": "explicit"})},
    "random matching": {"rule": RULES["asap"].choose({"matching": "random"})},
    "backprop-free heads": {"rule": RULES["predsim"].choose({"bpf": True})},
    "not augmented": {"augment": "none"},
    "bf16": {"precision": "bf16"},
    "whole batches": {"batch_size": 10},
    "one batch": {"batch_size": 64},
}
EPOCHS = 4


@pytest.fixture
def made(images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Recorder, Trainer]]:
    """Makes trainers as on a GPU: rate and batches on the device, and a tape for a graph."""
    gathered = batches._Gathered
    monkeypatch.setattr(batches, "_Sliced", lambda pixels, padding: gathered(pixels, padding, device=pixels.device))
    monkeypatch.setattr(optimizer, "rate_on_device", lambda _device: True)
    monkeypatch.setattr(host, "computes", lambda _scalar: False)
    monkeypatch.setattr(graph, "require_graphs", lambda _device: None)
    monkeypatch.setattr(graph, "beside", lambda step, _device: step())
    monkeypatch.setattr(graph, "captured", recorded)

    def make(recipe: str, name: str, *, stop: int | None = None, previous: tuple[str, ...] = (), **settings: bool):
        recorder, before = Recorder(stop), [tmp_path / one for one in previous]
        which = replace(cell(recipe if recipe in RULES else "asap", epochs=EPOCHS), **RECIPES[recipe])
        return recorder, trainer(which, images, tmp_path / name, recorder, previous=before, **settings)

    return make


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_graph_trains_the_bits_of_eager_steps(recipe: str, made) -> None:
    eager, plain = made(recipe, "eager")
    plain.fit()
    replayed, other = made(recipe, "graph", cuda_graphs=True)
    other.fit()
    assert same_bits(bits(plain), bits(other))
    assert len(eager.rows) == len(replayed.rows) == EPOCHS
    assert all(one.same_result(two) for one, two in zip(eager.rows, replayed.rows, strict=True))


@pytest.mark.parametrize("recipe", ["bp", "asap", "dfa"])
def test_measuring_layers_between_epochs_changes_no_bit_of_a_graph(recipe: str, made) -> None:
    _, plain = made(recipe, "plain", cuda_graphs=True)
    plain.fit()
    asked, measured = made(recipe, "measured", cuda_graphs=True, alignment=True, gradient_quality=True)
    measured.fit()
    assert same_bits(bits(plain), bits(measured))
    assert {row.epoch for row in asked.angles} == set(range(EPOCHS + 1))


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)], ids=["to a graph", "to eager steps"])
def test_a_cell_resumes_bit_for_bit_with_and_without_a_graph(before: bool, after: bool, made) -> None:
    _, whole = made("asap", "whole")
    whole.fit()
    made("asap", "part", stop=4, cuda_graphs=before)[1].fit()
    recorder, rest = made("asap", "rest", previous=("part",), cuda_graphs=after)
    rest.fit()
    assert (recorder.bit_exact, recorder.warnings) == (True, [])
    assert same_bits(bits(whole), bits(rest))


@pytest.mark.parametrize("recipe", ["bp", "asap", "adam"])
def test_a_graph_resumes_inside_an_epoch(recipe: str, made) -> None:
    _, whole = made(recipe, "whole", cuda_graphs=True)
    whole.fit()
    for stop in (1, 3, 4, 7):
        made(recipe, f"to {stop}", stop=stop, cuda_graphs=True)[1].fit()
        recorder, rest = made(recipe, f"from {stop}", previous=(f"to {stop}",), cuda_graphs=True)
        rest.fit()
        assert recorder.bit_exact, stop
        assert same_bits(bits(whole), bits(rest)), stop


def test_the_graph_is_replayed(made, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 examples in batches of 16: in 4 epochs 8 full batches, of which the first two are eager."""
    replays = []

    def counted(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
        replay = recorded(step, device)
        return lambda: (replays.append(1), replay())[1]

    monkeypatch.setattr(graph, "captured", counted)
    made("bp", "graph", cuda_graphs=True)[1].fit()
    assert len(replays) == 2 * EPOCHS - graph.EAGER_STEPS


@pytest.mark.parametrize("ends", ["well", "with an error of its own"])
def test_a_step_that_cannot_be_captured_is_refused_with_the_reason(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch ends a capture in which something was not permitted, and that may raise again."""

    class Capture:
        def __enter__(self) -> None: ...

        def __exit__(self, *_error: object) -> None:
            if ends != "well":
                raise RuntimeError("operation failed due to a previous error during capture")

    def step() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", lambda _graph, **_options: Capture())
    monkeypatch.setattr(torch.cuda, "device", lambda _device: nullcontext())
    monkeypatch.setattr(graph, "_stream", lambda _device: None)
    reason = r"a step .* cannot be captured: operation not permitted .*; train it with --no-cuda-graphs$"
    with pytest.raises(WorkerError, match=reason):
        graph.captured(step, torch.device("cuda"))


def test_an_optimizer_that_reads_its_rate_on_the_host_is_refused(made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "OPTIMIZERS", {"sgd": replace(OPTIMIZERS["sgd"], takes_fused=False)})
    with pytest.raises(WorkerError, match="sgd reads its learning rate on the host: train with --no-cuda-graphs"):
        made("bp", "graph", cuda_graphs=True)


def test_a_cpu_has_no_graphs(images, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="--cuda-graphs: only an NVIDIA GPU"):
        trainer(cell(), images, tmp_path, Recorder(), cuda_graphs=True)
