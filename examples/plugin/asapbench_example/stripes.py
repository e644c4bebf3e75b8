"""Noisy stripes of four directions, 12x12 pixels, drawn from a fixed seed: no file is needed."""

from __future__ import annotations

from pathlib import Path

from asapbench.data.cache import Arrays
from asapbench.data.published import PublishedFiles
from asapbench.suite.entries import TRAIN_SIZE


def read(_root: Path) -> Arrays:
    """uint8 images (N, 1, 12, 12) and int64 labels (N,), for training and for the test."""
    import numpy as np

    draw = np.random.default_rng(0)
    labels = np.arange(1_000, dtype=np.int64) % 4
    rows, columns = np.mgrid[:12, :12]
    along = np.stack([rows, columns, rows + columns, rows - columns])[labels]
    shift = draw.integers(0, 6, size=(1_000, 1, 1))
    stripes = 128 + 20 * np.sign(np.sin((along + shift) * np.pi / 3)) + draw.normal(0, 60, size=along.shape)
    images = stripes.clip(0, 255).astype(np.uint8)[:, np.newaxis]
    return Arrays(images[:800], labels[:800], images[800:], labels[800:])


entry = PublishedFiles(
    "stripes",
    "Stripes",
    "an example, drawn from a fixed seed",
    options=(TRAIN_SIZE,),
    channels=1,
    size=12,
    classes=4,
    train=800,
    test=200,
    read=read,
)
