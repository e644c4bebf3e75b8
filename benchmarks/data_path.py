"""An epoch's batches (crop, flip, normalise) compared with PIL transforms in a DataLoader, and with a training step.

python benchmarks/data_path.py --images 5000 --rounds 9

With --data DIR, the folder of CIFAR-10: also how long it loads from the published files and from the mapped file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from measuring import conditions, interleaved, ratios, table
from plain_training import network, sgd, training_step
from torch.utils.data import DataLoader

from asapbench.analysis.speed.plain_loop import Transformed
from asapbench.data.files import OWN_FOLDER
from asapbench.data.images import load, random_images
from asapbench.suite.catalog import DATASETS
from asapbench.suite.load import load as load_suite
from asapbench.training.batches import training_batches

BATCH = 128
CONTROL, OURS = "PIL and DataLoader", "asapbench"
FROM_SOURCES, MAPPED = "published files", "mapped file"


def plain_step(width: int) -> Callable[[], None]:
    """Backpropagation through ResNet-18 on a batch, in plain PyTorch."""
    model, x, y = network(width), torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
    return training_step(lambda: torch.nn.functional.cross_entropy(model(x), y), sgd(model.parameters()))


def loads(data: Path, folder: Path) -> dict[str, Callable[[], object]]:
    """Loads of CIFAR-10: one where no mapped file can be written, one from a mapped file."""
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
    dataset = DATASETS["cifar10"].choose({"train_size": given.images})
    cell, images = replace(load_suite("cifar10").cells[0], dataset=dataset), random_images(dataset)
    ours, _ = training_batches(cell, images, torch.device("cpu"), memory_format=torch.contiguous_format)
    theirs = DataLoader(Transformed(cell, images), batch_size=BATCH, shuffle=True)
    candidates = {
        CONTROL: lambda: sum(len(y) for _, y in theirs),
        OURS: lambda: sum(len(y) for _, y in ours.epoch(1, BATCH)),
    }
    found = interleaved(candidates, rounds=given.rounds)
    print(f"{given.images} images of 3x32x32, batch {BATCH}; {conditions(given.rounds)}\n")
    print(table(found, control=CONTROL))
    median, least, most = ratios(found, CONTROL, to=OURS)
    print(f"\n{median:.0f} times faster (median; {least:.0f} to {most:.0f})")
    batches = statistics.median(found[OURS]) / ours.batches(BATCH)
    for width in given.widths:
        step = statistics.median(interleaved({"step": plain_step(width)}, rounds=given.rounds)["step"])
        print(f"a batch takes {batches / step:.2%} of a training step of ResNet-18 of width {width}")
    if given.data:
        with tempfile.TemporaryDirectory() as folder:
            print("\n" + table(interleaved(loads(given.data, Path(folder)), rounds=given.rounds), control=FROM_SOURCES))


if __name__ == "__main__":
    main()
