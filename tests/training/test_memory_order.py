"""The order in which images and weights lie in memory: which one a new cell takes, and that a resume keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_cell import Recorder, bits, cell, same_bits, trainer

from asapbench.training import environment
from asapbench.training import trainer as trainer_module
from asapbench.training.saved import newest

CPU, GPU = torch.device("cpu"), torch.device("cuda")
ORDERS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


def test_a_gpu_and_a_cpu_with_onednn_take_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(machine: str, device: torch.device) -> torch.memory_format:
        monkeypatch.setattr(environment.platform, "machine", lambda: machine)
        return environment.memory_format(device)

    assert order("x86_64", GPU) is order("arm64", GPU) is torch.channels_last
    assert order("arm64", CPU) is order("x86_64", torch.device("mps")) is torch.contiguous_format
    expected = torch.channels_last if torch.backends.mkldnn.is_available() else torch.contiguous_format
    assert order("x86_64", CPU) is order("AMD64", CPU) is expected


@pytest.mark.parametrize("order", ORDERS)
def test_weights_and_batches_lie_in_the_order(
    order: str, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "memory_format", lambda _device: ORDERS[order])
    made = trainer(cell("bp"), images, tmp_path, Recorder())
    x, _ = next(made.train.epoch(1, 16))
    evaluated, _ = next(made.test.sequential(16))
    for tensor in (x, evaluated, made.state.model.get_parameter("stages.0.0.conv1.weight")):
        assert tensor.is_contiguous(memory_format=ORDERS[order])
        assert tensor.is_contiguous() == (order == "contiguous")


@pytest.mark.parametrize(("order", "default"), [tuple(ORDERS), tuple(ORDERS)[::-1]])
@pytest.mark.parametrize("rule", ["bp", "asap", "predsim"])
def test_a_resume_keeps_the_order_and_the_bits(
    order: str, default: str, rule: str, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a cell was trained in contiguous order by 0.1, in which a checkpoint names no order."""
    which = cell(rule, epochs=2)
    monkeypatch.setattr(trainer_module, "memory_format", lambda _device: ORDERS[order])
    whole = trainer(which, images, tmp_path / "whole", Recorder())
    whole.fit()
    trainer(which, images, tmp_path / "part", Recorder(stop_after=4)).fit()
    held = newest([tmp_path / "part"], warn=print)
    assert held is not None
    assert held[1].environment.get("memory order") == (None if order == "contiguous" else order)

    monkeypatch.setattr(trainer_module, "memory_format", lambda _device: ORDERS[default])
    listener = Recorder()
    rest = trainer(which, images, tmp_path / "rest", listener, previous=[tmp_path / "part"])
    rest.fit()
    assert (listener.bit_exact, listener.warnings) == (True, [])
    assert same_bits(bits(rest), bits(whole))
    assert rest.progress.history[1].test_loss == whole.progress.history[1].test_loss


def test_an_order_that_is_not_known_is_contiguous_and_not_called_exact(images, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(environment, "CHANNELS_LAST", "blocked")
    monkeypatch.setattr(trainer_module, "memory_format", lambda _device: torch.channels_last)
    trainer(cell("bp", epochs=2), images, tmp_path / "part", Recorder(stop_after=4)).fit()
    monkeypatch.undo()
    listener = Recorder()
    rest = trainer(cell("bp", epochs=2), images, tmp_path / "rest", listener, previous=[tmp_path / "part"])
    rest.fit()
    assert rest.memory_format is torch.contiguous_format
    assert not listener.bit_exact
    assert "memory order blocked, now not set" in listener.warnings[0]
