"""The user's own data, which a suite names by their path, without code. Imports no torch.

A cell's identity holds the fingerprint of the files' content, never their path: the same content is the same cell on
every machine, and changed content is another cell. Reading all content takes long, so what was found is kept in the
user's cache, under a stamp of the files' names, sizes and times.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asapbench import paths
from asapbench.data import cache
from asapbench.data.cache import Arrays
from asapbench.data.dataset import Dataset
from asapbench.data.files import OWN_FOLDER
from asapbench.durable import write_whole
from asapbench.errors import DataError, SuiteError
from asapbench.suite.entries import TRAIN_SIZE, DatasetShape
from asapbench.suite.options import Choice, Option, Value

_REVISION = "1"
"""Of what is found and decoded: what another version kept is not used."""
_DIGITS = 8
_SHAPE = ("channels", "size", "classes", "train", "test")

_NAME_IT = "--set dataset.path=PATH"
"""The option of the commands that use data."""

OPTIONS = (
    TRAIN_SIZE,
    Option("path", "", "where the data are: absolute, in ~, or relative to the suite file", role="place"),
    Option("label", "", "their name in reports; else the last part of the path", role="label"),
    Option("content", "", "SHA-256 of their content: read from the data", role="content"),
    *(Option(name, 0, "read from the data", minimum=0, role="found") for name in ("classes", "train", "test")),
)


def missing(path: Path, kind: Literal["file", "folder"]) -> DataError:
    """The error where `path` is not of this kind."""
    fault = f"not a {kind}" if path.exists() else f"there is no such {kind}"
    return DataError(f"{path}: {fault}: correct the path, or name it with {_NAME_IT}")


@dataclass(frozen=True)
class OwnData(Dataset):
    """An entry whose shape is that of the files at the option `path`.

    `found_by` names the settings that change what is found in the files.
    """

    classes: int = 0
    train: int = 0
    test: int = 0
    found_by: tuple[str, ...] = ()

    @abstractmethod
    def sources(self, path: Path) -> Iterable[tuple[str, os.stat_result]]:
        """The files at `path`, by their names below it. Raises DataError, OSError."""

    @abstractmethod
    def found(self, path: Path, dataset: Choice) -> Mapping[str, Value]:
        """The options of the roles `content` and `found`; reads every file. Raises DataError, OSError."""

    @abstractmethod
    def decoded(self, path: Path, dataset: Choice) -> tuple[Arrays, str]:
        """The examples, and the content of the files they were decoded from. Raises DataError, OSError."""

    def decoder(self) -> str:
        """The versions of the programs that decode."""
        return ""

    def whole(self, dataset: Choice) -> DatasetShape:
        """The shape that was found. Raises SuiteError for a choice without a path."""
        options = dict(dataset.options)
        if not options["content"]:
            raise SuiteError(f"{self.name} has the shape of the data at its path, and no path is given here")
        channels, size, classes, train, test = (dataset.integer(name) for name in _SHAPE)
        value_bytes = 4 if options.get("values") == "float32" else 1
        return DatasetShape(channels, size, classes, train, test, value_bytes)

    def completed(self, dataset: Choice, *, folder: Path) -> Choice:
        """`dataset` with its absolute path, and with the content and the shape that are found there.

        Raises DataError for data that cannot be used, or that are not those that `dataset` says.
        """
        path = self._path(dataset, folder)
        found = self._known(path, dataset)
        for name, value in found.items():
            if dataset[name] not in (value, self.option(name).default):
                now, wanted = (str(one)[:_DIGITS] for one in (value, dataset[name]))
                raise DataError(
                    f"{path}: {name} is {now}, and not {wanted}: name the path of such data, or leave {name} out of "
                    "the suite"
                )
        return self.choose({**self.given(dataset), **found, "path": str(path)})

    def located(self, dataset: Choice, known: Iterable[Choice]) -> Iterator[Choice]:
        """`dataset` at the paths of those of `known` that had the same content."""
        paths = [dict(other.local).get("path") for other in known if other["content"] == dataset["content"]]
        yield from (self.with_options(dataset, path=path) for path in dict.fromkeys(paths) if path is not None)

    def check(self, dataset: Choice, root: Path) -> None:
        """Raises DataError where the data are missing or not those of the cell. Reads files only if one has changed."""
        path = self._path(dataset, Path())
        content = self._known(path, dataset)["content"]
        if content != dataset["content"]:
            now, then = (str(digest)[:_DIGITS] for digest in (content, dataset["content"]))
            raise DataError(
                f"{path}: the data have changed since this cell was made (their content is {now}, the cell's {then}): "
                "put the earlier files back, or run the suite again, which makes cells of the new content"
            )

    def arrays(self, dataset: Choice, root: Path) -> tuple[Arrays, str]:
        """The examples, from the file that workers share if it exists."""
        path, content = self._path(dataset, Path()), dataset.text("content")
        settings = {name: value for name, value in dataset.options if name != TRAIN_SIZE.name}

        def read() -> Arrays:
            made, now = self.decoded(path, dataset)
            if now != content:
                raise DataError(f"{path}: the data change while they are read: leave them as they are during a run")
            return made

        stamp = hashlib.sha256(f"{_REVISION} {self.decoder()} {json.dumps(settings, sort_keys=True)}".encode())
        name = f"{self.name}-{content[:_DIGITS]}"
        return cache.arrays(root / OWN_FOLDER, name, stamp=stamp.hexdigest(), expected=None, read=read)

    def fix(self, root: Path) -> str:
        """How to fix data that cannot be read, for the end of an error."""
        return "make the files readable, or name another path"

    def _path(self, dataset: Choice, folder: Path) -> Path:
        """The absolute path of the data. Raises DataError if none is given."""
        given = dict(dataset.local).get("path", "")
        if not given:
            needs = 'it needs path = "...", where the data are'
            if dataset["content"]:
                needs = f"it is not known where data of content {dataset.text('content')[:_DIGITS]} are on this machine"
            raise DataError(f"{self.name}: {needs}: name it in the suite, or with {_NAME_IT}")
        try:
            return Path(os.path.abspath(folder / Path(str(given)).expanduser()))
        except RuntimeError as error:
            raise DataError(f"{given}: there is no such user: name another path") from error

    def _known(self, path: Path, dataset: Choice) -> dict[str, Value]:
        """What is found at `path`: as kept, if no file has changed. Raises DataError."""
        settings = json.dumps([self.name, *(dataset[name] for name in self.found_by)])
        try:
            stamp = cache.stamp(f"{_REVISION} {self.decoder()} {settings}", self.sources(path))
            kept = _Kept(path, settings)
            if (found := kept.read(stamp)) is None:
                found = dict(self.found(path, dataset))
                kept.write(stamp, found)
        except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
            reason = getattr(error, "strerror", None) or error
            place = getattr(error, "filename", None) or path
            raise DataError(f"{place}: cannot be read ({reason}): {self.fix(path)}") from error
        return found


class _Kept:
    """A file in the user's cache that keeps what was found at a path. Without a cache folder, nothing is kept."""

    def __init__(self, path: Path, settings: str) -> None:
        folder, digest = paths.user_cache(), hashlib.sha256(f"{path}\n{settings}".encode()).hexdigest()
        self._file = None if folder is None else folder / "own-data" / f"{digest[:32]}.json"

    def read(self, stamp: str) -> dict[str, Value] | None:
        """What was written under this stamp, else None."""
        if self._file is None:
            return None
        try:
            held = json.loads(self._file.read_text(encoding="utf-8"))
            return dict(held["found"]) if held["stamp"] == stamp else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None  # it is found again

    def write(self, stamp: str, found: Mapping[str, Value]) -> None:
        """Keeps what was found. A cache that cannot be written only costs time."""
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, [json.dumps({"stamp": stamp, "found": found}).encode()], sync=False)
        except OSError:
            return
