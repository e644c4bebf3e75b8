"""A suite file -> Suite: its cells in order, each once. Every error is reported, as file:line:column."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from asapbench import paths
from asapbench.errors import MissingPluginError, PluginError, SuiteError
from asapbench.escape import visible
from asapbench.suite import plugins, target, tuning
from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import CHOICES, Cell
from asapbench.suite.grid import KEYS, Complete, Located, data_of_cells, data_of_files, expand
from asapbench.suite.options import describe, nearest
from asapbench.suite.places import Path, Places
from asapbench.suite.target import Target
from asapbench.suite.tuning import Tuning

_TABLES = ("suite", "defaults", "grid", "tune")
_SUITE_KEYS = ("name", "title", "tables", "plugins", "target")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Suite:
    """A named grid of cells. `tables` are the paper's tables that its cells belong to, `text` what `parse` read.

    `target` is the accuracy until which trainings are timed, `tuning` the search for each rule's best settings; None
    where the suite has none.
    """

    name: str
    title: str
    source: str
    cells: tuple[Cell, ...]
    tables: tuple[int, ...] = ()
    text: str = ""
    target: Target | None = None
    tuning: Tuning | None = None


def load(name_or_path: str, *, data_path: str | None = None, all_seeds: bool = True) -> Suite:
    """The suite of a file, or a shipped one by its name. Raises SuiteError with every problem, a line each.

    `data_path` replaces the path of every data set that has one. `all_seeds`: as in `parse`.

    >>> suite = load("quickstart")
    >>> suite.title, len(suite.cells)
    ('Quickstart: 8x8 digits', 30)
    """
    plugins.load_installed()
    path = locate(name_or_path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors on Windows put a mark in front
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SuiteError(f"{path}: the suite cannot be read: {reason}") from error
    complete = data_of_files(path.parent, data_path)
    return parse(text, source=str(path), complete=complete, load_plugins=True, all_seeds=all_seeds)


def parse(
    text: str,
    *,
    source: str,
    complete: Complete | None = None,
    load_plugins: bool = False,
    all_seeds: bool = True,
) -> Suite:
    """The suite in `text`; `source` is its file, named in errors.

    `complete` looks up data that it names by a path; without it there are none. `load_plugins`: run the code of the
    plug-ins that it names. Both trust the text: that of a database gets the data of recorded cells, and no plug-ins.
    Without `all_seeds`, a configuration has one cell, under the first of its seeds: quicker, where seeds do not count.
    Raises SuiteError with every problem, a line each.
    """
    document = _toml(text, source)
    problems = _Problems(text, source)
    head = _head(document, problems)
    missing = _load_plugins(_named_plugins(document), problems, folder=FilePath(source).parent) if load_plugins else {}
    timed = _target(document, problems)
    complete = complete or data_of_cells()
    defaults = _table(document.get("defaults", {}), ("defaults",), problems)
    cells: dict[str, Cell] = {}
    for number, grid in enumerate(_grids(document, problems)):
        own = _table(grid, ("grid", number), problems)
        for cell in expand(
            defaults | own,
            partial(problems.add, within=("grid", number)),
            complete=complete,
            all_seeds=all_seeds,
        ):
            cells.setdefault(cell.id, cell)
    problems.raise_if_any(and_then=missing)
    if not cells:
        problems.add(("grid",), "the suite has no cells")
        problems.raise_if_any()
    search = _tuning(document, tuple(cells.values()), problems)
    problems.raise_if_any()
    return Suite(cells=tuple(cells.values()), source=source, text=text, target=timed, tuning=search, **head)


def _tuning(document: Mapping[str, Any], cells: Sequence[Cell], problems: _Problems) -> Tuning | None:
    if "tune" not in document:
        return None
    table = document["tune"]
    if not isinstance(table, dict):
        problems.add(("tune",), f"write [tune], a table: not {describe(table)}")
        return None
    return tuning.read(table, cells, partial(problems.add, within=("tune",)))


def is_portable(text: str) -> bool:
    """Whether the suite in `text` means the same on another machine: it names no plug-in and no path of data.

    An option that this installation does not know may be a path.
    """
    try:
        document = _toml(text, "")
    except SuiteError:
        return False
    head, grids = document.get("suite"), document.get("grid", [])
    if not isinstance(head, dict) or head.get("plugins") or not isinstance(grids, list):
        return False
    tables = [table for table in (document.get("defaults"), *grids) if isinstance(table, dict)]
    choices = [(kind, item) for table in tables for kind in CHOICES for item in Located(table.get(kind), ()).items()]
    return all(_is_portable(kind, item.value) for kind, item in choices if isinstance(item.value, dict))


def _is_portable(kind: str, table: dict[str, Any]) -> bool:
    entry = CATALOG[kind].get(str(table.get("name")))
    roles = {option.name: option.role for option in entry.options} if entry is not None else {}
    return all(roles.get(option, "place") != "place" for option in table if option != "name")


def plugins_named(text: str, *, folder: FilePath) -> list[str]:
    """The plug-ins that the suite in `text`, a file of `folder`, names: paths and modules; none if it is not TOML."""
    try:
        found = _named_plugins(_toml(text, "")).values()
    except SuiteError:
        return []
    return [plugins.located(one, folder=folder) for one in found]


def _named_plugins(document: Mapping[str, Any]) -> dict[int, str]:
    """The plug-ins that a suite names, by their place in its list."""
    head = document.get("suite")
    named = head.get("plugins") if isinstance(head, dict) else None
    return {n: one for n, one in enumerate(named if isinstance(named, list) else ()) if isinstance(one, str)}


def locate(name_or_path: str) -> FilePath:
    """The file of a suite: a path, or the name of a shipped suite. Raises SuiteError with the nearest name."""
    path = FilePath(name_or_path)
    if os.path.isfile(path):  # Path.is_file raises on a name that is too long
        return path
    found = shipped()
    if name_or_path in found:
        return found[name_or_path]
    if os.path.isdir(path):
        raise SuiteError(f"{name_or_path}: this is a directory; name a suite file in it")
    raise SuiteError(
        f"{name_or_path}: no such suite file{nearest(name_or_path, found)} (shipped suites: {', '.join(found)})"
    )


def shipped() -> dict[str, FilePath]:
    """The suites that come with asapbench, by name: a checkout's `suites/`, else those in the wheel."""
    folder = paths.shipped("suites", in_wheel="suite/shipped")
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


class _Problems:
    """Collects what is wrong, each with its place."""

    def __init__(self, text: str, source: str) -> None:
        self._text, self._source = text, source
        self._found: dict[tuple[Path, str, bool], None] = {}

    def add(self, path: Path, message: str, *, at_key: bool = False, within: Path = ()) -> None:
        """Adds a problem at `path`; an empty path is the place `within`, which lacks something itself."""
        self._found[path or within, message, at_key] = None

    def raise_if_any(self, *, and_then: Mapping[Path, str] | None = None) -> None:
        """Raises SuiteError for what was found; `and_then` is what may have caused it, by its place."""
        if not self._found:
            return
        for path, message in (and_then or {}).items():
            self.add(path, message)
        places = Places(self._text)
        lines = []
        for path, message, at_key in self._found:
            line, column = places.of_key(path) if at_key else places.of_value(path)
            lines.append((line, column, f"{self._source}:{line}:{column}: {visible(message)}"))
        raise SuiteError("\n".join(text for _, _, text in sorted(lines)))


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a bare one for a number of thousands of digits
        message = str(error)
        place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        line, column = (place[1], place[2]) if place and place[1] else (str(text.count("\n") + 1), "1")
        reason = message[: place.start()] if place else message
        raise SuiteError(f"{source}:{line}:{column}: not valid TOML: {visible(reason)}") from error
    except RecursionError as error:
        raise SuiteError(f"{source}:1:1: not valid TOML: nested too deep") from error


def _head(document: Mapping[str, Any], problems: _Problems) -> dict[str, Any]:
    for key in document:
        if key in _SUITE_KEYS:
            problems.add((key,), f'"{key}" belongs under [suite]', at_key=True)
        elif key not in _TABLES:
            problems.add((key,), f'unknown table "{key}"{nearest(key, _TABLES)}', at_key=True)
    head = document.get("suite")
    if not isinstance(head, dict):
        problems.add(("suite",), "a suite begins with [suite] and its name")
        return {"name": "", "title": ""}
    for key in head:
        if key not in _SUITE_KEYS:
            problems.add(("suite", key), f'unknown key "{key}"{nearest(key, _SUITE_KEYS)}', at_key=True)
    name, title, tables = head.get("name"), head.get("title", ""), head.get("tables", [])
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.add(("suite", "name"), "name must be 1 to 64 letters, digits, dots, dashes or underscores")
    if not isinstance(title, str):
        problems.add(("suite", "title"), f"title must be a string, not {describe(title)}")
    if not isinstance(tables, list) or not all(type(t) is int and 1 <= t <= 5 for t in tables):
        problems.add(("suite", "tables"), "tables must be a list of numbers from 1 to 5")
        tables = []
    plugins = head.get("plugins", [])
    if not isinstance(plugins, list) or not all(isinstance(one, str) for one in plugins):
        problems.add(("suite", "plugins"), 'plugins must be a list of files or modules, as in ["my_rules.py"]')
    return {"name": name, "title": title or name, "tables": tuple(tables)}


def _target(document: Mapping[str, Any], problems: _Problems) -> Target | None:
    """The target that the suite names. Data sets of its plug-ins must be loaded."""
    head = document.get("suite")
    if not isinstance(head, dict) or "target" not in head:
        return None
    return target.read(head["target"], CATALOG["dataset"], problems.add)


def _load_plugins(named: Mapping[int, str], problems: _Problems, *, folder: FilePath) -> dict[Path, str]:
    """Loads the plug-ins of the suite. Returns, by their places, the faults of those that do not exist.

    Where the command names plug-ins, a missing one is no fault as such: one of those may be the same file, moved.
    """
    given, missing = plugins.to_name(), dict[Path, str]()
    for number, one in named.items():
        place: Path = ("suite", "plugins", number)
        try:
            plugins.load(one, folder=folder)
        except MissingPluginError as error:
            missing[place] = str(error)
        except PluginError as error:
            problems.add(place, str(error))
    for place, message in () if given else missing.items():
        problems.add(place, message)
    problems.raise_if_any(and_then=missing)  # what a plug-in lacks is unknown below
    return missing


def _grids(document: Mapping[str, Any], problems: _Problems) -> Sequence[Any]:
    grids = document.get("grid", [])
    if not isinstance(grids, list):
        problems.add(("grid",), "write [[grid]], with two brackets: a suite may have several", at_key=True)
        return []
    if not grids and "grid" not in document:
        problems.add(("suite",), "the suite has no [[grid]]")
    return grids


def _table(content: object, path: Path, problems: _Problems) -> dict[str, Located]:
    if not isinstance(content, dict):
        problems.add(path, f"must be a table, not {describe(content)}")
        return {}
    for key in content:
        if key not in KEYS:
            problems.add((*path, key), f'unknown key "{key}"{nearest(key, KEYS)}', at_key=True)
    return {key: Located(value, (*path, key)) for key, value in content.items() if key in KEYS}
