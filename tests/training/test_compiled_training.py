"""A cell trained through torch.compile: the same curve but for rounding, and a resume on its own kind of bits."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace

import pytest
from tiny_cell import Recorder, bits, cell, noise_images, same_bits, trainer

from asapbench.training.trainer import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "linux" and shutil.which("g++") is None, reason="torch.compile needs g++ here"),
]


def test_a_compiled_cell_learns_as_the_plain_one_and_resumes_bit_for_bit(tmp_path) -> None:
    images, which = noise_images(), replace(cell("asap"), epochs=2)
    plain, compiled = Recorder(), Recorder()
    trainer(which, images, tmp_path / "plain", plain).fit()
    whole = trainer(which, images, tmp_path / "compiled", compiled, compiled=True)
    whole.fit()
    for ours, theirs in zip(compiled.rows, plain.rows, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
    trainer(which, images, tmp_path / "part", Recorder(stop_after=4), compiled=True).fit()
    rest = Recorder()
    resumed = trainer(which, images, tmp_path / "rest", rest, previous=(tmp_path / "part",), compiled=True)
    resumed.fit()
    assert rest.bit_exact
    assert same_bits(bits(whole), bits(resumed))


def test_a_resume_without_compiling_is_marked(tmp_path) -> None:
    images, which = noise_images(), replace(cell("asap"), epochs=1)
    trainer(which, images, tmp_path / "part", Recorder(stop_after=1), compiled=True).fit()
    rest = Recorder()
    trainer(which, images, tmp_path / "rest", rest, previous=(tmp_path / "part",)).fit()
    assert not rest.bit_exact
    assert not Settings().compiled
