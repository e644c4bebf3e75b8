"""A data set of a plug-in that fails, or returns other arrays than it declares, is one error that names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from in_process import asapbench

from asapbench.data.images import load
from asapbench.data.lookup import published_set
from asapbench.data.prepare import prepare
from asapbench.errors import DataError
from asapbench.suite import plugins
from asapbench.suite.catalog import DATASETS

PLUGIN = """\
import numpy as np
from asapbench.data.cache import Arrays
from asapbench.data.published import DataFile, PublishedFiles
from asapbench.suite.entries import TRAIN_SIZE

def images(count, kind=np.uint8, size=4):
    return np.zeros((count, 1, size, size), kind)

def labels(count, kind=np.int64, last=2):
    return np.arange(count, dtype=kind) % (last + 1)

def read(root):
    return {returned}

FILE = DataFile("wrong/a", 1, "md5:0cc175b9c0f1b6a831c399e269772661")
entry = PublishedFiles(
    "wrong", "W", "a test", options=(TRAIN_SIZE,), channels=1, size=4, classes=3, train=6, test=4, read=read,
    files={files},
)
"""
FAULTS = {
    "Arrays(images(6, float), labels(6), images(4), labels(4))": "the training images are float64 (6, 1, 4, 4), not",
    "Arrays(images(6), labels(6), images(4, size=5), labels(4))": "the test images are uint8 (4, 1, 5, 5), not",
    "Arrays(images(6), labels(6), images(4), labels(3))": "the test labels are int64 (3,), not int64 (4,)",
    "Arrays(images(6), labels(6, np.int32), images(4), labels(4))": "the training labels are int32 (6,), not",
    "Arrays(images(6), labels(6, last=3), images(4), labels(4))": "the training labels are 0 to 3, not 0 to 2",
    "Arrays(images(6), labels(6), images(4), labels(4) - 1)": "the test labels are -1 to 1, not 0 to 2",
}


def write(folder: Path, returned: str, files: str) -> Path:
    (folder / "wrong.py").write_text(PLUGIN.format(returned=returned, files=files))
    (folder / "wrong").mkdir()
    (folder / "wrong" / "a").write_text("a")
    plugins.load("wrong.py", folder=folder)
    return folder


@pytest.mark.parametrize("files", ["()", "(FILE,)"], ids=["without files", "with a file"])
@pytest.mark.parametrize(("returned", "says"), FAULTS.items())
def test_other_arrays_than_declared(tmp_path: Path, returned: str, says: str, files: str) -> None:
    root = write(tmp_path, returned, files)
    with pytest.raises(DataError, match=rf"^wrong: {re.escape(says)}.*: correct its entry, or what it reads$"):
        load(DATASETS["wrong"].choose(), root)
    assert not list(root.rglob("*.images"))


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("open('no such file')", "wrong: no such file cannot be read .*: correct what it reads$"),
        ("int('x')", r"wrong: \S+wrong\.py:13: the data set cannot be read: ValueError: invalid .*: correct it there$"),
        ("(images(6), labels(6))", r"the data set cannot be read: AttributeError: 'tuple' object"),
    ],
)
def test_a_function_that_fails(tmp_path: Path, returned: str, says: str) -> None:
    root = write(tmp_path, returned, "()")
    with pytest.raises(DataError, match=says) as caught:
        load(DATASETS["wrong"].choose(), root)
    assert "data prepare" not in str(caught.value)


def test_commands_take_one_that_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, "Arrays(images(6), labels(6), images(4), labels(4))", "(FILE,)"))
    plugin = ("--plugin", "wrong.py")
    for command in (("prepare", "wrong"), ("verify", "wrong"), ("verify",)):
        done = asapbench("data", *command, "--data", str(tmp_path), *plugin)
        assert (done.status, done.err) == (0, "")
        assert "wrong: complete" in done.out
    assert re.search(r"\bwrong +6 \+ 4 +1x4x4 +3\b", asapbench("data", "list", *plugin).out)
    assert (
        "computed for W and" in asapbench("analyze", "memory", "--model", "resnet10", "--dataset", "wrong", *plugin).out
    )


def test_files_that_cannot_be_downloaded_are_to_be_put_there(tmp_path: Path) -> None:
    root = write(tmp_path, "int('x')", "(FILE,)")
    (root / "wrong" / "a").unlink()
    for ask in (lambda: prepare(published_set("wrong"), root), lambda: load(DATASETS["wrong"].choose(), root)):
        with pytest.raises(DataError, match=r"^wrong: \S+wrong/a is missing: put its files there$"):
            ask()
