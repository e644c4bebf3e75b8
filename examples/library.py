"""asapbench as a library: three rules train one network of your own, in a loop of your own.

Every rule starts from the same weights and sees the same batches of scikit-learn's digits (no download). Run it with
`python examples/library.py`; it takes a few seconds.
"""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from asapbench import attach


def network() -> nn.Module:
    """Any plain module of convolutions, fully connected layers, BatchNorm, activations and pooling."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 8), (8, 16), (16, 16), (16, 16)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (1438, 1, 8, 8) and labels (1438,), then test images and labels."""
    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(bunch.target)
    test = torch.arange(len(labels)) % 5 == 4
    return images[~test], labels[~test], images[test], labels[test]


def trained(rule: str, start: nn.Module, *, epochs: int = 3) -> float:
    """The test accuracy, a fraction of 1, of a copy of `start` trained with a rule."""
    images, labels, test_images, test_labels = digits()
    learner = attach(copy.deepcopy(start), rule, sample=images[:2])
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.05, momentum=0.9)
    learner.bind(optimizer)  # holds learned feedback weights as W - s D0: exact, and less memory
    shuffle = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=shuffle).split(32):
            optimizer.zero_grad()
            learner.backward(images[batch], labels[batch])  # adds the rule's gradients to .grad
            optimizer.step()
    learner.eval()
    with torch.no_grad():
        return float((learner(test_images).argmax(1) == test_labels).float().mean())


if __name__ == "__main__":
    torch.manual_seed(0)
    start = network()
    for rule in ("bp", "asap", "fa"):
        print(f"{rule:<5} {100 * trained(rule, start):.1f} % of the test images")
