from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from asapbench.data.sets.svhn import read_file as read_svhn
from asapbench.errors import DataError


def _sample(real_data: Path) -> Path:
    path = real_data / "svhn-sample" / "train_32x32.mat"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


def test_the_sample_is_read_with_the_digit_zero_as_class_zero(real_data: Path) -> None:
    images, labels = read_svhn(_sample(real_data))
    assert images.shape == (1083, 3, 32, 32)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert sorted(set(labels.tolist())) == list(range(10))
    assert labels[:5].tolist() == [1, 9, 2, 3, 2]


def test_axes_are_image_channel_row_column(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    savemat(tmp_path / "x.mat", {"X": pixels, "y": np.array([[10], [1], [9], [10]], dtype=np.uint8)})
    images, labels = read_svhn(tmp_path / "x.mat")
    assert images[2, 1, 5, 7] == pixels[5, 7, 1, 2]
    assert labels.tolist() == [0, 1, 9, 0]


@pytest.mark.parametrize("how", ["truncated", "flipped", "text", "empty"])
def test_a_damaged_file_is_named_without_a_traceback_of_scipy(how: str, tmp_path: Path) -> None:
    path = tmp_path / "train_32x32.mat"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    savemat(path, {"X": pixels, "y": np.ones((4, 1), dtype=np.uint8)}, do_compression=True)
    content = bytearray(path.read_bytes())
    content[2_000] ^= 255
    made = {"truncated": bytes(content[:1500]), "flipped": bytes(content), "text": b"no" * 200, "empty": b""}
    path.write_bytes(made[how])
    with pytest.raises(DataError, match=r"train_32x32\.mat is "):
        read_svhn(path)


def test_a_missing_file_and_another_mat_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        read_svhn(tmp_path / "x.mat")
    savemat(tmp_path / "x.mat", {"X": np.zeros((2, 2)), "y": np.ones((4, 1))})
    with pytest.raises(DataError, match="not an SVHN file"):
        read_svhn(tmp_path / "x.mat")
