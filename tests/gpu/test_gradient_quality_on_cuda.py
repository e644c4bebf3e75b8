"""On a GPU gradient quality is what a CPU measures for the same weights, also where training uses TensorFloat32."""

from __future__ import annotations

import sys
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "training"))
from tiny_cell import Recorder, cell, noise_images, trainer

from asapbench.training.gradient_quality import gradient_quality

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.01), ("tf32", 0.1)])
def test_the_values_are_the_cpus(precision: str, tolerance: float, tmp_path: Path) -> None:
    """Except the decreases of a rounded gradient: the first layers' is nearly orthogonal to backpropagation's there, so
    that its rounding, bf16's on a CPU too, changes the share of the decrease by more than 10 %.
    """
    found = []
    for device in ("cpu", "cuda"):
        run = trainer(cell("kp", precision=precision), noise_images(), tmp_path / device, Recorder(), device=device)
        x, y = next(run.train.epoch(1, 16))
        found.append(gradient_quality(run.state.learner, x, y, epoch=0, precision=precision, rate=1e-3))
    for on_cpu, on_gpu in zip(*found, strict=True):
        compared = [astuple(each)[: None if precision == "float32" else -1] for each in (on_gpu, on_cpu)]
        assert compared[0] == pytest.approx(compared[1], rel=tolerance, abs=tolerance), on_cpu.layer
