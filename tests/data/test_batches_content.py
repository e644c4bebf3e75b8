from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional

from asapbench.data.batches import Batches, _Gathered


def _reference(
    batches: Batches, epoch: int, *, random_images: Callable[..., tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Sample by sample with torchvision: pad, crop, flip, scale to 0..1, normalise."""
    images, labels = random_images(len(batches))
    draws = batches.draws(epoch)
    assert draws.top is not None
    assert draws.left is not None
    assert draws.flipped is not None
    made = []
    for place, index in enumerate(draws.order.tolist()):
        padded = functional.pad(images[index], [4], fill=0)
        top, left = int(draws.top[place]), int(draws.left[place])
        crop = functional.crop(padded, top, left, *images.shape[2:])
        flipped = functional.hflip(crop) if draws.flipped[place] else crop
        scaled = flipped.to(torch.float64) / 255
        made.append(functional.normalize(scaled, [0.49, 0.48, 0.45], [0.247, 0.243, 0.262]))
    return torch.stack(made), labels[draws.order]


def test_training_batches_equal_torchvision_sample_by_sample(
    random_batches: Callable[..., Batches], random_images: Callable[..., tuple[Tensor, Tensor]]
) -> None:
    batches = random_batches()
    images = torch.cat([x for x, _ in batches.epoch(1, 16)])
    labels = torch.cat([y for _, y in batches.epoch(1, 16)])
    expected, expected_labels = _reference(batches, 1, random_images=random_images)
    torch.testing.assert_close(images.double(), expected, rtol=0, atol=2e-6)
    assert torch.equal(labels, expected_labels)


def test_crops_and_flips_use_their_whole_range(random_batches: Callable[..., Batches]) -> None:
    draws = random_batches(2000).draws(0)
    assert draws.top is not None
    assert draws.left is not None
    assert draws.flipped is not None
    assert sorted(set(draws.top.tolist())) == sorted(set(draws.left.tolist())) == list(range(9))
    assert not torch.equal(draws.top, draws.left)
    assert 0.45 < draws.flipped.float().mean() < 0.55
    assert sorted(draws.order.tolist()) == list(range(2000))


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_the_cpu_path_and_the_device_path_give_the_same_bits(
    augment: str, random_images: Callable[..., tuple[Tensor, Tensor]], random_batches: Callable[..., Batches]
) -> None:
    sliced, gathered = random_batches(augment=augment), random_batches(augment=augment)
    padding = 4 if augment == "crop_flip" else 0
    gathered._store = _Gathered(random_images(50)[0], padding, device=torch.device("cpu"))
    for ours, theirs in (
        (sliced.epoch(0, 16), gathered.epoch(0, 16)),
        (sliced.sequential(16), gathered.sequential(16)),
    ):
        for (images, labels), (same, same_labels) in zip(ours, theirs, strict=True):
            assert torch.equal(images, same)
            assert torch.equal(labels, same_labels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_a_gpu_gives_the_same_bits_as_the_cpu(
    augment: str, random_images: Callable[..., tuple[Tensor, Tensor]]
) -> None:
    images, labels = random_images(300, side=32)
    mean, std = (0.49, 0.48, 0.45), (0.247, 0.243, 0.262)
    cpu, gpu = (
        Batches(images, labels, mean=mean, std=std, augment=augment, device=torch.device(name), seed=0)
        for name in ("cpu", "cuda")
    )
    for ours, theirs in ((cpu.epoch(0, 128), gpu.epoch(0, 128)), (cpu.sequential(128), gpu.sequential(128))):
        for (x, y), (x_there, y_there) in zip(ours, theirs, strict=True):
            assert x_there.is_cuda
            assert torch.equal(x, x_there.cpu())
            assert torch.equal(y, y_there.cpu())


def test_the_last_partial_batch_is_kept(random_batches: Callable[..., Batches]) -> None:
    batches = random_batches(50)
    assert len(batches) == 50
    assert batches.batches(16) == 4
    assert [len(y) for _, y in batches.epoch(0, 16)] == [16, 16, 16, 2]
    assert [len(y) for _, y in batches.sequential(16)] == [16, 16, 16, 2]


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_evaluation_is_in_order_and_not_augmented(
    augment: str, random_images: Callable[..., tuple[Tensor, Tensor]], random_batches: Callable[..., Batches]
) -> None:
    images, labels = random_images(50)
    batches = random_batches(50, augment=augment)
    expected = functional.normalize(images.double() / 255, [0.49, 0.48, 0.45], [0.247, 0.243, 0.262])
    found = torch.cat([x for x, _ in batches.sequential(16)])
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-6)
    assert torch.equal(torch.cat([y for _, y in batches.sequential(16)]), labels)


def test_without_augmentation_only_the_order_is_random(random_batches: Callable[..., Batches]) -> None:
    batches = random_batches(augment="none")
    found = torch.cat([x for x, _ in batches.epoch(0, 16)])
    assert torch.equal(found, torch.cat([x for x, _ in batches.sequential(16)])[batches.draws(0).order])


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_a_batch_may_be_kept_and_written_to(augment: str, random_batches: Callable[..., Batches]) -> None:
    batches = random_batches(augment=augment)
    kept = [images.clone() for images, _ in batches.epoch(0, 16)]
    for images, labels in (*batches.epoch(0, 16), *batches.sequential(16)):
        images.zero_()
        labels.zero_()
    assert torch.cat([labels for _, labels in batches.sequential(16)]).tolist() == [n % 10 for n in range(50)]
    held = list(batches.epoch(0, 16))
    assert all(torch.equal(images, copy) for (images, _), copy in zip(held, kept, strict=True))


def test_normalisation_is_in_float32_with_constants_from_float64(
    random_images: Callable[..., tuple[Tensor, Tensor]],
) -> None:
    images, labels = random_images(4)
    made = Batches(
        images,
        labels,
        mean=[0.1] * 3,
        std=[0.3] * 3,
        augment="none",
        device=torch.device("cpu"),
        seed=0,
    )
    scale, shift = torch.tensor(1 / (255 * 0.3)), torch.tensor(0.1 / 0.3)
    ((found, _),) = made.sequential(4)
    assert torch.equal(found, images.float() * scale - shift)
