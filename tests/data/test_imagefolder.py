"""A folder of images becomes a data set: which images train, in which order, with which pixels."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from own_data import write_images
from PIL import Image

from asapbench.data.images import Images, load
from asapbench.suite.catalog import DATASETS, dataset_shape
from asapbench.suite.entries import DatasetShape
from asapbench.suite.options import Choice, Value

ENTRY = DATASETS["imagefolder"]


def _choice(path: Path, **options: Value) -> Choice:
    return ENTRY.completed(ENTRY.choose({"path": str(path), "size": 8, **options}), folder=Path())


def _load(path: Path, tmp_path: Path, **options: Value) -> Images:
    return load(_choice(path, **options), tmp_path / "data")


def _pixels(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def test_every_fifth_image_of_a_class_is_a_test_image_and_training_images_alternate_classes(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets")
    images = _load(folder, tmp_path)
    assert images.train_labels.tolist() == [0, 1] * 8
    assert images.test_labels.tolist() == [0, 1] * 2
    assert torch.equal(images.train_images[0], _pixels(folder / "cat" / "00.png"))
    assert torch.equal(images.train_images[9], _pixels(folder / "dog" / "05.png"))
    assert torch.equal(images.test_images[0], _pixels(folder / "cat" / "04.png"))
    assert torch.equal(images.test_images[3], _pixels(folder / "dog" / "09.png"))
    assert images.classes == 2


@pytest.mark.parametrize("tested", ["test", "val"])
def test_a_train_and_a_test_folder_are_the_split(tested: str, tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    write_images(folder / "train", count=4)
    write_images(folder / tested, count=1, seed=1)
    if tested == "test":
        write_images(folder / "val", count=1, seed=2)  # not used where there is test/
    images = _load(folder, tmp_path)
    assert len(images.train_labels) == 8
    assert torch.equal(images.test_images[1], _pixels(folder / tested / "dog" / "00.png"))


def test_the_shape_is_that_of_the_files(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets", classes=("a", "b", "c"))
    assert dataset_shape(_choice(folder, channels=1, size=16)) == DatasetShape(1, 16, 3, 24, 6)
    assert dataset_shape(_choice(folder, train_size=10)).train == 10
    assert dataset_shape(_choice(folder, test_share=0.5)).test == 15


def test_images_are_cropped_to_their_middle_and_resized(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets")
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = 200
    Image.fromarray(wide).save(folder / "cat" / "00.png")
    assert (_load(folder, tmp_path).train_images[0] == 200).all()
    grey = _load(folder, tmp_path, size=4, channels=1)
    assert grey.train_images.shape == (16, 1, 4, 4)
    assert (grey.train_images[0] == 200).all()


def test_hidden_folders_and_those_of_archives_are_no_classes_and_hold_no_images(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets", count=4)
    before = _choice(folder)
    for name in (".ipynb_checkpoints", "__MACOSX", "cat/.ipynb_checkpoints", "cat/__MACOSX"):
        write_images(folder / name, classes=["cat"], count=1)
    assert _choice(folder)["content"] == before["content"]


def test_images_in_folders_of_a_class_count_and_hidden_and_other_files_do_not(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets", count=4)
    (folder / "cat" / "more").mkdir()
    (folder / "cat" / "03.png").rename(folder / "cat" / "more" / "03.PNG")
    for name in ("notes.txt", ".hidden.png"):
        (folder / "dog" / name).write_text("no image")
    (folder / ".git").mkdir()
    assert dataset_shape(_choice(folder)).train == 6


def test_a_file_name_need_not_be_utf_8(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets", count=4)
    image = folder / "cat" / "03.png"
    os.rename(image, os.fsencode(image) + b"\xff.png")
    assert len(_load(folder, tmp_path).train_labels) == 6


def test_the_decoded_images_are_shared_and_other_options_have_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "pets")
    first = _load(folder, tmp_path)
    _load(folder, tmp_path, size=16)
    assert len(list((tmp_path / "data" / ".asapbench").glob("imagefolder-*.images"))) == 2
    moved = folder.rename(tmp_path / "moved")
    choice = _choice(moved)
    monkeypatch.setattr(type(ENTRY), "decoded", lambda *_: pytest.fail("decoded again"))
    assert load(choice, tmp_path / "data").fingerprint == first.fingerprint
