"""A user's own data may be damaged in any way: they are a data set, or one error that names them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st
from own_data import arrays, write_images

from asapbench.data.images import load
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS

TYPES = ("u1", "i8", "f2", "f4", "f8", "c8", "?", "U3", "M8[s]")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


def _load_or_refuse(name: str, path: Path, root: Path) -> None:
    entry = DATASETS[name]
    refused = ""
    try:
        load(entry.completed(entry.choose({"path": str(path)}), folder=root), root)
    except DataError as error:
        refused = str(error)
    assert not refused or refused.startswith(str(path))


@fuzz(80)
@given(st.integers(0, 2000), st.integers(0, 255), st.integers(0, 60))
def test_a_damaged_array_file_is_read_or_refused_by_name(place: Path, at: int, byte: int, cut: int) -> None:
    path = place / "x.npz"
    np.savez(path, **arrays())
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content[: len(content) - cut * 20])
    _load_or_refuse("npz", path, place)


@fuzz(80)
@given(
    st.dictionaries(
        st.sampled_from(("x_train", "y_train", "x_test", "y_test")),
        st.tuples(st.lists(st.integers(0, 4), max_size=5), st.sampled_from(TYPES)),
    )
)
def test_arrays_of_any_shape_and_type_are_read_or_refused_by_name(
    place: Path, changes: dict[str, tuple[list[int], str]]
) -> None:
    path = place / "y.npz"
    np.savez(path, **arrays() | {name: np.zeros(shape, dtype) for name, (shape, dtype) in changes.items()})
    _load_or_refuse("npz", path, place)


@fuzz(60)
@given(
    st.sampled_from(("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM")),
    st.integers(0, 400),
    st.integers(0, 255),
    st.integers(0, 20),
)
def test_a_damaged_image_is_read_or_refused_by_name(place: Path, form: str, at: int, byte: int, cut: int) -> None:
    from PIL import Image

    folder = place / "pets"
    shutil.rmtree(folder, ignore_errors=True)
    image = write_images(folder, count=2) / "cat" / "00.png"
    with Image.open(image) as opened:
        opened.save(image, format=form)
    content = bytearray(image.read_bytes())
    content[at % len(content)] = byte
    image.write_bytes(content[: len(content) - cut * 5])
    _load_or_refuse("imagefolder", folder, place)
