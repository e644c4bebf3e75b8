"""A rule on several processes by torch's DistributedDataParallel, one process for each device (here: the CPU, gloo).

`forward` with labels is the learner's objective, so the wrapper averages the rule's gradients as it does any others.
Run it with `torchrun --nproc-per-node 2 examples/data_parallel.py`; each process learns from its own half of
scikit-learn's digits.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from asapbench import attach


def main() -> None:
    """One process: rank, number of processes and where they meet come from torchrun."""
    dist.init_process_group("gloo")
    rank, count = dist.get_rank(), dist.get_world_size()
    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1)[rank::count] / 16
    labels = torch.tensor(bunch.target)[rank::count]

    torch.manual_seed(0)  # the same first weights in each process; feedback weights come from attach's seed
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10)
    )
    learner = attach(model, "dfa", sample=images[:2])
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.02, momentum=0.9)
    learner.bind(optimizer)  # before it is wrapped: what is learned beside the model may become a fixed tensor
    parallel = DistributedDataParallel(learner)

    for step in range(100):
        batch = torch.arange(step * 16, step * 16 + 16) % len(images)
        optimizer.zero_grad()
        learner.begin_step()  # what some rules do before a step; `learner.backward` would do it itself
        objective = parallel(images[batch], labels[batch])
        objective.scalar.backward()
        optimizer.step()
    if rank == 0:
        print(f"loss {float(objective.loss):.3f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
