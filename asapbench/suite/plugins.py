"""Plug-ins: modules outside the package that provide entries. Loading one runs its code.

An installed distribution (entry points in the group `asapbench`), a suite file (`plugins` under `[suite]`), `--plugin`,
and the cells of one's own database that a run resumes name them. Nothing else loads one: merging, reporting or
exporting a database never does.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from asapbench.errors import MissingPluginError, PluginError
from asapbench.suite import catalog
from asapbench.suite.options import nearest
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
_searched: set[str] = set()
"""Folders of plug-ins, which are searched for modules."""
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
            _loaded[source] = _taken(_from_path(source), source)
        else:
            name, _, searched = named.partition("@")
            module = _from_name(name, searched)
            _loaded[source] = _taken(module, name if name in _installed else _lasting(module, searched))
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
            _loaded[module] = _taken(_from_name(module), module, version=distribution.version)


def unknown(kind: str, name: object) -> str:
    """The error for an entry that the catalog lacks, with the faults of installed plug-ins, one of which may have it.

    >>> unknown("schedule", "cosin")
    'unknown schedule "cosin"; did you mean "cosine"? (there are: constant, cosine, linear, step)'
    """
    known = catalog.CATALOG[kind]
    help = nearest(name, known) or "; if a plug-in provides it, name that: --plugin FILE"
    return "; ".join([f'unknown {kind} "{name}"{help} (there are: {", ".join(known)})', *load_installed()])


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
    if version is None:
        version = str(getattr(module, "__version__", ""))
    digest = _digest(module)
    name = os.path.basename(source).removesuffix(".py") if os.path.isabs(source) else module.__name__
    plugin = Plugin(name, source, version, digest)
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
        if "." not in module.__name__ and key in _provided and _provided[key].sha256 == digest:
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
    return PluginError(f"{_file_of(module) or module.__name__}:{_line(module, found.variable)}: {reason}")


def _from_path(path: str) -> ModuleType:
    """The module of a Python file, or the package of a folder.

    It has its ordinary name, so that it and the modules beside it can import each other; if another module has this
    name, it gets one of its own.
    """
    file = os.path.join(path, "__init__.py") if os.path.isdir(path) else path
    if not os.path.isfile(file):
        if os.path.isdir(path):
            raise PluginError(f"{path}: a folder is a plug-in if it has an __init__.py: add one, or name a file in it")
        raise MissingPluginError(
            f"{path}: there is no such plug-in file: correct the path, or name it with --plugin FILE"
        )
    if not file.endswith(".py"):
        raise PluginError(f"{path}: it is no Python file: a plug-in ends in .py")
    folder, name = os.path.split(path.removesuffix(".py"))
    own_name = f"asapbench_plugin_{hashlib.sha256(path.encode()).hexdigest()[:8]}_{name}"
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, around = os.path.split(folder)
        name = f"{around}.{name}"
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _search(folder)
            return importlib.import_module(name) if _is_at(name, file) else _import_as(own_name, file)
    except (Exception, SystemExit) as error:
        raise _failed(error, file) from error


def _search(folder: str) -> None:
    """Modules in `folder` are found from now on, after all others."""
    _searched.add(folder)
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()


def _is_at(name: str, file: str) -> bool:
    """Whether `import NAME` finds the module of `file`."""
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if not _is_around(error.name, name):
            raise
        return False
    except ValueError:  # a module without a specification, such as that of a program
        return False
    origin = None if found is None else found.origin
    return origin is not None and os.path.exists(origin) and os.path.samefile(origin, file)


def _import_as(name: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of the module look it up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_name(name: str, searched: str = "") -> ModuleType:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if searched:
                _search(searched)
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if _is_around(error.name, name):
            raise MissingPluginError(
                f"{name}: there is no such plug-in module: install the distribution that has it, or name a file, as in "
                "--plugin my_rules.py"
            ) from error
        raise _failed(error, name) from error
    except (Exception, SystemExit) as error:
        raise _failed(error, name) from error


def _is_around(around: str | None, name: str) -> bool:
    """Whether `around` is the module `name` or a package that it is in."""
    return around is not None and f"{name}.".startswith(f"{around}.")


def _failed(error: Exception | SystemExit, source: str) -> PluginError:
    said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    reason = f"the plug-in cannot be loaded: {type(error).__name__}: {said}"
    return PluginError(f"{place_of(error, source)}: {reason}: correct it there")


def place_of(error: BaseException, source: str) -> str:
    """Where the code of the plug-in `source` fails: the last line in its folder, or else in any module."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames = [(error.filename, error.lineno)]
    own = [frame for frame in frames if os.path.isabs(source) and Path(source).parent in Path(frame[0]).parents]
    others = [frame for frame in frames if "importlib" not in frame[0] and frame[0] != __file__]
    return "{}:{}".format(*(own or others)[-1]) if own or others else source


def _digest(module: ModuleType) -> str:
    """SHA-256 of the Python files of the module's package, or of its file and of those beside it that it imports."""
    own = _file_of(module)
    folder = Path(own or "").parent
    package = _package(module)
    if package is not None:
        folder = Path(_file_of(package) or "").parent
        files = sorted(folder.rglob("*.py"))
    else:
        files = _imported_beside(Path(own)) if own else []
    found = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        label = f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode() if len(files) > 1 else b""
        found.update(label + content)
    return found.hexdigest()


def _package(module: ModuleType) -> ModuleType | None:
    """The outermost package around `module` that is a package with a file of its own, or `module` itself."""
    parts = module.__name__.split(".")
    around = (sys.modules.get(".".join(parts[:count])) for count in range(1, len(parts) + 1))
    return next((one for one in around if one is not None and hasattr(one, "__path__") and _file_of(one)), None)


def _imported_beside(file: Path) -> list[Path]:
    """`file`, and the Python files of its folder that it imports, directly or through each other.

    Raises PluginError where another plug-in's folder has a module of the same name, which was imported instead.
    """
    found, folder = [file], file.parent
    for one in found:  # grows
        for name in _imports(one):
            beside = sorted([*folder.glob(f"{name}.py"), *(folder / name).rglob("*.py")])
            loaded = _file_of(sys.modules.get(name))
            if beside and loaded and folder.resolve() not in Path(loaded).resolve().parents:
                if any(Path(other) in Path(loaded).parents for other in _searched):
                    raise PluginError(f"{one}: `import {name}` finds {loaded} of another plug-in: rename {beside[0]}")
                continue
            found += [path for path in beside if path not in found]
    return found


def _imports(file: Path) -> list[str]:
    """The top-level names of the modules that a Python file imports, in order."""
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module.partition(".")[0])
    return found


def _lasting(module: ModuleType, searched: str) -> str:
    """How another process finds the module: with the folder `searched`, or the working folder, that has it."""
    outermost = sys.modules.get(module.__name__.partition(".")[0])
    file = Path(_file_of(outermost) or os.devnull)
    root = file.parent.parent if hasattr(outermost, "__path__") else file.parent
    return f"{module.__name__}@{root}" if root in (Path.cwd(), Path(searched)) else module.__name__


def _file_of(module: ModuleType | None) -> str | None:
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
