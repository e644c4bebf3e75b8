"""The Python modules of plug-ins: imports them, names the lines of their faults, and takes the digest of their code."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from asapbench.errors import MissingPluginError, PluginError

_searched: set[str] = set()
"""Folders of plug-ins, which are searched for modules."""


def from_path(path: str) -> ModuleType:
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
            is_found = not name.startswith(".") and _is_at(name, file)
            return importlib.import_module(name) if is_found else _import_as(own_name, file)
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


def from_name(name: str, searched: str = "") -> ModuleType:
    """The module that `import NAME` finds, also in the folder `searched`, after all others."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if searched:
                _search(searched)
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if _is_around(error.name, name):
            raise MissingPluginError(
                f"{name}: there is no such plug-in module: install the distribution that has it, or name a file or a "
                "folder, as in --plugin my_rules.py or --plugin my_rules/"
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


def digest(module: ModuleType) -> str:
    """SHA-256 of the Python files of the module's package, or of its file and of those beside it that it imports."""
    own = file_of(module)
    folder = Path(own or "").parent
    package = _package(module)
    if package is not None:
        folder = Path(file_of(package) or "").parent
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
    return next((one for one in around if one is not None and hasattr(one, "__path__") and file_of(one)), None)


def _imported_beside(file: Path) -> list[Path]:
    """`file`, and the Python files of its folder that it imports, directly or through each other.

    Raises PluginError where another plug-in's folder has a module of the same name, which was imported instead.
    """
    found, folder = [file], file.parent
    for one in found:  # grows
        for name in _imports(one):
            if name == "asapbench":  # beside a plug-in in a clone; results record its commit by themselves
                continue
            beside = sorted([*folder.glob(f"{name}.py"), *(folder / name).rglob("*.py")])
            loaded = file_of(sys.modules.get(name))
            if beside and loaded and folder.resolve() not in Path(loaded).resolve().parents:
                if any(Path(other) in Path(loaded).parents for other in _searched):
                    raise PluginError(f"{one}: `import {name}` finds {loaded} of another plug-in: rename {beside[0]}")
                continue
            found += [path for path in beside if path not in found]
    return found


def _imports(file: Path) -> list[str]:
    """The top-level names of the modules that a Python file imports, in order."""
    found: list[str] = []
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # named in an import that did not run, or not a module: it imports nothing
        return []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module.partition(".")[0])
    return found


def lasting_name(module: ModuleType, searched: str) -> str:
    """How another process finds the module: with the folder `searched`, or the working folder, that has it."""
    outermost = sys.modules.get(module.__name__.partition(".")[0])
    file = Path(file_of(outermost) or os.devnull)
    root = file.parent.parent if hasattr(outermost, "__path__") else file.parent
    return f"{module.__name__}@{root}" if root in (Path.cwd(), Path(searched)) else module.__name__


def file_of(module: ModuleType | None) -> str | None:
    """The file of a module; None for one without a file, and for no module."""
    return getattr(module, "__file__", None)


def line_of(module: ModuleType, variable: str) -> int:
    """The line of the module's file where `variable` is defined; 1 where that cannot be seen."""
    own = file_of(module)
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
