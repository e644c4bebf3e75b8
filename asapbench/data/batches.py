"""Device-resident batches: the images are on the device; whole batches are cropped, flipped and normalised there.

The order of an epoch and its augmentation are drawn on the CPU from (seed, purpose, epoch), so that a batch is the same
on any device and an interrupted epoch resumes with exactly the batches it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asapbench.randomness import integers, permutation

PADDING = 4
"""Raw pixels of black, value 0, on each side before the random crop (App. C)."""


class Draws(NamedTuple):
    """The random choices of one epoch, for each position of its order; int64 and bool (N,), drawn on the CPU.

    `order` is the example's index in its set; `top` and `left` are where the crop starts in the padded image (0..8) and
    `flipped` whether it is mirrored: None without augmentation.
    """

    order: Tensor
    top: Tensor | None
    left: Tensor | None
    flipped: Tensor | None

    def to(self, device: torch.device) -> Draws:
        """The draws on `device`."""
        return Draws(self.order.to(device), *(None if drawn is None else drawn.to(device) for drawn in self[1:]))

    def copy_(self, other: Draws) -> None:
        """Writes the draws of another epoch of the same batches into the memory of these."""
        for mine, theirs in zip(self, other, strict=True):
            if mine is not None and theirs is not None:
                mine.copy_(theirs)


class Batches:
    """Training and evaluation batches of one set of images, or of those whose indices `subset` lists, in its order.

    `images` is uint8 or float32 (N, C, H, W), `labels` int64 (N,); `mean` and `std` are by channel, of uint8 pixels in
    units of 0..1.
    `augment` is "none", or "crop_flip": torchvision's RandomCrop(padding=4) and RandomHorizontalFlip on raw pixels (the
    border is black), then normalised. A batch is float32 images (B, C, H, W) in the order of `memory_format` and labels
    (B,); both are new tensors. The CPU path keeps one buffer: do not interleave two
    iterators of one object from several threads.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        augment: str,
        subset: Tensor | None = None,
        device: torch.device,
        seed: int,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.seed, self.augment, self.device = seed, augment, device
        self._memory_format = memory_format
        self._labels = labels.to(device)
        padding = PADDING if augment == "crop_flip" else 0
        if subset is not None:
            self._labels = self._labels[subset.to(device)]
            if device.type != "cpu":  # otherwise a device would hold all images for each subset
                images, subset = images[subset], None
        self._subset = subset
        on_cpu = device.type == "cpu"
        self._store = _Sliced(images, padding) if on_cpu else _Gathered(images, padding, device=device)
        unit = 255 if images.dtype == torch.uint8 else 1
        by_channel = [1 / (unit * s) for s in std], [m / s for m, s in zip(mean, std, strict=True)]
        self._scale, self._shift = (
            torch.tensor(numbers, dtype=torch.float64).to(torch.float32).reshape(1, -1, 1, 1).to(device)
            for numbers in by_channel
        )

    def __len__(self) -> int:
        """Examples, not batches."""
        return len(self._labels)

    def batches(self, batch_size: int) -> int:
        """How many batches an epoch has; the last may be smaller."""
        return -(-len(self) // batch_size)

    def draws(self, epoch: int) -> Draws:
        """Order and augmentation of epoch `epoch`, drawn for all of it at once: from the seed and the epoch only."""
        count = len(self)
        order = permutation(count, seed=self.seed, purpose="order", key=epoch)
        if self.augment == "none":
            return Draws(order, None, None, None)
        drawn = integers(3 * count, seed=self.seed, purpose="augment", key=epoch).reshape(3, count)
        top, left = torch.from_numpy((drawn[:2] % (2 * PADDING + 1)).astype(np.int64))
        return Draws(order, top, left, torch.from_numpy(drawn[2] % 2 == 1))

    def epoch(self, number: int, batch_size: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The shuffled, augmented, normalised batches of epoch `number`, from batch index `start` to the end."""
        draws, labels = self.placed(number)
        for first in range(start * batch_size, len(self), batch_size):
            part = slice(first, first + batch_size)
            yield self.cut(draws, part), labels[part]

    def placed(self, number: int) -> tuple[Draws, Tensor]:
        """The draws of epoch `number`, with `order` as indices of the images, and its labels, on the device."""
        draws = self.draws(number).to(self.device)
        labels = self._labels[draws.order]
        return draws if self._subset is None else draws._replace(order=self._subset[draws.order]), labels

    def cut(self, draws: Draws, part: slice | Tensor) -> Tensor:
        """One batch of images, augmented and normalised: the positions `part` of draws that `placed` returned."""
        return self._normalised(self._store.augmented(draws, part))

    def sequential(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The normalised batches in the order of the examples, not augmented: for evaluation."""
        for first in range(0, len(self), batch_size):
            part = slice(first, first + batch_size)
            chosen = part if self._subset is None else self._subset[part]
            yield self._normalised(self._store.plain(chosen)), self._labels[part].clone()

    def _normalised(self, pixels: Tensor) -> Tensor:
        # Two roundings, never a fused multiply-add: the same bits on every device. The product is a new tensor.
        normalised = torch.mul(pixels, self._scale).sub_(self._shift)
        return normalised.to(memory_format=self._memory_format)


class _Sliced:
    """On a CPU: each sample is one slice of its image, copied into one reused buffer whose border is black.

    `augmented`: the positions `part` of an epoch, raw (B, C, H, W), which the next call may overwrite. `plain`: the
    images `part` as they are, which the caller may not write to.

    The images are not copied: they may be in a file that other workers map too.
    """

    def __init__(self, images: Tensor, padding: int) -> None:
        self._images = images.numpy()
        self._rows, self._columns = (_overlaps(side, padding) for side in images.shape[2:])
        self._buffer = np.empty((0, *images.shape[1:]), dtype=self._images.dtype)

    def augmented(self, draws: Draws, part: slice | Tensor) -> Tensor:
        chosen = draws.order[part].numpy()
        if len(self._buffer) < len(chosen):
            self._buffer = np.empty((len(chosen), *self._buffer.shape[1:]), dtype=self._buffer.dtype)
        buffer, images = self._buffer[: len(chosen)], self._images
        if draws.top is None or draws.left is None or draws.flipped is None:
            np.take(images, chosen, axis=0, out=buffer, mode="clip")  # "clip" writes straight into the buffer
            return torch.from_numpy(buffer)
        buffer.fill(0)
        mirrored = buffer[..., ::-1]
        drawn = zip(
            chosen.tolist(),
            draws.top[part].tolist(),
            draws.left[part].tolist(),
            draws.flipped[part].tolist(),
            strict=True,
        )
        for place, (index, top, left, flipped) in enumerate(drawn):
            (rows, from_rows), (columns, from_columns) = self._rows[top], self._columns[left]
            target = mirrored if flipped else buffer
            target[place, :, rows, columns] = images[index, :, from_rows, from_columns]
        return torch.from_numpy(buffer)

    def plain(self, part: slice | Tensor) -> Tensor:
        # NumPy takes a tensor of one index for a number, and would drop the first dimension.
        return torch.from_numpy(self._images[part.numpy() if isinstance(part, Tensor) else part])


def _overlaps(side: int, padding: int) -> list[tuple[slice, slice]]:
    """For each place where a crop may start in the padded side: the part of the crop that the image covers, and of the
    image.
    """
    found = []
    for shift in range(-padding, padding + 1):
        length, crop, image = max(side - abs(shift), 0), max(-shift, 0), max(shift, 0)
        found.append((slice(crop, crop + length), slice(image, image + length)))
    return found


class _Gathered:
    """As `_Sliced`, on an accelerator: a batch is one gather from the padded images."""

    def __init__(self, images: Tensor, padding: int, *, device: torch.device) -> None:
        self._padding = padding
        self._padded = F.pad(images.to(device), (padding,) * 4) if padding else images.to(device)
        self._channels = torch.arange(images.shape[1], device=device).reshape(1, -1, 1, 1)
        self._rows = torch.arange(images.shape[2], device=device)
        self._columns = torch.arange(images.shape[3], device=device)

    def augmented(self, draws: Draws, part: slice | Tensor) -> Tensor:
        chosen = draws.order[part]
        if draws.top is None or draws.left is None or draws.flipped is None:
            return self._padded[chosen]
        columns = torch.where(draws.flipped[part, None], self._columns.flip(0), self._columns)
        rows = draws.top[part, None] + self._rows
        columns = draws.left[part, None] + columns
        return self._padded[
            chosen[:, None, None, None], self._channels, rows[:, None, :, None], columns[:, None, None, :]
        ]

    def plain(self, part: slice | Tensor) -> Tensor:
        p = self._padding
        return self._padded[part, :, p : p + len(self._rows), p : p + len(self._columns)]
