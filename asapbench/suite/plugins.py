"""Plug-ins: modules outside the package that provide entries. Loading one runs its code.

An installed distribution (entry points in the group `asapbench`), a suite file (`plugins` under `[suite]`), `--plugin`,
and the cells of one's own database that a run resumes name them. Nothing else loads one: merging, reporting or
exporting a database never does.
"""

from __future__ import annotations

import functools
import importlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from asapbench.errors import PluginError
from asapbench.suite import catalog
from asapbench.suite.options import nearest, there_are
from asapbench.suite.plugin_modules import digest, file_of, from_name, from_path, lasting_name, line_of
from asapbench.suite.validation import fault

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "asapbench"
"""The entry points of an installed plug-in: each value is a module."""


@dataclass(frozen=True)
class Plugin:
    """A loaded plug-in. `source` finds it again: an absolute path, or a module as `load` takes it."""

    name: str
    source: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}{f' {self.version}' if self.version else ''} sha256:{self.sha256}"


_loaded: dict[str, Plugin] = {}
_installed: set[str] = set()
_faults: list[str] = []
_provided: dict[tuple[str, str], Plugin] = {}
"""Plug-ins by (kind, name) of the entries that they provide."""


def provider(kind: str, name: str) -> Plugin | None:
    """The plug-in that provides an entry; None for one that ships with asapbench."""
    return _provided.get((kind, name))


def versions() -> dict[str, str]:
    """What results record of plug-ins: for each entry that one provides, its name, version and digest.

    >>> versions()
    {}
    """
    return {f"{kind} {name}": str(plugin) for (kind, name), plugin in sorted(_provided.items())}


def shortened(version: str) -> str:
    """A recorded version with the first digits of its digest, for messages.

    >>> shortened("my_rules 0.3 sha256:" + "3f2a9c1b" * 8)
    'my_rules 0.3 sha256:3f2a9c1b'
    """
    name, mark, digest = version.partition("sha256:")
    return f"{name}{mark}{digest[:8]}"


def sources() -> list[str]:
    """What another process must load to have the same entries."""
    return list(dict.fromkeys(plugin.source for plugin in _provided.values()))


def to_name() -> list[str]:
    """The plug-ins that every command must name with `--plugin`: all but those of installed distributions."""
    return [source for source in sources() if source not in _installed]


def options() -> str:
    """` --plugin FILE` for each of `to_name`, for a command to paste."""
    shown = [os.path.relpath(one) if one.endswith(".py") else one for one in to_name()]
    return "".join(f" --plugin {shlex.quote(one)}" for one in shown)


def load(named: str, *, folder: Path = Path()) -> Plugin:
    """Loads the plug-in `named`, as `located` finds it; once per process. What it prints goes to standard error.

    The folder of a file, or of the package around it, is searched for modules from then on, after all others.
    `MODULE@FOLDER` does the same for FOLDER: so workers find a module of this process's working folder.
    Raises PluginError for one that does not exist, fails, or has an entry that the catalog cannot take.
    """
    source = located(named, folder=folder)
    if source not in _loaded:
        if os.path.isabs(source):
            _loaded[source] = _taken(from_path(source), source)
        else:
            name, _, searched = named.partition("@")
            module = from_name(name, searched)
            _loaded[source] = _taken(module, name if name in _installed else lasting_name(module, searched))
    return _loaded[source]


def located(named: str, *, folder: Path) -> str:
    """The absolute path of a Python file or a package's folder, relative to `folder`; the name of a module as it is."""
    is_path = named.endswith(".py") or any(mark in named.partition("@")[0] for mark in ("/", os.sep))
    return os.path.abspath(folder / named).removesuffix(f"{os.sep}__init__.py") if is_path else named


def load_all(named: Sequence[str]) -> None:
    """Loads several plug-ins, relative to the working folder."""
    for one in named:
        load(one)


def load_installed() -> Sequence[str]:
    """Loads the plug-ins of installed distributions, once. Returns what is wrong with those that cannot be loaded.

    Code that takes names of entries from a user calls it first. No module calls it when it is imported, so that a
    plug-in can import any module of asapbench.
    """
    waiting = _distributions()
    while waiting:  # a plug-in that calls this function finds the rest of the list
        one = waiting.pop()
        try:
            _load_distribution(one)
        except PluginError as error:
            _faults.append(f"the plug-in {one.name} {one.version} is left out: {error}, or uninstall {one.name}")
    return _faults


@functools.cache
def _distributions() -> list[Distribution]:
    """The installed distributions with plug-ins; of two with one name, the first in the search path."""
    from importlib.metadata import distributions  # takes long to import

    found = [one for one in distributions() if f"[{GROUP}]" in (one.read_text("entry_points.txt") or "")]
    return list({one.name: one for one in reversed(found)}.values())


def _load_distribution(distribution: Distribution) -> None:
    try:
        modules = [point.module for point in distribution.entry_points if point.group == GROUP]
    except (AttributeError, TypeError, ValueError) as error:
        raise PluginError("its entry_points.txt cannot be read: write NAME = MODULE in each line") from error
    for module in modules:
        _installed.add(module)
        if module not in _loaded:
            _loaded[module] = _taken(from_name(module), module, version=distribution.version)


def unknown(kind: str, name: object) -> str:
    """The error for an entry that the catalog lacks, with the faults of installed plug-ins, one of which may have it.

    >>> unknown("schedule", "cosin")
    'unknown schedule "cosin"; did you mean "cosine"? (there are: constant, cosine, linear, step)'
    """
    known = catalog.CATALOG[kind]
    similar, listed = nearest(name, known), there_are(known)
    help = similar + listed if similar else f"{listed}; if a plug-in provides it, name that with --plugin"
    return "; ".join([f'unknown {kind} "{name}"{help}', *load_installed()])


def lacking(labels: Sequence[str]) -> str:
    """The message about stored cells that cannot be read, by their labels.

    >>> lacking(["Digits ResNet-10 AS+FA seed 0"])
    'Left out: cells whose rule, model or data set is not installed (Digits ResNet-10 AS+FA seed 0); --plugin loads one'
    """
    return f"Left out: {not_installed(labels)}"


def not_installed(labels: Sequence[str]) -> str:
    """Which stored cells cannot be read, by their labels, and the fix.

    >>> not_installed(["Digits ResNet-10 AS+FA seed 0"])
    'cells whose rule, model or data set is not installed (Digits ResNet-10 AS+FA seed 0); --plugin loads one'
    """
    more = f", and {len(labels) - 2} more" if len(labels) > 2 else ""
    shown = f"{', '.join(labels[:2])}{more}"
    return f"cells whose rule, model or data set is not installed ({shown}); --plugin loads one"


def _taken(module: ModuleType, source: str, *, version: str | None = None) -> Plugin:
    """Puts the entries of a loaded module into the catalog, all or none."""
    if version is None:
        version = str(getattr(module, "__version__", ""))
    sha256 = digest(module)
    name = os.path.basename(source).removesuffix(".py") if os.path.isabs(source) else module.__name__
    plugin = Plugin(name, source, version, sha256)
    new: dict[tuple[str, str], catalog.Declared] = {}
    known = 0
    for found in sorted(catalog.declared_in(module), key=lambda found: found.rule is None):
        if reason := fault(found.entry):
            raise _fault(module, found, f"the {found.kind} {found.entry.name!r}: {reason}")
        key = found.kind, found.entry.name
        before = catalog.CATALOG[found.kind].get(found.entry.name)
        if before is found.entry or (key in new and new[key].entry is found.entry):
            known += 1
            continue
        if "." not in module.__name__ and key in _provided and _provided[key].sha256 == sha256:
            return _provided[key]  # the same file under another path
        if before is not None or key in new:
            owner = "this plug-in" if key in new else "asapbench"
            owner = f"the plug-in {_provided[key].source}" if key in _provided else owner
            raise _fault(module, found, f'{owner} already has the {found.kind} "{found.entry.name}": use another name')
        if reason := _fault_of_class(found):
            raise _fault(module, found, reason)
        new[key] = found
    if not new and not known:
        raise PluginError(f"{source}: it provides nothing: a rule is a class with `entry`, all else an entry by itself")
    for key, found in new.items():
        catalog.add(found)
        _provided[key] = plugin
    return plugin


def _fault_of_class(found: catalog.Declared) -> str | None:
    """What is wrong with where the entry stands: only that of a rule is in a class, and in one that can be used."""
    if found.kind != "rule":
        return None if found.rule is None else f"the {found.kind} {found.entry.name!r} is in a class: move it out"
    rule: type[object] = importlib.import_module("asapbench.rules.base").Rule
    if found.rule is None or not issubclass(found.rule, rule):
        return f"the rule {found.entry.name!r} has no class: make it `entry` of a subclass of asapbench.rules.base.Rule"
    if missing := sorted(getattr(found.rule, "__abstractmethods__", ())):
        return f"the rule {found.variable} lacks {', '.join(missing)}: write it"
    return None


def _fault(module: ModuleType, found: catalog.Declared, reason: str) -> PluginError:
    return PluginError(f"{file_of(module) or module.__name__}:{line_of(module, found.variable)}: {reason}")
