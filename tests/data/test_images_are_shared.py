"""Workers map one file of decoded images; it is used only if it is whole and made from the sources as they are."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from one_source import Maker

from asapbench.data.cache import Arrays
from asapbench.data.images import load
from asapbench.data.published import Published
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS

TWO = DATASETS["tiny_imagenet"].choose({"classes": 2})


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def _same(ours: Arrays, theirs: Arrays) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours.all(), theirs.all(), strict=True))


def test_the_images_are_read_once_and_then_mapped(maker: Maker) -> None:
    first, digest = maker.arrays()
    again, same = maker.arrays()
    assert maker.made == 1
    assert _same(first, again)
    assert _same(again, maker.read())
    assert [array.dtype for array in again.all()] == [np.uint8, np.int64, np.uint8, np.int64]
    assert digest == same == again.digest() == maker.read().digest()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_data_set_and_a_part_of_it_lie_in_the_file(tiny_tree: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny-imagenet-200").symlink_to(tiny_tree / "tiny-imagenet-200")
    part = DATASETS["tiny_imagenet"].choose({"classes": 2, "train_size": 10})
    for dataset in (TWO, TWO, part):  # the first load writes the file
        held = load(dataset, tmp_path)
        mapped = [
            tuple(int(end, 16) for end in line.split()[0].split("-"))
            for line in Path("/proc/self/maps").read_text().splitlines()
            if re.search(r"/tiny_imagenet-2\.\w{12}\.images$", line)
        ]
        for tensor in (held.train_images, held.train_labels, held.test_images, held.test_labels):
            assert any(first <= tensor.data_ptr() < last for first, last in mapped)


def test_what_a_worker_writes_to_its_images_is_its_own(maker: Maker) -> None:
    held, digest = maker.arrays()
    torch.from_numpy(held.train_images).fill_(7)
    assert maker.arrays()[0].digest() == digest


@pytest.mark.parametrize("place", [0, 10, 100, 4096, 4096 + 191, 8192, 8192 + 95, 12288, 16384 + 31])
def test_a_flipped_bit_anywhere_is_found_and_the_file_made_again(place: int, maker: Maker) -> None:
    _, digest = maker.arrays()
    content = bytearray(maker.cache.read_bytes())
    content[place] ^= 1
    maker.cache.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, same = maker.arrays()
    assert maker.made == 2
    assert found.digest() == same == digest
    maker.arrays()
    assert maker.made == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"1", b"[" * 4096, b"\xff" * 5000, b"cut", b"longer"])
def test_a_file_that_is_cut_or_something_else_is_made_again(content: bytes, maker: Maker) -> None:
    _, digest = maker.arrays()
    whole = maker.cache.read_bytes()
    maker.cache.write_bytes({b"cut": whole[:-4096], b"longer": whole + bytes(4096)}.get(content, content))
    with pytest.warns(UserWarning, match=r"set\.\w{12}\.images is damaged \(.*\): it is built again"):
        assert maker.arrays()[1] == digest
    assert maker.cache.read_bytes() == whole


@pytest.mark.parametrize("how", ["longer", "later", "other bytes at the same time"])
def test_a_file_made_from_other_sources_is_not_used(how: str, maker: Maker) -> None:
    maker.arrays()
    before, content = maker.source.stat(), maker.source.read_bytes()
    if how == "longer":
        maker.source.write_bytes(content + bytes(16))
    elif how == "other bytes at the same time":
        while maker.source.stat().st_ctime_ns == before.st_ctime_ns:  # a clock of some milliseconds
            maker.source.write_bytes(content[::-1])
    later = 1 if how == "later" else 0
    os.utime(maker.source, ns=(before.st_atime_ns, before.st_mtime_ns + later))
    found, _ = maker.arrays()
    assert maker.made == 2
    assert _same(found, maker.read())


def test_a_file_that_is_not_what_is_expected_is_neither_used_nor_written(maker: Maker) -> None:
    _, digest = maker.arrays()
    before = maker.cache.stat()
    found, other = maker.arrays(expected="0" * 64)
    assert (maker.made, other, found.digest()) == (2, digest, digest)
    assert maker.cache.stat() == before
    assert maker.arrays(expected=digest)[1] == digest
    assert maker.made == 2


def test_where_no_file_can_be_written_the_images_are_held_in_memory(maker: Maker) -> None:
    maker.cache.parent.write_text("in the way")
    for count in (1, 2):
        with pytest.warns(
            UserWarning, match=r"set\.\w{12}\.images cannot be written \(.*\): the images are read each time"
        ):
            found, digest = maker.arrays()
        assert maker.made == count
        assert found.digest() == digest


def test_a_full_disk_costs_one_warning_and_leaves_nothing_behind(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"cannot be written \(No space left on device\)") as caught:
        found, digest = maker.arrays()
    assert len(caught) == 1
    assert found.digest() == digest
    assert [path.name for path in maker.cache.parent.iterdir()] == ["set.images.lock"]


def test_no_file_is_written_that_needs_more_than_half_of_the_free_space(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = 2 * (256 + 16 * 8)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=twice - 1))
    with pytest.warns(UserWarning, match=r"cannot be written \(No space left on device\)"):
        maker.arrays()
    assert not maker.cache.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=twice))
    maker.arrays()
    assert maker.cache.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_in_a_folder_that_may_only_be_read_is_mapped(maker: Maker) -> None:
    maker.arrays()
    maker.cache.parent.chmod(0o500)
    maker.arrays()
    maker.cache.parent.chmod(0o700)
    assert maker.made == 1


CHILD = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {folder!r})
from one_source import Maker
maker = Maker(Path({root!r}))
"""


def _child(maker: Maker, code: str) -> subprocess.Popen[str]:
    head = CHILD.format(folder=str(Path(__file__).parent), root=str(maker.source.parent))
    return subprocess.Popen([sys.executable, "-c", head + code], stdout=subprocess.PIPE, text=True)


def test_a_writer_killed_before_its_end_leaves_nothing_that_is_used(maker: Maker) -> None:
    child = _child(maker, "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nmaker.arrays()\n")
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    left = [path.name for path in maker.cache.parent.iterdir() if path.suffix == ".part"]
    assert len(left) == 1
    found, _ = maker.arrays()
    assert maker.made == 1
    assert _same(found, maker.read())
    assert sorted(path.name for path in maker.cache.parent.iterdir()) == [maker.cache.name, "set.images.lock"]


def test_of_workers_that_start_at_once_one_reads_the_sources_and_the_others_wait(maker: Maker) -> None:
    code = """
read = maker.read
maker.read = lambda: (time.sleep(0.5), read())[1]
print(maker.arrays()[1], maker.made)
"""
    children = [_child(maker, code) for _ in range(3)]
    said = [child.communicate(timeout=60)[0].split() for child in children]
    assert {digest for digest, _ in said} == {maker.read().digest()}
    assert sorted(made for _, made in said) == ["0", "0", "1"]


def test_readers_of_another_version_do_not_replace_each_others_file(tmp_path: Path) -> None:
    ours, theirs = Maker(tmp_path), Maker(tmp_path)
    theirs.reader = "2"
    _, digest = ours.arrays()
    before = ours.cache.stat()
    for _ in range(2):
        assert ours.arrays()[1] == theirs.arrays()[1] == digest
    assert (ours.made, theirs.made) == (1, 1)
    assert ours.cache.stat().st_ino == before.st_ino


def test_changed_rights_of_a_source_leave_the_file_that_others_map(maker: Maker) -> None:
    maker.arrays()
    path, before = maker.cache, maker.cache.stat()
    ctime = maker.source.stat().st_ctime_ns
    while maker.source.stat().st_ctime_ns == ctime:  # a clock of some milliseconds
        maker.source.chmod(0o600)
    maker.arrays()
    assert path.stat().st_ino == before.st_ino


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.ENOMEM])
def test_a_file_that_cannot_be_read_is_not_called_damaged_nor_written_again(
    code: int, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, digest = maker.arrays()
    before = maker.cache.stat()

    def refuse(*_given: object, **_named: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(np, "memmap", refuse)
    with pytest.warns(UserWarning, match=rf"images cannot be read \({os.strerror(code)}\): the images are") as caught:
        found, same = maker.arrays()
    assert len(caught) == 1
    assert (maker.made, found.digest(), same) == (2, digest, digest)
    assert maker.cache.stat().st_ino == before.st_ino


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_other_users_may_read_the_file_whatever_the_umask(maker: Maker) -> None:
    mask = os.umask(0o077)
    try:
        maker.arrays()
    finally:
        os.umask(mask)
    assert maker.cache.stat().st_mode & 0o777 == 0o644
    assert maker.folder.stat().st_mode & 0o777 == 0o755


def test_a_mapped_file_that_is_replaced_on_a_local_disk_keeps_its_images(maker: Maker) -> None:
    held, digest = maker.arrays()
    other = maker.cache.with_name("other")
    other.write_bytes(bytes(maker.cache.stat().st_size))
    os.replace(other, maker.cache)
    assert held.digest() == digest


def test_a_source_damaged_after_the_file_was_made_is_named(
    linked: Callable[[str], Path], damage: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, dataset = linked("mnist"), DATASETS["mnist"].choose()
    fresh = load(dataset, root)
    monkeypatch.setattr(Published, "require_sound", lambda *_: pytest.fail("the sources were read again"))
    assert load(dataset, root).fingerprint == fresh.fingerprint
    monkeypatch.undo()
    victim = root / "MNIST/raw/t10k-labels-idx1-ubyte"
    damage(victim, how="flipped")
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte is damaged \(checksum\)"):
        load(dataset, root)
