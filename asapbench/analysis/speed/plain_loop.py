"""The control of speed: the same network in plain PyTorch as most programs are written, eager and in float32.

It uses nn modules, autograd, torch.optim, and a DataLoader whose data set transforms one PIL image at a time with
torchvision; it reads loss and hits after each step. Torch's defaults stay: on a GPU, convolutions may use TF32. Only
`cudnn.benchmark` is on, as in most scripts. There are no rules, fused optimizers or device-resident data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from asapbench.data.batches import PADDING
from asapbench.data.images import Images, normalization
from asapbench.models import build, initialise
from asapbench.models.options import linear_init
from asapbench.suite.cell import Cell
from asapbench.training.flops import counted
from asapbench.training.optimizer import build_optimizer


class PlainLoop:
    """The network of `cell` under backpropagation, whatever its rule, on `device`; `workers` load its data."""

    def __init__(self, cell: Cell, images: Images, *, device: torch.device, workers: int) -> None:
        self.device = device
        torch.backends.cudnn.benchmark = device.type == "cuda"
        channels, size = images.train_images.shape[1:3]
        self.model = build(cell.model, channels=channels, size=size, classes=images.classes)
        initialise(self.model, cell.seed, linear=linear_init(cell.model))
        self.model.to(device).train()
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = build_optimizer(cell.optimizer, self.model.parameters(), lr=cell.lr, device=device, plain=True)
        self._loader = DataLoader(
            Transformed(cell, images),
            batch_size=cell.batch_size,
            shuffle=True,
            num_workers=workers,
            pin_memory=device.type == "cuda",
        )
        # Kept between measurements: batches that its workers load meanwhile are an advantage of the control.
        self._batches = _endless(self._loader)
        self.running_loss, self.correct = 0.0, 0

    def flops(self) -> float:
        """Floating-point operations of a step, by example."""
        x, y = (tensor.to(self.device) for tensor in next(self._batches))
        return counted(lambda: self.criterion(self.model(x), y).backward()) / len(y)

    def steps(self, enough: Callable[[int], bool]) -> int:
        """Trains until `enough` is true of the number of steps, at least one; returns the number of examples."""
        examples = done = 0
        while not done or not enough(done):
            inputs, targets = next(self._batches)
            inputs, targets = inputs.to(self.device), targets.to(self.device)
            self.optimizer.zero_grad()
            outputs = self.model(inputs)
            loss = self.criterion(outputs, targets)
            loss.backward()
            self.optimizer.step()
            self.running_loss += loss.item()
            self.correct += int(outputs.argmax(1).eq(targets).sum().item())
            examples += len(targets)
            done += 1
        return examples


class Transformed(Dataset[tuple[Tensor, int]]):
    """The training images, each transformed when it is requested, as torchvision's data sets do.

    Pillow opens pixels of one or three channels; other values are tensors from the start.
    """

    def __init__(self, cell: Cell, images: Images) -> None:
        pictures = images.train_images.dtype == torch.uint8 and images.train_images.shape[1] in (1, 3)
        pixels = images.train_images.permute(0, 2, 3, 1).squeeze(3) if pictures else images.train_images
        self._pixels = pixels.numpy()  # pictures of one channel: (N, H, W)
        self._opened: Callable[[Any], Any] = Image.fromarray if pictures else torch.from_numpy
        self._labels = images.train_labels.tolist()
        augmented = [
            transforms.RandomCrop(images.train_images.shape[2], padding=PADDING),
            transforms.RandomHorizontalFlip(),
        ]
        mean, std = normalization(cell.dataset, images, cell.normalization)
        self._transform = transforms.Compose(
            [
                *(augmented if cell.augment == "crop_flip" else []),
                transforms.ToTensor() if pictures else transforms.ConvertImageDtype(torch.float32),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        """The number of images."""
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One image and its label."""
        return self._transform(self._opened(self._pixels[index])), self._labels[index]


def _endless(loader: DataLoader[tuple[Tensor, int]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader
