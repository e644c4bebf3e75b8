"""Data may come from any person: a CIFAR pickle cannot run code, whatever its checksum; noise is refused by name."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st
from in_process import asapbench

from asapbench.data.lookup import published_set
from asapbench.data.published import PublishedFiles
from asapbench.data.sets.cifar10 import read_files as read_cifar
from asapbench.data.sets.svhn import read_file as read_svhn
from asapbench.errors import DataError


class Payload:
    """Unpickled by pickle itself it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data") / "file"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_cifar_file_runs_code(protocol: int, tmp_path: Path) -> None:
    path, mark = tmp_path / "data_batch_1", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"data": Payload(mark), "labels": []}, protocol=protocol))
    with pytest.raises(DataError, match=r"data_batch_1 is damaged or not a CIFAR file \(it asks for .*system"):
        read_cifar([path], labels="labels")
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # the payload is a real one
    assert mark.exists()


@fuzz(60)
@given(
    # Without "r", which may make the C unpickler fill gigabytes: only files of the right checksum get to it.
    st.binary(max_size=200).filter(lambda noise: b"r" not in noise),
    st.sampled_from((b"", b"\x80\x02}q\x00(", b"(dp1\n", b"MATLAB 5.0 MAT-file")),
)
def test_noise_is_refused_by_name(place: Path, noise: bytes, begin: bytes) -> None:
    place.write_bytes(begin + noise)
    for read in (lambda: read_cifar([place], labels="labels"), lambda: read_svhn(place)):
        with pytest.raises((DataError, MemoryError)) as caught:  # some lengths are beyond any memory
            read()
        assert isinstance(caught.value, MemoryError) or str(place) in str(caught.value)


@pytest.mark.parametrize(
    "held",
    [
        [],
        {"data": 3, "labels": []},
        {"data": np.zeros((2, 3), np.uint8), "labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 0.5]},
        {"data": np.zeros((1, 3072), np.uint8)},
    ],
)
def test_a_pickle_of_something_else_is_refused_by_name(held: object, place: Path) -> None:
    place.write_bytes(pickle.dumps(held, protocol=2))
    with pytest.raises(DataError, match=str(place)):
        read_cifar([place], labels="labels")


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "svhn"])
def test_files_of_the_right_size_with_other_bytes_are_refused_before_they_are_read(name: str, tmp_path: Path) -> None:
    dataset = published_set(name)
    assert isinstance(dataset, PublishedFiles)
    for file in dataset.files:
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.truncate(file.size)  # all zero, and nothing on the disk
    said = asapbench("data", "verify", name, "--data", str(tmp_path))
    assert (said.status, "damaged" in said.out) == (2, True)
    assert "Traceback" not in said.out + said.err
