"""A compiled cell trains as an uncompiled one does, and resumes bit for bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_cell import Recorder, bits, cell, same_bits, trainer
from torch import Tensor, nn

from asapbench.errors import SuiteError, WorkerError
from asapbench.machine import compilers
from asapbench.machine.slots import Slot
from asapbench.rules import Learner, attach
from asapbench.suite.catalog import MODELS
from asapbench.training.compiled import compiled_objective


@pytest.fixture
def compiler(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that finds nothing of earlier tests."""
    try:
        compilers.check([Slot(0, "cpu")], compiled=True, cuda_graphs=False)
    except SuiteError as error:
        pytest.skip(str(error))
    monkeypatch.setenv(compilers.CACHE, str(tmp_path / "compiled"))


def learner(rule: str, x: Tensor) -> Learner:
    """On a network small enough to be compiled in seconds."""
    torch.manual_seed(1)
    layers = [
        *(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.ReLU()),
        *(nn.Conv2d(4, 8, 3, padding=1, stride=2, bias=False), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    ]
    return attach(nn.Sequential(*layers).double(), rule, x, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["asap", "dfa"])
def test_compiled_gradients_are_the_rules(rule: str, compiler: None) -> None:
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(4, 3, 8, 8, generator=draw, dtype=torch.float64), torch.arange(4)
    plain, other = learner(rule, x), learner(rule, x)
    plain.objective(x, y).scalar.backward()
    compiled_objective(other, batch_size=4, threads=1)(x, y).scalar.backward()
    for (name, one), (_, two) in zip(plain.trained_parameters(), other.trained_parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-8, atol=1e-11, msg=name)
    for (name, one), (_, two) in zip(plain.model.named_buffers(), other.model.named_buffers(), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.slow
def test_a_compiled_cell_resumes_bit_for_bit(images, tmp_path, compiler: None) -> None:
    which = replace(cell("fa", epochs=2), model=MODELS["mlp"].choose())

    def run(name: str, *, stop: int | None = None, previous: tuple[str, ...] = (), compiled: bool = True):
        recorder, before = Recorder(stop), [tmp_path / one for one in previous]
        made = trainer(which, images, tmp_path / name, recorder, compiled=compiled, previous=before)
        made.fit()
        return recorder, bits(made)

    _, whole = run("whole")
    run("part", stop=2)
    recorder, resumed = run("rest", previous=("part",))
    assert recorder.bit_exact
    assert same_bits(whole, resumed)
    run("again", stop=2)
    recorder, _ = run("uncompiled", previous=("again",), compiled=False)
    assert not recorder.bit_exact, "other kernels, other bits: said so"


@pytest.mark.slow
def test_a_rules_own_backward_is_not_compiled_under_autocast(images, tmp_path) -> None:
    """DFA projects the error in float32, whatever the precision of the forward pass."""
    gradients = {}
    for compiled in (False, True):
        made = trainer(replace(cell("dfa"), precision="bf16"), images, tmp_path / str(compiled), Recorder())
        compute = made.state.learner.objective
        if compiled:  # compiled_objective sets torch up; what it returns is not used
            compiled_objective(made.state.learner, batch_size=16, threads=1)
            compute = torch.compile(made.state.learner.objective, backend="aot_eager", fullgraph=True)
        x, y = next(made.train.epoch(1, 16))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            objective = compute(x, y)
        objective.scalar.backward()
        gradients[compiled] = {name: p.grad for name, p in made.state.learner.trained_parameters()}
    for name, gradient in gradients[False].items():
        assert torch.equal(gradient, gradients[True][name]), name


@pytest.mark.slow
def test_more_cells_than_torch_compiles_a_function_for(images, tmp_path) -> None:
    for seed in range(10):
        made = trainer(cell("bp", seed=seed), images, tmp_path / str(seed), Recorder())
        compiled_objective(made.state.learner, batch_size=16, threads=1)
        compute = torch.compile(made.state.learner.objective, backend="eager", fullgraph=True, dynamic=False)
        x, y = next(made.train.epoch(1, 16))
        assert compute(x, y).loss.isfinite()


def test_cuda_graphs_without_a_gpu_are_refused(images, tmp_path) -> None:
    with pytest.raises(WorkerError, match="--cuda-graphs: only an NVIDIA GPU"):
        trainer(cell(), images, tmp_path, Recorder(), cuda_graphs=True)
