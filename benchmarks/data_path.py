"""An epoch's batches (crop, flip, normalise) beside per-sample PIL transforms behind a DataLoader.

python benchmarks/data_path.py --images 5000 --rounds 9
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from measuring import interleaved, table, terms
from PIL import Image
from torchvision import transforms

from asapbench.data.batches import Batches

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CONTROL = "PIL and DataLoader"


class PerSample(torch.utils.data.Dataset[Any]):
    """What torchvision's CIFAR10 with transforms does for each image."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images.permute(0, 2, 3, 1).numpy(), labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (given.images, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (given.images,))
    cpu = torch.device("cpu")
    ours = Batches(images, labels, mean=MEAN, std=STD, augment="crop_flip", device=cpu, seed=0)
    theirs = torch.utils.data.DataLoader(PerSample(images, labels), batch_size=128, shuffle=True)
    candidates = {
        CONTROL: lambda: sum(len(y) for _, y in theirs),
        "asapbench": lambda: sum(len(y) for _, y in ours.epoch(1, 128)),
    }
    found = interleaved(candidates, rounds=given.rounds)
    print(f"{given.images} images of 3x32x32, batch 128; {terms(given.rounds)}\n")
    print(table(found, control=CONTROL))
    ratios = sorted(a / b for a, b in zip(found[CONTROL], found["asapbench"], strict=True))
    print(f"\n{ratios[len(ratios) // 2]:.0f} times faster (median; {ratios[0]:.0f} to {ratios[-1]:.0f})")


if __name__ == "__main__":
    main()
