"""The peak of a step, counted on shapes: as the numbers of its tensors say, and ordered as real steps are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from asapbench.analysis import peak
from asapbench.analysis.peak import Alive, step_peak
from asapbench.errors import AsapbenchError
from asapbench.models import build
from asapbench.rules import attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.suite.options import Value

CELL = next(cell for cell in load("quickstart").cells if cell.model.name == "resnet10")


def bp(cell: Cell = CELL, **options: Value) -> Cell:
    return replace(cell, rule=RULES["bp"].choose(options))


def test_storages_are_counted_once_from_their_first_tensor_to_their_last() -> None:
    given = torch.zeros(10)
    with Alive([given, given.view(2, 5)]) as alive:
        view = (given + 1)[2:]
        assert alive.now == 80
        del view
        assert alive.now == 40
        given.add_(1)
    assert (alive.now, alive.peak) == (40, 80)


def test_a_step_holds_weights_momentum_gradients_and_the_batch() -> None:
    """Of a large network on two examples little else."""
    cell = replace(CELL, model=MODELS["mlp"].choose({"hidden": 512}), batch_size=2)
    network = build(cell.model, channels=1, size=8, classes=10)
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    assert dict(cell.optimizer.options)["momentum"]
    assert 3 * weights < step_peak(bp(cell)) < 3.1 * weights


def test_the_count_on_shapes_is_that_of_a_real_step() -> None:
    """Where no kernel has other tensors than its counterpart without numbers."""
    found = []
    for device in ("cpu", "meta"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        learner = attach(model, RULES["bp"].choose(), torch.zeros(2, 1, 8, 8)).to(device)
        batch, labels = torch.zeros(16, 1, 8, 8, device=device), torch.zeros(16, dtype=torch.int64, device=device)
        with Alive([*learner.parameters(), batch, labels]) as alive:
            learner.backward(batch, labels)
        found.append(alive.peak)
    assert found[0] == found[1]


def test_less_memory_is_counted_as_less() -> None:
    """Of a batch large enough that its activations are most of the memory."""
    large = replace(CELL, batch_size=512)
    whole, parts = step_peak(bp(large)), [step_peak(bp(large, micro_batches=parts)) for parts in (2, 4, 8)]
    checkpointed = step_peak(bp(large, checkpointing=True))
    assert whole > parts[0] > parts[1] > parts[2]
    assert whole > checkpointed > step_peak(bp(large, checkpointing=True, micro_batches=4))


def test_parts_of_few_examples_need_more_than_the_batch_of_a_network_of_many_weights() -> None:
    """The sums of the gradients are held beside the gradients of a part."""
    cell = replace(CELL, model=MODELS["mlp"].choose({"hidden": 512}), batch_size=4)
    assert step_peak(bp(cell, micro_batches=2)) > step_peak(bp(cell))


@pytest.mark.parametrize("parts", [3, 5])
def test_two_of_the_largest_parts_stand_for_all(parts: int) -> None:
    cell = bp(micro_batches=parts)
    every = peak._counted(cell.dataset, cell.model, cell.rule, cell.optimizer, cell.batch_size)
    assert step_peak(cell) == pytest.approx(every, rel=1e-3)


def test_a_step_that_needs_numbers_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs_numbers(*_choices: object) -> object:
        return lambda batch_size: torch.zeros(batch_size, device="meta").sum().item()

    monkeypatch.setattr(peak, "_step", needs_numbers)
    with pytest.raises(AsapbenchError, match="does not run on shapes alone"):
        step_peak(replace(bp(), batch_size=7))
