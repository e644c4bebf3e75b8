from collections.abc import Callable

import pytest
import torch

from asapbench.data.batches import Batches


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_an_epoch_started_in_the_middle_continues_with_exactly_the_same_batches(
    start: int, random_batches: Callable[..., Batches]
) -> None:
    whole = list(random_batches().epoch(2, 16))
    rest = list(random_batches().epoch(2, 16, start=start))
    assert len(rest) == 4 - start
    for (images, labels), (again, labels_again) in zip(whole[start:], rest, strict=True):
        assert torch.equal(images, again)
        assert torch.equal(labels, labels_again)


def test_an_epoch_does_not_depend_on_the_epochs_before_it(random_batches: Callable[..., Batches]) -> None:
    used = random_batches()
    for number in range(3):
        list(used.epoch(number, 16))
    for (images, _), (again, _) in zip(used.epoch(3, 16), random_batches().epoch(3, 16), strict=True):
        assert torch.equal(images, again)


def test_another_epoch_or_seed_gives_another_order_and_other_crops(random_batches: Callable[..., Batches]) -> None:
    first = random_batches().draws(0)
    for other in (random_batches().draws(1), random_batches(seed=4).draws(0)):
        assert first.top is not None
        assert other.top is not None
        assert not torch.equal(first.order, other.order)
        assert not torch.equal(first.top, other.top)


def test_the_batch_size_does_not_change_what_an_example_looks_like(random_batches: Callable[..., Batches]) -> None:
    small = torch.cat([images for images, _ in random_batches().epoch(0, 7)])
    large = torch.cat([images for images, _ in random_batches().epoch(0, 50)])
    assert torch.equal(small, large)
