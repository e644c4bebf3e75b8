"""Whether the bytes of a data set are the published ones: every file hashed, every Tiny ImageNet image decoded.

The MD5 are those of torchvision's lists, written out: to import torchvision takes a worker half a second. Its MD5 of
MNIST are of the packed files; the SHA-256 here are of what is in them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from asapbench.data import tiny_imagenet
from asapbench.data.files import FILES, Fault, damaged, faults, known
from asapbench.suite.catalog import DATASETS, dataset_shape
from asapbench.suite.options import Choice

DAMAGED = "damaged (checksum)"

_SHA256 = {
    "mnist": {
        "MNIST/raw/train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "MNIST/raw/train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "MNIST/raw/t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "MNIST/raw/t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
}
_MD5 = {
    "svhn": {
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
    "cifar10": {
        "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "cifar100": {
        "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
        "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "cifar-100-python/meta": "7973b15100ade9c7d40fb424638fde48",
    },
}


def digests(name: str) -> dict[str, tuple[str, str]]:
    """(algorithm, hexadecimal digest) of each file of data set `name`, by its path below the root."""
    found = {path: ("sha256", digest) for path, digest in _SHA256.get(name, {}).items()}
    return found | {path: ("md5", digest) for path, digest in _MD5.get(name, {}).items()}


def file_digest(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def damage(dataset: Choice, root: Path) -> list[Fault]:
    """Everything wrong with the files of `dataset`: sizes first, then the contents of those of the right size."""
    found = faults(dataset, root)
    at_fault = {fault.path for fault in found}
    if known(dataset.name) == "tiny_imagenet":
        return found or _undecodable(root, dataset_shape(dataset).classes)
    expected = digests(dataset.name)
    for path in (file.path for file in FILES[dataset.name] if file.path not in at_fault):
        algorithm, digest = expected[path]
        try:
            if file_digest(root / path, algorithm) != digest:
                found.append(Fault(path, DAMAGED))
        except OSError as error:
            found.append(Fault(path, f"unreadable ({error.strerror})"))
    return found


def _undecodable(root: Path, classes: int) -> list[Fault]:
    """Images whose checksum is not the manifest's or, where `prepare` has left none, that cannot be decoded."""
    checksums = tiny_imagenet.manifest(root)
    found = []
    for path in tiny_imagenet.layout(root, classes).paths():
        try:
            tiny_imagenet.decode_image(root, path, crc=checksums[path][0] if path in checksums else None)
        except tiny_imagenet.UndecodableError as error:
            found.append(Fault(error.path, error.what))
    return found


def require_sound(dataset: Choice, root: Path) -> None:
    """Raise DataError when any file of `dataset` is missing or damaged; every byte is read."""
    found = damage(dataset, root)
    if found:
        raise damaged(dataset.name, root, found)


def complete(name: str) -> Choice:
    """The choice of the complete data set: every option at its default."""
    return DATASETS[known(name)].choose()
