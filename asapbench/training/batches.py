"""The batches of a cell: what it trains on, what it holds out, what it is tested on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from asapbench.data.batches import Batches
from asapbench.data.images import Images, normalization
from asapbench.randomness import permutation
from asapbench.suite.cell import Cell


def training_batches(
    cell: Cell, images: Images, device: torch.device, *, memory_format: torch.memory_format
) -> tuple[Batches, Batches | None]:
    """The training examples, augmented as the cell says, and those held out of them for validation, if any."""
    train = partial(_batches(cell, images, device, memory_format), images.train_images, images.train_labels)
    if not cell.validation:
        return train(augment=cell.augment), None
    # The split is the data set's, not the seed's: every seed and rule is chosen on the same examples.
    order = permutation(len(images.train_labels), seed=0, purpose="validation", key=cell.dataset.name)
    held, rest = order[: cell.validation], order[cell.validation :].sort().values
    return train(augment=cell.augment, subset=rest), train(augment="none", subset=held)


def testing_batches(cell: Cell, images: Images, device: torch.device, *, memory_format: torch.memory_format) -> Batches:
    """The test examples as they are."""
    return _batches(cell, images, device, memory_format)(images.test_images, images.test_labels, augment="none")


def _batches(
    cell: Cell, images: Images, device: torch.device, memory_format: torch.memory_format
) -> Callable[..., Batches]:
    mean, std = normalization(cell.dataset, images, cell.normalization)
    return partial(Batches, mean=mean, std=std, device=device, seed=cell.seed, memory_format=memory_format)
