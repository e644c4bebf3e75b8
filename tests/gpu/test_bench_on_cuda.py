"""`bench` on a GPU: every loop has rounds, its memory is the allocator's, and the device is named."""

from __future__ import annotations

import pytest

from asapbench.analysis.speed.bench import Bench, bench
from asapbench.suite.load import parse
from asapbench.training.settings import TrainingSettings

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SUITE = """
[suite]
name = "small"
[[grid]]
dataset = { name = "cifar10", train_size = 2000 }
model = { name = "resnet10", width = 8 }
rule = "asap"
lr = 0.03
precision = ["float32", "tf32", "bf16"]
"""


def test_every_precision_is_measured_alone_together_and_beside_the_eager_loop() -> None:
    cells = parse(SUITE, source="small.toml").cells
    found = bench(
        cells, Bench(training=TrainingSettings(device="cuda"), slots=2, rounds=2, seconds=0.3), say=lambda _: None
    )
    assert len(found.speeds) == 3
    for speed in found.speeds:
        assert speed.device == torch.cuda.get_device_name(0)
        assert list(speed.loops) == ["own", "together", "eager"]
        for loop in speed.loops.values():
            assert (loop.error, len(loop.rounds)) == (None, 2)
            assert 0 < (loop.peak_bytes or 0) < 2**33
