import dataclasses
import importlib.metadata
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asapbench.data.images import load, normalization, statistics
from asapbench.errors import DataError
from asapbench.suite import catalog
from asapbench.suite.catalog import DATASETS, dataset_shape


def test_digits_are_built_in_split_and_as_the_catalog_says(tmp_path: Path) -> None:
    images = load(DATASETS["digits"].choose(), tmp_path)
    assert images.train_images.shape == (1438, 1, 8, 8)
    assert images.test_images.shape == (359, 1, 8, 8)
    assert images.train_images.dtype == torch.uint8
    assert images.train_labels.dtype == images.test_labels.dtype == torch.int64
    assert (int(images.train_images.min()), int(images.train_images.max())) == (0, 255)
    assert images.fingerprint == DATASETS["digits"].fingerprint


def test_digits_of_another_scikit_learn_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherDistribution:
        def locate_file(self, path: str) -> Path:
            return tmp_path / path

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: OtherDistribution())
    assert load(DATASETS["digits"].choose(), tmp_path).fingerprint == DATASETS["digits"].fingerprint


def test_every_fifth_digit_is_a_test_example(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    values, targets = load_digits(return_X_y=True)
    images = load(DATASETS["digits"].choose(), tmp_path)
    assert images.test_labels.tolist() == targets[4::5].tolist()
    expected = torch.from_numpy((values[4::5] * 255 / 16).round()).reshape(-1, 1, 8, 8).to(torch.uint8)
    assert torch.equal(images.test_images, expected)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("mnist", (0.1307,), (0.3081,)),
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ],
)
def test_mean_and_std_are_the_published_ones(
    name: str, mean: tuple[float, ...], std: tuple[float, ...], need: Callable[..., Path]
) -> None:
    dataset = DATASETS[name].choose()
    images = load(dataset, need(name))
    assert images.mean == pytest.approx(mean, abs=5e-4)
    assert images.std == pytest.approx(std, abs=5e-4)
    assert images.fingerprint == DATASETS[name].fingerprint
    shape = dataset_shape(dataset)
    assert images.train_images.shape == (shape.train, shape.channels, shape.size, shape.size)
    assert images.test_images.shape == (shape.test, shape.channels, shape.size, shape.size)
    assert images.train_labels.bincount().tolist() == images.train_labels.bincount(minlength=10).tolist()


def test_cifar10_images_are_torchvisions(need: Callable[..., Path]) -> None:
    import warnings

    from torchvision.datasets import CIFAR10
    from torchvision.transforms.functional import pil_to_tensor

    root = need("cifar10")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = CIFAR10(str(root), train=False)
    images = load(DATASETS["cifar10"].choose({"train_size": 10}), root)
    for index in (0, 1, 9_999):
        picture, label = reference[index]
        assert torch.equal(images.test_images[index], pil_to_tensor(picture))
        assert int(images.test_labels[index]) == label


def test_statistics_are_exact() -> None:
    images = torch.tensor([0, 255, 10, 20], dtype=torch.uint8).reshape(2, 2, 1, 1)
    mean, std = statistics(images)
    assert mean == (5 / 255, 275 / 2 / 255)
    assert std == (5 / 255, (255 - 20) / 2 / 255)
    many = torch.full((5_000, 1, 2, 2), 7, dtype=torch.uint8)
    assert statistics(many) == ((7 / 255,), (0.0,))


def test_train_size_keeps_the_first_images_and_their_own_statistics(tmp_path: Path) -> None:
    whole = load(DATASETS["digits"].choose(), tmp_path)
    part = load(DATASETS["digits"].choose({"train_size": 100}), tmp_path)
    assert torch.equal(part.train_images, whole.train_images[:100])
    assert torch.equal(part.train_labels, whole.train_labels[:100])
    assert torch.equal(part.test_images, whole.test_images)
    assert part.mean == statistics(whole.train_images[:100])[0] != whole.mean
    assert part.fingerprint != whole.fingerprint
    assert math.isfinite(part.std[0])


def test_images_other_than_the_catalogs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.DATASETS, "digits", dataclasses.replace(DATASETS["digits"], fingerprint="0" * 64))
    with pytest.raises(DataError, match="not those that cells are written for"):
        load(DATASETS["digits"].choose(), tmp_path)
    load(DATASETS["digits"].choose({"train_size": 100}), tmp_path)


def test_normalization_is_the_channels_or_what_the_released_code_used(tmp_path: Path) -> None:
    digits = DATASETS["digits"].choose()
    images = load(digits, tmp_path)
    assert normalization(digits, images, "channel") == (images.mean, images.std)
    assert normalization(DATASETS["svhn"].choose(), images, "released") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert normalization(DATASETS["cifar100"].choose(), images, "released") == DATASETS["cifar10"].released
