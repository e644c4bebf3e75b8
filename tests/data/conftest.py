"""Real data stand where ASAPBENCH_DATA says; a test that needs them is skipped where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from asapbench.data.batches import Batches
from asapbench.data.lookup import check, published_set
from asapbench.data.published import PublishedFiles
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("ASAPBENCH_DATA")
    if not folder:
        pytest.skip("set ASAPBENCH_DATA to the folder of the real data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def need(real_data: Path) -> Callable[..., Path]:
    """`need("mnist")`: the data root, if the set is there; else the test is skipped."""

    def root(name: str, **options: int) -> Path:
        try:
            check(DATASETS[name].choose(options), real_data)
        except DataError as error:
            pytest.skip(str(error))
        return real_data

    return root


@pytest.fixture
def linked(need: Callable[..., Path], tmp_path: Path) -> Callable[[str], Path]:
    """`linked("mnist")`: a data root in which every file of the real set is a link to it."""

    def root(name: str) -> Path:
        real = need(name)
        dataset = published_set(name)
        assert isinstance(dataset, PublishedFiles)
        for file in dataset.files:
            place = tmp_path / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(real / file.path)
        return tmp_path

    return root


@pytest.fixture
def damage() -> Callable[..., None]:
    return _damage


@pytest.fixture
def random_images() -> Callable[..., tuple[Tensor, Tensor]]:
    return _random_images


@pytest.fixture
def random_batches() -> Callable[..., Batches]:
    return _random_batches


def _damage(path: Path, *, how: str) -> None:
    """Replace the link `path` by a copy that is missing, truncated or has one flipped bit."""
    content = bytearray(path.read_bytes())
    path.unlink()
    if how == "missing":
        return
    if how == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 3] ^= 4
    path.write_bytes(content)


def _random_images(count: int, *, channels: int = 3, side: int = 12) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, channels, side, side), generator=stream, dtype=torch.uint8)
    return images, torch.arange(count) % 10


def _random_batches(count: int = 50, *, augment: str = "crop_flip", seed: int = 3) -> Batches:
    images, labels = _random_images(count)
    mean, std = (0.49, 0.48, 0.45), (0.247, 0.243, 0.262)
    return Batches(images, labels, mean=mean, std=std, augment=augment, device=torch.device("cpu"), seed=seed)


@pytest.fixture(scope="session")
def tiny_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Tiny ImageNet of two classes, in the full layout; one image is grey."""
    root = tmp_path_factory.mktemp("tiny")
    top = root / "tiny-imagenet-200"
    names = ["n02", "n01"]
    (top / "val" / "images").mkdir(parents=True)
    (top / "wnids.txt").write_text("".join(f"{name}\n" for name in names))
    shades = np.random.default_rng(0)

    def picture(path: Path, *, mode: str = "RGB") -> None:
        coarse = shades.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64)).convert(mode).save(path, quality=90)

    for name in names:
        folder = top / "train" / name / "images"
        folder.mkdir(parents=True)
        for number in range(500):
            picture(folder / f"{name}_{number}.JPEG", mode="L" if number == 1 else "RGB")
    rows = []
    for number in range(100):
        picture(top / "val" / "images" / f"val_{number}.JPEG")
        rows.append(f"val_{number}.JPEG\t{names[number % 2]}\t0\t0\t9\t9\n")
    (top / "val" / "val_annotations.txt").write_text("".join(rows))
    return root
