"""Downloads from files of this machine: `file:` addresses stand in for the network."""

import gzip
import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision import datasets

from asapbench.data import prepare
from asapbench.data.lookup import published, published_set
from asapbench.data.published import DataFile, PublishedFiles, Source
from asapbench.data.sets import cifar10, cifar100, mnist, svhn
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS

CONTENT = {f"cifar-10-batches-py/{name}": name.encode() * 1000 for name in ("train", "test", "meta")}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive that takes the place of CIFAR-10's; its address is a file."""
    archive = tmp_path / "server" / "cifar.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for path, content in CONTENT.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    source = Source((archive.as_uri(),), _md5(archive.read_bytes()), "cifar.tar.gz", tuple(CONTENT))
    listed = tuple(DataFile(path, len(content), f"md5:{_md5(content)}") for path, content in CONTENT.items())
    monkeypatch.setitem(DATASETS, "cifar10", replace(cifar10.entry, files=listed, sources=(source,)))
    return archive


def test_prepare_fetches_verifies_and_unpacks(server: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    said: list[str] = []
    received: list[tuple[int, int | None]] = []
    prepare.prepare(published_set("cifar10"), root, say=said.append, received=lambda *now: received.append(now))
    assert prepare.verify(published_set("cifar10"), root).state == "complete"
    assert {path: (root / path).read_bytes() for path in CONTENT} == CONTENT
    assert said == [f"cifar10: downloading {server.as_uri()}", "cifar10: unpacking"]
    assert received[-1] == (server.stat().st_size,) * 2
    assert sorted(path.name for path in (root / ".asapbench").iterdir()) == ["cifar10.lock"]


def test_complete_files_are_not_touched(server: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    prepare.prepare(published_set("cifar10"), root)
    times = [(root / path).stat().st_mtime_ns for path in CONTENT]
    server.unlink()
    shutil.rmtree(root / ".asapbench")
    prepare.prepare(published_set("cifar10"), root, say=pytest.fail)
    assert [(root / path).stat().st_mtime_ns for path in CONTENT] == times
    assert not (root / ".asapbench").exists(), "a folder that may only be read is enough"


def test_a_damaged_file_is_fetched_again(server: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    prepare.prepare(published_set("cifar10"), root)
    victim = root / "cifar-10-batches-py/train"
    victim.write_bytes(b"x" * victim.stat().st_size)
    assert prepare.verify(published_set("cifar10"), root).faults == f"{victim} is damaged (checksum)"
    prepare.prepare(published_set("cifar10"), root)
    assert victim.read_bytes() == CONTENT["cifar-10-batches-py/train"]


def test_without_a_network_the_error_says_what_to_put_where(server: Path, tmp_path: Path) -> None:
    address = server.as_uri()
    digest = _md5(server.read_bytes())
    server.unlink()
    root = tmp_path / "data"
    with pytest.raises(DataError) as caught:
        prepare.prepare(published_set("cifar10"), root)
    for part in (address, f"put the file at {root / 'cifar.tar.gz'} by hand (MD5 {digest})", "data prepare cifar10"):
        assert part in str(caught.value)


def test_an_archive_put_there_by_hand_is_used_and_kept(server: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    by_hand = root / "cifar.tar.gz"
    server.rename(by_hand)
    said: list[str] = []
    prepare.prepare(published_set("cifar10"), root, say=said.append)
    assert said == ["cifar10: unpacking"]
    assert by_hand.is_file()


def test_a_wrong_archive_put_there_by_hand_is_not_used(server: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "cifar.tar.gz").write_bytes(b"half")
    said: list[str] = []
    prepare.prepare(published_set("cifar10"), root, say=said.append)
    assert "is not used: its MD5 is" in said[0]


def test_a_damaged_download_is_refused_and_not_kept(server: Path, tmp_path: Path) -> None:
    server.write_bytes(server.read_bytes()[:-10])
    root = tmp_path / "data"
    with pytest.raises(DataError, match=r"the file from .* is damaged \(its MD5 is"):
        prepare.prepare(published_set("cifar10"), root)
    assert sorted(path.name for path in (root / ".asapbench").iterdir()) == ["cifar10.lock"]


def test_a_root_that_cannot_be_written_is_named(server: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match=r"data.* cannot be (written|read)|unreadable"):
        prepare.prepare(published_set("cifar10"), tmp_path / "data")


def test_one_of_two_that_prepare_at_once_waits_and_fetches_nothing(server: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    root = tmp_path / "data"
    (root / ".asapbench").mkdir(parents=True)
    lock = FileLock(root / ".asapbench" / "cifar10.lock")
    lock.acquire()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        for path, content in CONTENT.items():  # meanwhile the other has finished
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(content)
        lock.release()

    server.unlink()
    prepare.prepare(published_set("cifar10"), root, say=say)
    assert said == ["cifar10: waiting for another asapbench that prepares it"]


def test_packed_and_plain_files_are_put_in_their_places(tmp_path: Path) -> None:
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(b"content"))
    mnist.entry.unpack(packed, Source((), "", "MNIST/raw/x.gz", ("MNIST/raw/x",)), tmp_path)
    assert (tmp_path / "MNIST/raw/x").read_bytes() == b"content"
    plain = tmp_path / "downloaded"
    plain.write_bytes(b"mat")
    svhn.entry.unpack(plain, Source((), "", "train_32x32.mat", ("train_32x32.mat",)), tmp_path)
    assert (tmp_path / "train_32x32.mat").read_bytes() == b"mat"


def test_every_file_of_every_set_has_a_source() -> None:
    for dataset in published():
        if isinstance(dataset, PublishedFiles):
            assert [path for source in dataset.sources for path in source.holds] == [
                file.path for file in dataset.files
            ]


def test_files_checksums_and_addresses_are_torchvisions() -> None:
    for dataset, kind in ((cifar10.entry, datasets.CIFAR10), (cifar100.entry, datasets.CIFAR100)):
        rows = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
        listed = {file.path: file.digest for file in dataset.files}
        assert listed == {f"{kind.base_folder}/{file}": f"md5:{digest}" for file, digest in rows}
        [source] = dataset.sources
        assert (source.urls, source.md5, source.place) == ((kind.url,), kind.tgz_md5, kind.filename)
    split = datasets.SVHN.split_list
    found = [[source.urls[0], source.place, source.md5] for source in svhn.entry.sources]
    assert found == [split[part] for part in ("train", "test")]
    assert [file.digest for file in svhn.entry.files] == [f"md5:{split[part][2]}" for part in ("train", "test")]
    kind = datasets.MNIST
    for source in mnist.entry.sources:
        [(file, md5)] = [row for row in kind.resources if f"MNIST/raw/{row[0]}" == source.place]
        assert source == Source(tuple(m + file for m in kind.mirrors), md5, source.place, (source.place[:-3],))


def test_real_mnist_is_not_touched(need: Callable[..., Path]) -> None:
    prepare.prepare(published_set("mnist"), need("mnist"), say=pytest.fail)
