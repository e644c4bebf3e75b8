import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from asapbench.data.images import load
from asapbench.data.lookup import check, published_set
from asapbench.data.prepare import verify
from asapbench.data.sets import tiny_imagenet
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS

TWO = DATASETS["tiny_imagenet"].choose({"classes": 2})


@pytest.fixture
def tree(tiny_tree: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(tiny_tree, tmp_path / "data")
    return tmp_path / "data"


def _image(root: Path, name: str = "n01", number: int = 7) -> Path:
    return root / "tiny-imagenet-200" / "train" / name / "images" / f"{name}_{number}.JPEG"


def _cache(root: Path) -> Path:
    [found] = (root / ".asapbench").glob("tiny_imagenet-2.*.images")
    return found


def test_images_and_labels_are_those_of_the_files(tree: Path) -> None:
    images = load(TWO, tree)
    assert images.train_images.shape == (1000, 3, 64, 64)
    assert images.test_images.shape == (100, 3, 64, 64)
    assert images.train_labels[:4].tolist() == [0, 1, 0, 1]
    with Image.open(_image(tree)) as picture:
        assert torch.equal(images.train_images[15], torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    grey = images.train_images[2]
    assert torch.equal(grey[0], grey[1])
    assert images.test_labels[:3].tolist() == [0, 1, 0]
    assert images.classes == 2


def test_a_cached_load_equals_a_fresh_one(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = load(TWO, tree)
    assert _cache(tree).is_file()
    monkeypatch.setattr(tiny_imagenet, "decode", lambda *_: pytest.fail("decoded again"))
    cached = load(TWO, tree)
    assert torch.equal(fresh.train_images, cached.train_images)
    assert fresh.fingerprint == cached.fingerprint
    part = load(DATASETS["tiny_imagenet"].choose({"classes": 2, "train_size": 10}), tree)
    assert torch.equal(part.train_images, fresh.train_images[:10])


@pytest.mark.parametrize("how", ["truncated", "flipped", "other"])
def test_a_damaged_cache_is_built_again_with_a_warning(how: str, tree: Path) -> None:
    fresh = load(TWO, tree)
    content = bytearray(_cache(tree).read_bytes())
    content[len(content) // 2] ^= 1
    made = {"truncated": bytes(content[:5_000]), "flipped": bytes(content), "other": b"something else"}
    _cache(tree).write_bytes(made[how])
    with pytest.warns(UserWarning, match=r"tiny_imagenet-2\.\w{12}\.images is damaged .*: it is built again"):
        again = load(TWO, tree)
    assert again.fingerprint == fresh.fingerprint
    assert load(TWO, tree).fingerprint == fresh.fingerprint


def test_a_cache_of_other_files_is_not_used(tree: Path) -> None:
    before = load(TWO, tree)
    shutil.copy(_image(tree, number=8), _image(tree, number=9))
    assert load(TWO, tree).fingerprint != before.fingerprint


@pytest.mark.parametrize("how", ["truncated", "text", "size"])
def test_a_damaged_image_is_named_even_when_the_cache_holds_it(how: str, tree: Path) -> None:
    load(TWO, tree)
    victim = _image(tree)
    if how == "size":
        Image.new("RGB", (32, 64)).save(victim)
    else:
        victim.write_bytes(victim.read_bytes()[:400] if how == "truncated" else b"not an image")
    with pytest.raises(DataError) as caught:
        load(TWO, tree)
    assert str(caught.value).startswith(f"tiny_imagenet: {victim} is damaged (")
    assert f'run "asapbench data prepare tiny_imagenet --data {tree}"' in str(caught.value)


def test_missing_and_empty_images_are_found_by_the_quick_check(tree: Path) -> None:
    check(TWO, tree)
    _image(tree).write_bytes(b"")
    _image(tree, number=8).unlink()
    shutil.rmtree(tree / "tiny-imagenet-200" / "train" / "n02")
    with pytest.raises(DataError) as caught:
        check(TWO, tree)
    for part in ("train/n02/images", f"{_image(tree)} is empty", f"{_image(tree, number=8)}"):
        assert part in str(caught.value)


def test_only_the_classes_used_are_needed_and_the_error_says_which_are_there(tree: Path) -> None:
    with (tree / "tiny-imagenet-200" / "wnids.txt").open("a") as stream:
        stream.write("n03\n")
    check(TWO, tree)
    assert tiny_imagenet.complete_classes(tree) == 2
    with pytest.raises(DataError, match=r"classes = 2 }$"):
        check(DATASETS["tiny_imagenet"].choose({"classes": 3}), tree)


def test_annotations_cut_short_are_named(tree: Path) -> None:
    path = tree / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    path.write_text(path.read_text()[:1000])
    with pytest.raises(DataError, match=r"val_annotations\.txt is damaged"):
        load(TWO, tree)


def test_a_root_that_cannot_be_written_is_read_without_a_cache(tree: Path) -> None:
    (tree / ".asapbench").write_text("in the way")
    with pytest.warns(UserWarning, match=r"cannot be written \(.*\): the images are read each time"):
        assert len(load(TWO, tree).train_labels) == 1000


def test_the_manifest_of_the_archive_reveals_a_flipped_bit(tree: Path) -> None:
    rows = [
        f"{zlib.crc32(path.read_bytes()):08x} {path.stat().st_size} {path.relative_to(tree)}\n"
        for path in tree.rglob("*.JPEG")
    ]
    (tree / ".asapbench").mkdir()
    (tree / tiny_imagenet.MANIFEST).write_text("".join(rows))
    load(TWO, tree)
    content = bytearray(_image(tree).read_bytes())
    content[-100] ^= 1
    _image(tree).write_bytes(content)
    with pytest.raises(DataError, match=r"n01_7\.JPEG is damaged \(checksum\)"):
        load(TWO, tree)


def test_verify_says_that_a_subset_is_not_the_complete_set(tree: Path, tmp_path: Path) -> None:
    assert verify(published_set("tiny_imagenet"), tree).state == "damaged"
    assert "cut short (2 of 200 classes)" in verify(published_set("tiny_imagenet"), tree).faults
    assert verify(published_set("tiny_imagenet"), tmp_path / "nothing").state == "missing"


@pytest.mark.slow
def test_forty_real_classes_load_and_the_cached_load_is_the_same(need: Callable[..., Path], tmp_path: Path) -> None:
    real = need("tiny_imagenet", classes=40)
    (tmp_path / "tiny-imagenet-200").symlink_to(real / "tiny-imagenet-200")
    dataset = DATASETS["tiny_imagenet"].choose({"classes": 40})
    fresh = load(dataset, tmp_path)
    assert fresh.train_images.shape == (20_000, 3, 64, 64)
    assert fresh.train_labels.bincount().tolist() == [500] * 40
    assert fresh.test_labels.bincount().tolist() == [50] * 40
    assert fresh.mean == pytest.approx((0.48, 0.45, 0.39), abs=0.01)
    assert load(dataset, tmp_path).fingerprint == fresh.fingerprint


def test_unpacking_the_archive_leaves_the_files_and_their_manifest(tiny_tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "tiny.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted((tiny_tree / "tiny-imagenet-200").rglob("*")):
            packed.write(path, path.relative_to(tiny_tree))
        packed.writestr("tiny-imagenet-200/../../outside.txt", "no")
    root = tmp_path / "data"
    dataset = published_set("tiny_imagenet")
    dataset.unpack(archive, dataset.sources[0], root)
    assert not list(tmp_path.rglob("outside.txt"))
    assert len(tiny_imagenet.manifest(root)) == 1102
    assert load(TWO, root).fingerprint == load(TWO, tiny_tree).fingerprint
