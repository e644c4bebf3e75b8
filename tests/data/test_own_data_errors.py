"""Whatever is wrong with a user's own data is one error at its place in the suite, with the file and how to fix it."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from in_process import asapbench
from own_data import arrays, write_images, write_suite
from PIL import Image

from asapbench.errors import SuiteError
from asapbench.suite.load import load

CORRECT = "correct the path, or name it with --set dataset.path=PATH"


def _refused(folder: Path, dataset: str, *, model: str = "mlp", more: str = "") -> str:
    with pytest.raises(SuiteError) as caught:
        load(str(write_suite(folder, dataset, model=model, more=more)))
    message = str(caught.value)
    assert message.count("\n") == 0
    return message.removeprefix(f"{folder}/mine.toml:").replace(f"{folder}/", "")


def _folder(path: Path) -> None:
    write_images(path)


def _empty(path: Path) -> None:
    path.mkdir()


def _loose_images(path: Path) -> None:
    write_images(path.parent / "other")
    (path.parent / "other" / "cat").rename(path)


def _empty_class(path: Path) -> None:
    (write_images(path) / "bird").mkdir()


def _one_class(path: Path) -> None:
    write_images(path, classes=["cat"])


def _single_image(path: Path) -> None:
    write_images(path, count=1)


def _no_test(path: Path) -> None:
    write_images(path / "train")


def _other_classes(path: Path) -> None:
    write_images(path / "train")
    write_images(path / "test", classes=["cat", "cow"])


def _text(path: Path) -> None:
    (write_images(path) / "dog" / "03.png").write_text("no image")


def _cut(path: Path) -> None:
    file = write_images(path, side=64) / "dog" / "03.png"
    file.write_bytes(file.read_bytes()[:3000])


def _sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(write_images(path) / "dog" / "03.png")


def _file(path: Path) -> None:
    path.write_text("a file")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: None, "pets: there is no such folder: correct the path"),
        (_file, "pets: not a folder: correct the path"),
        (_empty, "pets: no class folders: put the images of each class into a folder of its own"),
        (_loose_images, "pets: no class folders: put the images of each class into a folder of its own"),
        (_empty_class, "pets/bird: this folder stands beside the class folders and holds no image (.png, .jpg, "),
        (_one_class, "pets: it has images of 1 class: a data set needs two or more class folders"),
        (_single_image, "pets/cat: one image: a class needs one to train on and one to test on"),
        (_no_test, "pets: it has train/, but neither test/ nor val/: add one with the same class folders"),
        (_other_classes, "pets: only one of the training and the test images has a class cow: both need it"),
        (_text, "pets/dog/03.png: Pillow cannot decode this image (of no format that it knows)"),
        (_cut, "pets/dog/03.png: Pillow cannot decode this image (image file is truncated"),
        (_sixteen_bits, "pets/dog/03.png: pixels of mode I;16: convert the image to 8 bits a channel"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_error_at_its_path(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "pets")
    message = _refused(tmp_path, 'name = "imagefolder", path = "pets"')
    assert message.startswith(f"4:42: {said}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y_test": None}, "y_test missing (it has x_train, y_train, x_test): save x_train, y_train, x_test, y_test"),
        ({"x_train": np.zeros((40, 5), np.int32)}, "x_train is int32: save pixels as uint8, other numbers as float32"),
        ({"x_train": np.zeros((40, 5), complex)}, "x_train is complex128: save pixels as uint8"),
        ({"x_train": np.zeros((40, 5, 6), np.uint8)}, "x_train is (40, 5, 6): save square images as (N, H, W), "),
        ({"x_train": np.zeros((40, 3, 5, 6), np.uint8)}, "x_train is (40, 3, 5, 6): save square images as "),
        ({"x_train": np.zeros((0, 5), np.float32)}, "x_train is (0, 5): it holds no numbers"),
        ({"x_train": np.full((40, 5), np.nan)}, "x_train holds values that are not finite float32 numbers"),
        ({"x_test": np.full((10, 5), 1e300)}, "x_test holds values that are not finite float32 numbers"),
        ({"x_test": np.zeros((10, 4), np.float32)}, "x_train is float32 (40, 5) and x_test float32 (10, 4): save both"),
        ({"y_train": np.zeros(40)}, "y_train is float64 (40,): save 40 whole numbers, one for each example"),
        ({"y_train": np.zeros(39, int)}, "y_train is int64 (39,): save 40 whole numbers, one for each example"),
        ({"y_train": np.arange(40) % 2 + 1}, "y_train holds 1, 2: number the classes 0, 1, ..., two at least"),
        ({"y_train": np.zeros(40, int)}, "y_train holds 0: number the classes"),
        ({"y_test": np.zeros(10, int)}, "y_test holds 0 and y_train 0, 1: both need examples of every class"),
        ({"y_test": np.arange(10)}, "y_test holds 0, 1, 2, 3, 4, 5, ... (10 in all) and y_train 0, 1: both need"),
        ({"x_train": np.array([{}] * 40)}, "not an .npz file of plain arrays (Object arrays cannot be loaded"),
    ],
)
def test_arrays_that_cannot_be_used_are_one_error_at_their_path(
    change: dict[str, np.ndarray | None], said: str, tmp_path: Path
) -> None:
    held = {name: array for name, array in (arrays() | change).items() if array is not None}
    np.savez(tmp_path / "x.npz", **held)
    message = _refused(tmp_path, 'name = "npz", path = "x.npz"')
    assert message.startswith(f"4:34: x.npz: {said}")


def test_a_file_that_holds_something_else_is_one_error_at_its_path(tmp_path: Path) -> None:
    path, dataset = tmp_path / "x.npz", 'name = "npz", path = "x.npz"'
    assert _refused(tmp_path, dataset) == "4:34: x.npz: there is no such file: " + CORRECT
    path.write_bytes(b"no arrays")
    assert _refused(tmp_path, dataset).startswith("4:34: x.npz: not an .npz file of plain arrays (")
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert _refused(tmp_path, dataset) == "4:34: x.npz: one array, not an .npz file: save it with numpy.savez"
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:-200])
    assert _refused(tmp_path, dataset).startswith("4:34: x.npz: not an .npz file of plain arrays (")
    path.unlink()
    path.mkdir()
    assert _refused(tmp_path, dataset) == "4:34: x.npz: not a file: " + CORRECT


class _Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, (f"touch {self.mark}",)


def test_no_file_runs_code(tmp_path: Path) -> None:
    path, mark = tmp_path / "x.npz", tmp_path / "ran"
    for content in (None, pickle.dumps(_Payload(mark))):
        if content is None:
            np.savez(path, **arrays() | {"x_test": np.array([_Payload(mark)])}, allow_pickle=True)
        else:
            path.write_bytes(content)
        assert "not an .npz file of plain arrays" in _refused(tmp_path, 'name = "npz", path = "x.npz"')
        assert not mark.exists()


def test_options_that_do_not_fit_the_data_are_refused(tmp_path: Path) -> None:
    _no_test(tmp_path / "pets")
    write_images(tmp_path / "pets" / "test", seed=1)
    np.savez(tmp_path / "x.npz", **arrays())
    npz, folder = 'name = "npz", path = "x.npz"', 'name = "imagefolder", path = "pets"'
    assert _refused(tmp_path, 'name = "npz"').startswith('4:11: npz: it needs path = "...", where the data are')
    assert "there is no such user" in _refused(tmp_path, 'name = "npz", path = "~nobody-of-this-name/x"')
    assert "there is no such file" in _refused(tmp_path, 'name = "npz", path = "a\\u0000b"')
    assert "leave test_share out" in _refused(tmp_path, f"{folder}, test_share = 0.5")
    assert "x.npz: classes is 2, and not 3: name the path of such data, or leave classes out" in _refused(
        tmp_path, f"{npz}, classes = 3"
    )
    assert "content must be a SHA-256" in _refused(tmp_path, f'{npz}, content = "abc"')
    assert "label must be at most 64 printable" in _refused(tmp_path, f'{npz}, label = "a\\u0000b"')
    assert "train_size 41 is more than the 40 training images" in _refused(tmp_path, f"{npz}, train_size = 41")


def test_feature_vectors_train_on_networks_without_convolutions_and_are_not_augmented(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays())
    npz = 'name = "npz", path = "x.npz"'
    needs = "4:9: resnet10 needs images, and the data are feature vectors: use mlp"
    assert needs[3:] in _refused(tmp_path, npz, model="resnet10")
    assert 'crop_flip moves pixels, and npz has none: use "none"' in _refused(
        tmp_path, npz, more='augment = "crop_flip"\n'
    )
    with pytest.raises(SuiteError, match="the released code has no normalization for npz"):
        load(str(write_suite(tmp_path, npz, more='normalization = "released"\n')))


def test_commands_that_need_no_files_say_that_these_data_have_none(tmp_path: Path) -> None:
    for arguments in (("data", "prepare", "npz"), ("data", "verify", "imagefolder")):
        said = asapbench(*arguments)
        assert (said.status, "these are your own files" in said.err) == (2, True)
    said = asapbench("analyze", "memory", "--dataset", "npz")
    assert (said.status, "has the shape of the data at its path" in said.err) == (2, True)
