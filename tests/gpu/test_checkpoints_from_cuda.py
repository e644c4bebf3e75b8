"""A checkpoint's snapshot is copied into pinned memory that is used again; later kernels do not change it."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "training"))
from tiny_cell import Recorder, cell, noise_images, trainer

from asapbench.training import checkpoint
from asapbench.training.writer import Snapshot, Writer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
CYCLES = 500_000_000
"""A kernel that only waits so many cycles takes about a third of a second."""


def test_a_snapshot_is_complete_and_later_kernels_do_not_change_it() -> None:
    snapshot = Snapshot(torch.device("cuda"))
    weight = torch.rand(64, 64, 3, 3, device="cuda").contiguous(memory_format=torch.channels_last)
    step = torch.tensor(3.0)
    first = snapshot.take({"w": weight, "state": {0: {"step": step}}})
    assert torch.equal(first["w"], weight.cpu())
    place = first["w"].data_ptr()
    weight.add_(1.0)
    expected = weight.cpu()
    torch.cuda._sleep(CYCLES)
    taken = snapshot.take({"w": weight, "state": {0: {"step": step}}})
    found = taken["w"].clone()
    weight.zero_()
    step.zero_()
    torch.cuda.synchronize()
    assert torch.equal(found, expected), "it has waited for the kernels before it, and for the copy"
    assert torch.equal(taken["w"], expected)
    assert taken["w"].is_pinned()
    assert taken["w"].stride() == weight.stride()
    assert taken["w"].data_ptr() == place
    assert taken["state"][0]["step"] == 3.0


@pytest.mark.parametrize("options", [{"cuda_graphs": False}, {}], ids=["eager", "graphs"])
def test_a_file_holds_the_devices_state_when_its_write_began(
    options: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    begin, write = Writer.write, checkpoint.write

    def keeping(self: Writer, content: dict[str, Any], make_durable: Any) -> None:
        given.append(copy.deepcopy(content))
        begin(self, content, make_durable)

    def reading(content: dict[str, Any], directory: Path, *, number: int) -> Path:
        path = write(content, directory, number=number)
        files.append(checkpoint.read_file(path))
        return path

    monkeypatch.setattr(Writer, "write", keeping)
    monkeypatch.setattr(checkpoint, "write", reading)
    recorder = Recorder()
    trainer(cell(epochs=4), noise_images(), tmp_path, recorder, device="cuda", checkpoint_seconds=0.0, **options).fit()
    assert [row.epoch for row in recorder.rows] == [1, 2, 3, 4]
    assert len(files) == len(given) >= 2
    for before, held in zip(given, files, strict=True):
        for part in ("model", "rule", "tally"):
            assert held[part].keys() == before[part].keys()
            for name, value in before[part].items():
                same = torch.equal(held[part][name], value.cpu()) if isinstance(value, torch.Tensor) else True
                assert same, f"{part}.{name}"
