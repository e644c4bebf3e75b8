"""The folder of the data sets, and faults of files as sentences. Imports no torch."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asapbench.errors import DataError

ENVIRONMENT = "ASAPBENCH_DATA"
OWN_FOLDER = ".asapbench"
"""Inside the data root: locks, unfinished downloads, the decoded images that workers share."""
LISTED = 3
"""How many file names an error spells out."""
MISSING = "missing"


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a file: `path` below the data root, and what is wrong as the end of a sentence."""

    path: str
    what: str


def data_root(given: str | Path | None = None) -> Path:
    """The folder of the data sets: `given` (the option `--data`), else ASAPBENCH_DATA, else `./data`.

    Raises DataError for the home of an unknown user.
    """
    root = Path(given or os.environ.get(ENVIRONMENT) or "data")
    try:
        return root.expanduser()
    except RuntimeError as error:
        raise DataError(f"{root}: there is no such user: name the folder of the data sets with --data") from error


def file_digest(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def fix(names: str, root: Path) -> str:
    """The command that fetches data sets again, for the end of an error."""
    return f'run "asapbench data prepare {names} --data {shlex.quote(str(root))}"'


def describe(root: Path, found: Iterable[Fault]) -> str:
    """`data/x/a, data/x/b and 3 more are missing; data/x/c is damaged`."""
    by_fault: dict[str, list[str]] = {}
    for fault in found:
        by_fault.setdefault(fault.what, []).append(str(root / fault.path))
    return "; ".join(_sentence(paths, what) for what, paths in by_fault.items())


def _sentence(paths: list[str], what: str) -> str:
    if len(paths) == 1:
        return f"{paths[0]} is {what}"
    named, rest = paths[:LISTED], len(paths) - LISTED
    if rest > 0:
        return f"{', '.join(named)} and {rest} more are {what}"
    return f"{', '.join(named[:-1])} and {named[-1]} are {what}"
