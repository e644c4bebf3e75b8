"""DistributedDataParallel on two processes: the averaged gradients are those of the joined batch in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from asapbench.rules import Learner, attach

pytestmark = pytest.mark.slow

RULES = ("bp", "fa", "kp", "dfa", "asap", "weight_mirror", "local_errors")
"""A rule of each kind, except losses that compare the examples of a batch."""
BOUND = ("kp", "asap")
X = torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.arange(8) % 5


def learner_of(rule: str) -> tuple[Learner, torch.optim.Optimizer]:
    """Without BatchNorm, whose statistics are those of each process."""
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 4), (4, 4), (4, 6), (6, 6)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)).double()
    learner = attach(model, rule, X, seed=2)
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.1, momentum=0.9, weight_decay=0.1)
    if rule in BOUND:
        learner.bind(optimizer)
    return learner, optimizer


def gradients(learner: Learner) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in learner.trained_parameters() if p.grad is not None}


def train_half(rank: int, folder: Path) -> None:
    """Two steps of each rule on every second example; process 0 writes the gradients of the second."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    found = {}
    for rule in RULES:
        learner, optimizer = learner_of(rule)
        parallel = DistributedDataParallel(learner)
        for _ in range(2):
            optimizer.zero_grad()
            learner.begin_step()
            parallel(X[rank::2], Y[rank::2]).scalar.backward()
            found[rule] = gradients(learner)
            optimizer.step()
    if rank == 0:
        torch.save(found, folder / "gradients.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("parallel")
    mp.spawn(train_half, (folder,), nprocs=2)
    gradients: dict[str, dict[str, Tensor]] = torch.load(folder / "gradients.pt")
    return gradients


@pytest.mark.parametrize("rule", RULES)
def test_two_processes_learn_as_one_with_the_joined_batch(rule: str, found: dict[str, dict[str, Tensor]]) -> None:
    learner, optimizer = learner_of(rule)
    for _ in range(2):
        optimizer.zero_grad()
        learner.backward(X, Y)
        expected = gradients(learner)
        optimizer.step()
    assert set(found[rule]) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[rule][name], gradient, rtol=1e-9, atol=1e-13, msg=name)
