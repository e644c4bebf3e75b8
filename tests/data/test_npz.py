"""A file of arrays becomes a data set: bytes are images, floating-point numbers keep their values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from own_data import arrays

from asapbench.data.batches import PADDING, Batches, _Gathered, _Sliced
from asapbench.data.images import load, normalization
from asapbench.suite.catalog import DATASETS, dataset_shape
from asapbench.suite.entries import DatasetShape
from asapbench.suite.options import Choice

ENTRY = DATASETS["npz"]


def _choice(path: Path) -> Choice:
    return ENTRY.completed(ENTRY.choose({"path": str(path)}), folder=Path())


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((6, 6), "uint8", (1, 6, 6)),
        ((3, 6, 6), "uint8", (3, 6, 6)),
        ((6, 6, 3), "uint8", (3, 6, 6)),
        ((2, 6, 6), "float64", (2, 6, 6)),
        ((5,), "float16", (5, 1, 1)),
        ((5,), "uint8", (5, 1, 1)),
    ],
)
def test_images_and_features_of_each_shape_and_type_keep_their_values(
    shape: tuple[int, ...], dtype: str, expected: tuple[int, ...], tmp_path: Path
) -> None:
    held = arrays(shape=shape, dtype=dtype)
    np.savez(tmp_path / "x.npz", **held)
    choice = _choice(tmp_path / "x.npz")
    images = load(choice, tmp_path)
    assert tuple(images.train_images.shape[1:]) == expected
    assert images.train_images.dtype == (torch.uint8 if dtype == "uint8" else torch.float32)
    values = 1 if dtype == "uint8" else 4
    assert dataset_shape(choice) == DatasetShape(expected[0], expected[2], 2, 40, 10, values)
    assert dataset_shape(choice).is_features == (len(shape) == 1)
    channels_last = len(shape) == 3 and shape[2] == 3
    first = held["x_train"][0].transpose(2, 0, 1) if channels_last else held["x_train"][0]
    assert torch.equal(images.train_images[0].flatten().double(), torch.tensor(first.ravel()).double())


def test_floating_point_features_are_standardised_by_their_own_statistics(tmp_path: Path) -> None:
    held = arrays() | {"x_train": np.random.default_rng(1).normal(7, [1, 2, 3, 4, 0], (40, 5))}
    np.savez(tmp_path / "x.npz", **held)
    choice = _choice(tmp_path / "x.npz")
    images = load(choice, tmp_path)
    assert images.mean == pytest.approx(held["x_train"].mean(axis=0))
    assert images.std == pytest.approx(held["x_train"].std(axis=0))
    mean, std = normalization(choice, images, "channel")
    made = Batches(
        images.train_images,
        images.train_labels,
        mean=mean,
        std=std,
        augment="none",
        device=torch.device("cpu"),
        seed=0,
    )
    ((found, _),) = made.epoch(1, 40)
    assert found.shape == (40, 5, 1, 1)
    assert torch.allclose(found.mean(dim=0), torch.zeros(5, 1, 1), atol=1e-5)
    spread = found.std(dim=0, correction=0).flatten()
    assert torch.allclose(spread, torch.tensor([1.0, 1, 1, 1, 0]), atol=1e-5)


def test_images_of_floating_point_numbers_are_cropped_and_flipped_as_bytes_are(tmp_path: Path) -> None:
    held = arrays(shape=(3, 6, 6), dtype="uint8")
    np.savez(tmp_path / "bytes.npz", **held)
    numbers = {name: array.astype("float32") / 255 if "x" in name else array for name, array in held.items()}
    np.savez(tmp_path / "numbers.npz", **numbers)
    batches = []
    for name in ("bytes", "numbers"):
        images = load(_choice(tmp_path / f"{name}.npz"), tmp_path)
        made = Batches(
            images.train_images,
            images.train_labels,
            mean=images.mean,
            std=images.std,
            augment="crop_flip",
            device=torch.device("cpu"),
            seed=0,
        )
        batches.append(next(made.epoch(1, 40))[0])
    assert torch.allclose(*batches, atol=1e-5)


def test_a_device_cuts_floating_point_images_as_a_cpu_does() -> None:
    numbers = torch.rand(20, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    labels, device = torch.arange(20) % 2, torch.device("cpu")
    made = Batches(numbers, labels, mean=(0.5, 0.5), std=(1, 1), augment="crop_flip", device=device, seed=0)
    draws, _ = made.placed(1)
    cut = [
        store.augmented(draws, slice(3, 17))
        for store in (_Sliced(numbers, PADDING), _Gathered(numbers, PADDING, device=device))
    ]
    assert torch.equal(*cut)


def test_the_content_is_that_of_the_arrays_not_of_the_file(tmp_path: Path) -> None:
    held = arrays()
    np.savez(tmp_path / "a.npz", **held)
    np.savez_compressed(tmp_path / "b.npz", **dict(reversed(held.items())))
    np.savez(tmp_path / "c.npz", **held | {"x_test": held["x_test"] + 1})
    same, packed, other = (_choice(tmp_path / f"{name}.npz") for name in "abc")
    assert same == packed
    assert same["content"] != other["content"]
