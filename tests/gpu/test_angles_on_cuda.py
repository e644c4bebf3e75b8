"""On a GPU angles are computed there and read in one go; they are those that a CPU computes of the same tensors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "training"))
from test_angles_are_read_once import Reads
from tiny_cell import Recorder, cell, noise_images, trainer

from asapbench.training.alignment import alignment, degrees

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def test_all_angles_of_a_cell_are_one_read(tmp_path) -> None:
    run = trainer(cell("kp"), noise_images(), tmp_path, Recorder(), device="cuda")
    x, y = next(run.train.epoch(1, 16))
    with Reads() as reads:
        rows = alignment(run.state.learner, x, y, epoch=0, precision="float32")
    assert len(rows) > 3
    assert reads.count == 1


def test_an_angle_is_the_cpus() -> None:
    draw = torch.Generator().manual_seed(1)
    one, other = (torch.randn(64, 32, 3, 3, generator=draw) for _ in range(2))
    for pair in ((one, other), (one, 3 * one + 1e-6 * other), (one, -one), (one, one)):
        on_gpu = degrees(*(tensor.cuda().to(memory_format=torch.channels_last) for tensor in pair))
        assert on_gpu == pytest.approx(degrees(*pair), rel=1e-9, abs=1e-6)
    assert degrees(one.cuda(), torch.zeros_like(one).cuda()) is None
