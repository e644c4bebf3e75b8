"""A compiled cell is compared with the uncompiled one before it trains: a fault of the compiler is an error.

The compiler is a stand-in, which runs the objective as it is or with a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_cell import Recorder, bits, cell, in_precisions, same_bits, trainer
from torch import Tensor

from asapbench.errors import WorkerError
from asapbench.rules import Learner
from asapbench.rules.engine.learner import Objective
from asapbench.training import compiled

Compute = Callable[[Tensor, Tensor], Objective]
PRECISIONS = ["float32", "tf32", "bf16"]


def compiles_to(monkeypatch: pytest.MonkeyPatch, change: Callable[[Learner, Compute], Compute]) -> None:
    def compile_(objective: Compute, **_options: object) -> Compute:
        return change(objective.__self__, objective)  # type: ignore[attr-defined]

    monkeypatch.setattr(torch, "compile", compile_)


def scales_a_gradient(learner: Learner, objective: Compute) -> Compute:
    """By a twentieth: what a product that is formed twice, or a wrong divisor, does."""
    weight = learner.model.get_submodule("stages.1.0.conv1").weight

    def run(x: Tensor, y: Tensor) -> Objective:
        found = objective(x, y)
        return found._replace(scalar=found.scalar + 0.05 * (weight * gradient_of(learner, weight, x, y)).sum())

    return run


def gradient_of(learner: Learner, weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    statistics = [(buffer, buffer.clone()) for buffer in learner.buffers()]
    (gradient,) = torch.autograd.grad(learner.objective(x, y).scalar, weight)
    for buffer, before in statistics:
        buffer.data.copy_(before)  # autograd is not to notice
    return gradient


def drops_a_layer(learner: Learner, objective: Compute) -> Compute:
    """As torch 2.11 did with direct feedback alignment: no error, and a gradient of zero."""

    def run(x: Tensor, y: Tensor) -> Objective:
        weight = learner.model.get_submodule("stages.1.0.conv1").weight
        gradient = gradient_of(learner, weight, x, y)
        found = objective(x, y)
        return found._replace(scalar=found.scalar - (weight * gradient).sum())

    return run


def forgets_statistics(learner: Learner, objective: Compute) -> Compute:
    def run(x: Tensor, y: Tensor) -> Objective:
        mean = learner.model.get_submodule("stages.1.0.bn1").running_mean
        before = mean.clone()
        found = objective(x, y)
        mean.data.copy_(before)
        return found

    return run


def reports_another_loss(_learner: Learner, objective: Compute) -> Compute:
    def run(x: Tensor, y: Tensor) -> Objective:
        found = objective(x, y)
        return found._replace(loss=found.loss * 1.5)

    return run


FAULTS = {
    "missing": (drops_a_layer, "gradient of stages.1.0.conv1: 100% from"),
    "scaled": (scales_a_gradient, "gradient of stages.1.0.conv1: 5% from"),
    "statistics": (forgets_statistics, "stages.1.0.bn1.running_mean: 100% from"),
    "loss": (reports_another_loss, "loss: 50% from"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("rule", ["bp", "asap"])
def test_a_fault_of_the_compiler_is_an_error_that_names_the_layer(
    rule: str, fault: str, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, says = FAULTS[fault]
    compiles_to(monkeypatch, change)
    with pytest.raises(WorkerError, match=r"--compile: torch .* compiles this cell wrongly") as raised:
        trainer(cell(rule), images, tmp_path, Recorder(), compiled=True)
    assert says in str(raised.value)
    assert "train it without --compile" in str(raised.value)


@pytest.mark.parametrize("rule", ["bp", "asap"])
def test_a_lost_gradient_is_found_in_bfloat16(
    rule: str, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rounding alone may be larger than the gradient."""

    def loses(learner: Learner, objective: Compute) -> Compute:
        weight = learner.model.get_submodule("stages.1.0.conv1").weight

        def run(x: Tensor, y: Tensor) -> Objective:
            def lose(gradient: Tensor) -> Tensor:
                once.remove()
                return torch.zeros_like(gradient)

            once = weight.register_hook(lose)
            return objective(x, y)

        return run

    compiles_to(monkeypatch, loses)
    monkeypatch.setattr(compiled, "_TIMES_FARTHER", 1e4)
    with pytest.raises(WorkerError, match=r"gradient of stages\.1\.0\.conv1: 100% from"):
        trainer(replace(cell(rule), precision="bf16"), images, tmp_path, Recorder(), compiled=True)


@pytest.mark.parametrize(("rule", "precision"), in_precisions(*PRECISIONS))
def test_the_comparison_changes_no_bit(
    rule: str, precision: str, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = replace(cell(rule, epochs=1), precision=precision)
    plain = trainer(which, images, tmp_path / "plain", Recorder())
    plain.fit()
    compiles_to(monkeypatch, lambda _learner, objective: objective)
    compared = trainer(which, images, tmp_path / "compared", Recorder(), compiled=True)
    compared.fit()
    assert same_bits(bits(plain), bits(compared))


@pytest.mark.parametrize("rule", [rule for rule, _ in in_precisions("bf16")])
def test_rounding_is_no_fault_in_bfloat16(rule: str, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused kernels round less often: here, they do not round to bfloat16 at all."""

    def rounds_less(_learner: Learner, objective: Compute) -> Compute:
        def run(x: Tensor, y: Tensor) -> Objective:
            with torch.autocast("cpu", enabled=False):
                return objective(x, y)

        return run

    compiles_to(monkeypatch, rounds_less)
    which = replace(cell(rule, epochs=1), precision="bf16")
    trainer(which, images, tmp_path, Recorder(), compiled=True).fit()


def test_a_cell_is_compared_once_and_its_small_batch_is_not(
    images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 examples in batches of 16: two steps an epoch are compiled, and one pass more for the comparison."""
    sizes: list[int] = []

    def counts(_learner: Learner, objective: Compute) -> Compute:
        def run(x: Tensor, y: Tensor) -> Objective:
            sizes.append(len(y))
            return objective(x, y)

        return run

    compiles_to(monkeypatch, counts)
    trainer(cell(epochs=2), images, tmp_path, Recorder(), compiled=True).fit()
    assert sizes == [16] * 5


def test_a_cell_that_resumes_is_compared_with_its_first_weights(
    images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a trained cell have gradients that are little but rounding, and no compiler has the same rounding."""
    seen: list[dict[str, Tensor]] = []

    def keeps(learner: Learner, objective: Compute) -> Compute:
        def run(x: Tensor, y: Tensor) -> Objective:
            seen.append({name: weight.detach().clone() for name, weight in learner.model.named_parameters()})
            return objective(x, y)

        return run

    compiles_to(monkeypatch, keeps)
    trainer(cell(), images, tmp_path / "part", Recorder(5), compiled=True).fit()
    started = len(seen)
    rest = trainer(cell(), images, tmp_path / "rest", Recorder(), compiled=True, previous=[tmp_path / "part"])
    assert len(seen) == started + 1
    assert same_bits(seen[0], seen[started])
    assert rest.progress.epoch + rest.progress.batch
    rest.fit()
    whole = trainer(cell(), images, tmp_path / "whole", Recorder(), compiled=True)
    whole.fit()
    assert same_bits(bits(whole), bits(rest))


def test_a_result_that_is_not_finite_is_a_fault(images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_learner: Learner, objective: Compute) -> Compute:
        return lambda x, y: objective(x * float("nan"), y)

    compiles_to(monkeypatch, breaks)
    with pytest.raises(WorkerError, match="compiles this cell wrongly"):
        trainer(cell(), images, tmp_path, Recorder(), compiled=True)
