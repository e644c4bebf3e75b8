"""Steps are CUDA graphs on an NVIDIA GPU where the cell's optimizer allows it, and wherever the user says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_cell import cell

from asapbench.machine.kinds import KINDS
from asapbench.suite import catalog
from asapbench.training.environment import differences, signature
from asapbench.training.settings import TrainingSettings

KERNELS = [False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_left_to_the_cell_only_a_gpu_of_nvidia_has_them(kind: str) -> None:
    assert TrainingSettings().uses_graphs(cell(), kind) is (kind == "cuda")


def test_left_to_the_cell_an_optimizer_that_reads_its_rate_on_the_host_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog, "OPTIMIZERS", {"sgd": replace(catalog.OPTIMIZERS["sgd"], takes_fused=False)})
    assert not TrainingSettings().uses_graphs(cell(), "cuda")
    assert TrainingSettings(cuda_graphs=True).uses_graphs(cell(), "cuda"), "and then the cell fails"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [True, False])
def test_what_the_user_says_counts(given: bool, kind: str) -> None:
    assert TrainingSettings(cuda_graphs=given).uses_graphs(cell(), kind) is given
    assert TrainingSettings(cuda_graphs=given).recorded(cell(), kind)["cuda_graphs"] is given


@pytest.mark.parametrize("compiled", KERNELS)
def test_graphs_are_a_part_of_the_environment_of_compiled_kernels_alone(compiled: bool) -> None:
    settings, device = TrainingSettings(compiled=compiled), torch.device("cpu")
    with_graphs, without = (
        signature(device, settings, uses_graphs=uses, memory_format=torch.contiguous_format) for uses in (True, False)
    )
    assert (with_graphs == without) is not compiled


@pytest.mark.parametrize("compiled", KERNELS)
def test_graphs_that_a_checkpoint_names_count_with_compiled_kernels_alone(compiled: bool) -> None:
    now = {"torch": "2.11.0"} | ({"compiled": True} if compiled else {})
    assert differences(now | {"cuda_graphs": True}, now) == (["cuda_graphs True, now not set"] if compiled else [])
