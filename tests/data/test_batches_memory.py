"""On a CPU batches are cut from the images themselves: no store keeps a copy of a set."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from asapbench.data.batches import Batches

RandomImages = Callable[..., tuple[Tensor, Tensor]]


def _batches(images: Tensor, labels: Tensor, *, augment: str = "crop_flip", subset: Tensor | None = None) -> Batches:
    return Batches(
        images,
        labels,
        mean=(0.49, 0.48, 0.45),
        std=(0.247, 0.243, 0.262),
        augment=augment,
        device=torch.device("cpu"),
        seed=3,
        subset=subset,
    )


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
@pytest.mark.parametrize("subset", [None, torch.arange(49, 0, -2)])
def test_batches_read_the_images_where_they_are(
    subset: Tensor | None, augment: str, random_images: RandomImages
) -> None:
    images, labels = random_images(50)
    batches = _batches(images, labels, augment=augment, subset=subset)
    images.zero_()  # a copy would keep the pixels
    black = -torch.tensor([0.49 / 0.247, 0.48 / 0.243, 0.45 / 0.262]).reshape(1, 3, 1, 1)
    for x, _ in (*batches.epoch(1, 16), *batches.sequential(16)):
        torch.testing.assert_close(x, black.expand_as(x), rtol=0, atol=2e-6)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_a_subset_gives_the_batches_of_a_copy_of_its_examples(augment: str, random_images: RandomImages) -> None:
    images, labels = random_images(60)
    chosen = torch.randperm(60, generator=torch.Generator().manual_seed(0))[:37]
    copied = _batches(images[chosen], labels[chosen], augment=augment)
    subset = _batches(images, labels, augment=augment, subset=chosen)
    assert len(subset) == 37
    pairs = [(copied.epoch(2, 16), subset.epoch(2, 16)), (copied.sequential(16), subset.sequential(16))]
    for ours, theirs in pairs:
        for (x, y), (same_x, same_y) in zip(ours, theirs, strict=True):
            assert torch.equal(x, same_x)
            assert torch.equal(y, same_y)


def test_a_last_batch_of_one_example_of_a_subset_is_a_batch(random_images: RandomImages) -> None:
    images, labels = random_images(10)
    batches = _batches(images, labels, subset=torch.tensor([8, 2, 4, 6, 7]))
    shapes = [(tuple(x.shape), tuple(y.shape)) for x, y in batches.sequential(4)]
    assert shapes == [((4, 3, 12, 12), (4,)), ((1, 3, 12, 12), (1,))]
    assert [len(x) for x, _ in batches.epoch(1, 4)] == [4, 1]
    assert batches._store.plain(torch.tensor([7])).shape == (1, 3, 12, 12)


@pytest.mark.parametrize("side", [2, 3, 4, 5, 32])
def test_a_crop_of_an_image_of_any_size_is_that_of_the_padded_image(side: int, random_images: RandomImages) -> None:
    images, labels = random_images(200, side=side)
    batches = _batches(images, labels)
    draws, _ = batches.placed(1)
    assert draws.top is not None
    assert draws.left is not None
    assert draws.flipped is not None
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    found = batches._store.augmented(draws, slice(None))
    for place, index in enumerate(draws.order.tolist()):
        top, left = int(draws.top[place]), int(draws.left[place])
        crop = padded[index, :, top : top + side, left : left + side]
        assert torch.equal(found[place], crop.flip(2) if draws.flipped[place] else crop)
