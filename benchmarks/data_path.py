"""An epoch's batches (crop, flip, normalise) beside per-sample PIL transforms behind a DataLoader, and beside training.

python benchmarks/data_path.py --images 5000 --rounds 9

With --data DIR, where CIFAR-10 is: also its load from the published files beside the load of the mapped file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import interleaved, table, terms
from PIL import Image
from torchvision import transforms

from asapbench.data.batches import Batches
from asapbench.data.files import OWN_FOLDER
from asapbench.data.images import load
from asapbench.models import build, initialise
from asapbench.suite.catalog import DATASETS, MODELS

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH = 128
CONTROL = "PIL and DataLoader"
FROM_SOURCES, MAPPED = "published files", "mapped file"


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


def training_step(width: int) -> Callable[[], None]:
    """Backpropagation through ResNet-18 on a batch of 128, in plain PyTorch."""
    model = build(MODELS["resnet18"].choose({"width": width}), channels=3, size=32, classes=10)
    initialise(model, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    x, y = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(model(x), y))
        optimizer.step()

    return step


def loads(data: Path, folder: Path) -> dict[str, Callable[[], object]]:
    """CIFAR-10 loaded where no file can be written, and where one has been."""
    dataset, roots = DATASETS["cifar10"].choose(), {FROM_SOURCES: folder / "a", MAPPED: folder / "b"}
    for root in roots.values():
        root.mkdir()
        (root / "cifar-10-batches-py").symlink_to(data.resolve() / "cifar-10-batches-py")
    (roots[FROM_SOURCES] / OWN_FOLDER).write_text("in the way")
    warnings.filterwarnings("ignore", message=".* cannot be written")
    return {name: partial(load, dataset, root) for name, root in roots.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 64], help="of the ResNet-18 whose step is timed")
    parser.add_argument("--data", type=Path, help="folder of the data sets: time the load of CIFAR-10, too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (given.images, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (given.images,))
    cpu = torch.device("cpu")
    ours = Batches(images, labels, mean=MEAN, std=STD, augment="crop_flip", device=cpu, seed=0)
    theirs = torch.utils.data.DataLoader(PerSample(images, labels), batch_size=BATCH, shuffle=True)
    candidates = {
        CONTROL: lambda: sum(len(y) for _, y in theirs),
        "asapbench": lambda: sum(len(y) for _, y in ours.epoch(1, BATCH)),
    }
    found = interleaved(candidates, rounds=given.rounds)
    print(f"{given.images} images of 3x32x32, batch {BATCH}; {terms(given.rounds)}\n")
    print(table(found, control=CONTROL))
    ratios = sorted(a / b for a, b in zip(found[CONTROL], found["asapbench"], strict=True))
    print(f"\n{ratios[len(ratios) // 2]:.0f} times faster (median; {ratios[0]:.0f} to {ratios[-1]:.0f})")
    batches = statistics.median(found["asapbench"]) / ours.batches(BATCH)
    for width in given.widths:
        step = statistics.median(interleaved({"step": training_step(width)}, rounds=given.rounds)["step"])
        print(f"a batch takes {batches / step:.2%} of a training step of ResNet-18 of width {width}")
    if given.data:
        with tempfile.TemporaryDirectory() as folder:
            print("\n" + table(interleaved(loads(given.data, Path(folder)), rounds=given.rounds), control=FROM_SOURCES))


if __name__ == "__main__":
    main()
