"""The batches of a cell: what it trains on, what it holds out, what it is tested on."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from asapbench.data.batches import Batches
from asapbench.data.images import Images, normalization
from asapbench.randomness import permutation
from asapbench.suite.cell import Cell


def training_batches(
    cell: Cell, images: Images, device: torch.device, *, memory_format: torch.memory_format
) -> tuple[Batches, Batches | None]:
    """The training examples, augmented as the cell says, and those held out of them for validation, if any."""
    batches = partial(
        _batches, cell, images, images.train_images, images.train_labels, device=device, memory_format=memory_format
    )
    if not cell.validation:
        return batches(augment=cell.augment), None
    # The split is the data set's, not the seed's: every seed and rule is chosen on the same examples.
    order = permutation(len(images.train_labels), seed=0, purpose="validation", key=cell.dataset.name)
    held, rest = order[: cell.validation], order[cell.validation :].sort().values
    return batches(augment=cell.augment, subset=rest), batches(subset=held)


def testing_batches(cell: Cell, images: Images, device: torch.device, *, memory_format: torch.memory_format) -> Batches:
    """The test examples as they are."""
    pixels, labels = images.test_images, images.test_labels
    return _batches(cell, images, pixels, labels, device=device, memory_format=memory_format)


def _batches(
    cell: Cell,
    images: Images,
    pixels: Tensor,
    labels: Tensor,
    *,
    device: torch.device,
    memory_format: torch.memory_format,
    augment: str = "none",
    subset: Tensor | None = None,
) -> Batches:
    mean, std = normalization(cell.dataset, images, cell.normalization)
    return Batches(
        pixels,
        labels,
        mean=mean,
        std=std,
        augment=augment,
        subset=subset,
        device=device,
        seed=cell.seed,
        memory_format=memory_format,
    )
