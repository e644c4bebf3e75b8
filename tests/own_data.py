"""Small data of a user: a folder of images, a file of arrays, a suite that names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEAD = '[suite]\nname = "mine"\n[[grid]]\n'
REST = 'rule = "bp"\nlr = 0.03\nepochs = 1\nbatch_size = 6\n'


def write_images(
    folder: Path, *, classes: Sequence[str] = ("cat", "dog"), count: int = 10, seed: int = 0, side: int = 8
) -> Path:
    """`count` PNG files of random pixels in a folder for each class."""
    pixels = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = pixels.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / name / f"{number:02}.png")
    return folder


def arrays(*, shape: tuple[int, ...] = (5,), dtype: str = "float32", classes: int = 2) -> dict[str, np.ndarray]:
    """40 training and 10 test examples of random numbers."""
    numbers = np.random.default_rng(0)

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        return numbers.integers(0, 256, (count, *shape)).astype(dtype), np.arange(count) % classes

    (x_train, y_train), (x_test, y_test) = split(40), split(10)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def write_suite(folder: Path, dataset: str, *, model: str = "mlp", more: str = "") -> Path:
    """A suite of one cell; `dataset` is the inside of its table."""
    path = folder / "mine.toml"
    path.write_text(f'{HEAD}dataset = {{ {dataset} }}\nmodel = "{model}"\n{REST}{more}')
    return path


def write_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `folder` the working folder, with images in `pets`, arrays in `x.npz`, and no other data or database."""
    write_images(folder / "pets")
    np.savez(folder / "x.npz", **arrays())
    monkeypatch.chdir(folder)
    for name in ("ASAPBENCH_DATA", "ASAPBENCH_DB", "ASAPBENCH_FILES"):
        monkeypatch.delenv(name, raising=False)
