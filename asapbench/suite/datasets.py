"""What a data set declares to suites: its shape, its augmentation, and the parts of it that a suite may choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asapbench.suite.options import Choice, Entry, Option, Value

TRAIN_SIZE = Option("train_size", 0, "only the first N training images; 0: all", minimum=0)


@dataclass(frozen=True)
class DatasetShape:
    """Examples of `channels` x `size` x `size` numbers of `value_bytes` bytes; `train` and `test` count them.

    Feature vectors of D numbers are D channels of size 1.
    """

    channels: int
    size: int
    classes: int
    train: int
    test: int
    value_bytes: int = 1

    @property
    def is_features(self) -> bool:
        """Whether an example is a feature vector: it has no rows and columns."""
        return self.size == 1


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """A data set: images of `channels` x `size` x `size`, `classes` classes, `train` and `test` examples.

    `augment` is the recipe of App. C for it. `fingerprint` is the SHA-256 of the decoded complete set, where known.
    `released` is the mean and deviation by channel, pixels in 0..1, that the paper's released code normalises with.
    """

    channels: int = 3
    size: int = 32
    classes: int = 10
    train: int = 50_000
    test: int = 10_000
    augment: str = "none"
    fingerprint: str | None = None
    released: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def reads_a_path(self) -> bool:
        """Whether a suite names its files by a path."""
        return any(option.role == "place" for option in self.options)

    def settings(self, dataset: Choice) -> dict[str, Value]:
        """The options of `dataset` that a suite gives, without its label and place."""
        return {name: value for name, value in self.given(dataset).items() if self.option(name).is_identity}

    def whole(self, dataset: Choice) -> DatasetShape:
        """The shape of the classes that `dataset` keeps, with all their training examples."""
        classes = int(dict(dataset.options).get("classes", self.classes))
        train, test = (count * classes // self.classes for count in (self.train, self.test))
        return DatasetShape(self.channels, self.size, classes, train, test)

    def beyond(self, dataset: Choice) -> str | None:
        """What is wrong with a `train_size` greater than the training examples, and how to fix it; else None."""
        wanted, available = dataset.integer("train_size"), self.whole(dataset)
        if wanted <= available.train:
            return None
        of = f" of its first {available.classes} classes" if available.classes < self.classes else ""
        return (
            f"train_size {wanted} is more than the {available.train} training images that {self.name} has{of}: take at "
            f"most {available.train}, or 0 for all"
        )

    def within(self, dataset: Choice) -> Choice:
        """`dataset`, with all training examples if it asks for more: what earlier versions trained on."""
        if self.beyond(dataset) is None:
            return dataset
        return self.with_options(dataset, train_size=0)

    def completed(self, dataset: Choice, *, folder: Path) -> Choice:
        """`dataset` with what only its files can tell, such as their content; most data sets need nothing.

        A relative path is relative to `folder`. Raises DataError for files that cannot be used.
        """
        return dataset
