"""Plug-ins: modules outside the package that provide entries. Loading one runs its code.

They are named by an installed distribution (entry points in the group `asapbench`), by a suite file (`plugins` under
`[suite]`), by `--plugin`, and by the cells of one's own database that a run resumes. Nothing else loads one: a database
that is merged, reported or exported never does.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from asapbench.errors import PluginError

if TYPE_CHECKING:
    from asapbench.suite import catalog

GROUP = "asapbench"
"""The entry points of an installed plug-in: each value is a module."""


@dataclass(frozen=True)
class Plugin:
    """A loaded plug-in. `source` finds it again: an absolute path, or the name of a module."""

    name: str
    source: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}{f' {self.version}' if self.version else ''} sha256:{self.sha256}"


_loaded: dict[str, Plugin] = {}
_installed: set[str] = set()
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


def sources() -> list[str]:
    """What another process must load to have the same entries."""
    return list(dict.fromkeys(plugin.source for plugin in _provided.values()))


def to_name() -> list[str]:
    """The plug-ins that every command must name with `--plugin`: all but those of installed distributions."""
    return [source for source in sources() if source not in _installed]


def load(named: str, *, folder: Path = Path()) -> Plugin:
    """Loads the plug-in `named`, a file relative to `folder` or the name of a module; once, however often it is asked.

    Raises PluginError where there is none, where it fails, and where an entry of it has the name of another.
    """
    is_file = named.endswith(".py") or os.sep in named or "/" in named
    source = os.path.abspath(folder / named) if is_file else named
    if source not in _loaded:
        _loaded[source] = _taken(_file(source) if is_file else _module(named), source)
    return _loaded[source]


def load_all(named: Sequence[str]) -> None:
    """Loads several, relative to the folder of this process."""
    for one in named:
        load(one)


def load_installed() -> None:
    """Loads the plug-ins of installed distributions."""
    for point in importlib.metadata.entry_points(group=GROUP):
        version = "" if point.dist is None else point.dist.version
        _installed.add(point.module)
        if point.module not in _loaded:
            _loaded[point.module] = _taken(_module(point.module), point.module, version=version)


def lacking(labels: Sequence[str]) -> str:
    """The message about stored cells that cannot be read, by their labels.

    >>> lacking(["Digits ResNet-10 AS+FA seed 0"])
    'Left out: cells whose rule, model or data set is not installed (Digits ResNet-10 AS+FA seed 0); --plugin loads one'
    """
    more = f", and {len(labels) - 2} more" if len(labels) > 2 else ""
    shown = f"{', '.join(labels[:2])}{more}"
    return f"Left out: cells whose rule, model or data set is not installed ({shown}); --plugin loads one"


def _taken(module: ModuleType, source: str, *, version: str | None = None) -> Plugin:
    """Puts the entries of a loaded module into the catalog, all or none."""
    from asapbench.suite import catalog

    if version is None:
        version = str(getattr(module, "__version__", ""))
    digest = _digest(module)
    name = Path(source).stem if source.endswith(".py") else source
    plugin = Plugin(name, source, version, digest)
    new: dict[tuple[str, str], catalog.Declared] = {}
    known = 0
    for found in catalog.declared_in(module):
        key = found.kind, found.entry.name
        before = catalog.CATALOG[found.kind].get(found.entry.name)
        if before is found.entry or (key in new and new[key].entry is found.entry):
            known += 1
            continue
        if before is not None and key in _provided and _provided[key].sha256 == digest:
            return _provided[key]  # the same file under another path
        owner = "asapbench" if before is not None else "it"
        if before is not None or key in new:
            owner = f"the plug-in {_provided[key].source}" if key in _provided else owner
            raise _fault(module, found, f'{owner} has a {found.kind} "{found.entry.name}" already: take another name')
        if missing := sorted(getattr(found.rule, "__abstractmethods__", ())):
            raise _fault(module, found, f"the rule {found.variable} lacks {', '.join(missing)}: write it")
        new[key] = found
    if not new and not known:
        raise PluginError(f"{source}: it provides nothing: a rule is a class with `entry`, all else an entry by itself")
    for key, found in new.items():
        catalog.add(found)
        _provided[key] = plugin
    return plugin


def _fault(module: ModuleType, found: catalog.Declared, reason: str) -> PluginError:
    return PluginError(f"{_file_of(module) or module.__name__}:{_line(module, found.variable)}: {reason}")


def _file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise PluginError(f"{path}: there is no such plug-in file: correct the path, or name it with --plugin FILE")
    name = f"asapbench_plugin_{hashlib.sha256(path.encode()).hexdigest()[:8]}.{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path}: it is no Python file: a plug-in ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of the module look it up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _failed(error, path) from error
    return module


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise PluginError(
                f"{name}: there is no such plug-in module: install the distribution that has it, or name a file, as in "
                "--plugin my_rules.py"
            ) from error
        raise _failed(error, name) from error
    except Exception as error:
        raise _failed(error, name) from error


def _failed(error: Exception, source: str) -> PluginError:
    """Where the code of a plug-in fails: the last line of the plug-in itself, and why."""
    place = source
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename == source] or [
            frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__
        ]
        place = f"{own[-1].filename}:{own[-1].lineno}" if own else source
    said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    return PluginError(f"{place}: the plug-in cannot be loaded: {type(error).__name__}: {said}: correct it there")


def _digest(module: ModuleType) -> str:
    """SHA-256 of the module's file; of a package, of all its Python files."""
    found = hashlib.sha256()
    roots = [Path(root) for root in getattr(module, "__path__", ())]
    files: Iterator[Path] = (file for root in roots for file in sorted(root.rglob("*.py")))
    own = _file_of(module)
    for file in files if roots else ([Path(own)] if own else []):
        content = file.read_bytes()
        found.update(content if not roots else f"{file.name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def _file_of(module: ModuleType) -> str | None:
    return getattr(module, "__file__", None)


def _line(module: ModuleType, variable: str) -> int:
    """The line of the module's file where `variable` is defined; 1 where that cannot be seen."""
    own = _file_of(module)
    for node in ast.parse(Path(own).read_text(encoding="utf-8")).body if own and own.endswith(".py") else ():
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.ClassDef) and node.name == variable:
            inside = [n.lineno for n in node.body if isinstance(n, ast.Assign | ast.AnnAssign) and "entry" in _names(n)]
            return inside[0] if inside else node.lineno
        if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
            return node.lineno
    return 1


def _names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]
