"""A plug-in of several modules: a file and the modules beside it, a file inside a package, or a package's folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import run

from asapbench.errors import PluginError
from asapbench.suite import plugins
from asapbench.suite.catalog import MODELS

BUILD = """\
def build(choice, *, channels, size, classes):
    from torch import nn
    return nn.Sequential(nn.Conv2d(channels, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * (size - 2) ** 2, classes))
"""
ENTRY = """\
from asapbench.suite.entries import ModelEntry
{imports}
entry = ModelEntry("{name}", "F", "a test", build={build})
"""
SUITE = """\
[suite]
name = "s"
plugins = ["{plugin}"]

[[grid]]
dataset = {{ name = "digits", train_size = 64 }}
model = "{model}"
rule = "bp"
lr = 0.01
epochs = 1
batch_size = 32
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def entry(name: str, imports: str, build: str = "build") -> str:
    return ENTRY.format(imports=imports, name=name, build=build)


@pytest.mark.parametrize(
    ("plugin", "files"),
    [
        ("a_file.py", {"a_file.py": entry("beside", "from my_parts import build"), "my_parts.py": BUILD}),
        ("a_file.py", {"a_file.py": entry("in_folder", "import my_folder.p as p", "p.build"), "my_folder/p.py": BUILD}),
        ("own/", {"own/__init__.py": entry("in_package", "from .parts import build"), "own/parts.py": BUILD}),
        ("own/__init__.py", {"own/__init__.py": entry("init", "from own.parts import build"), "own/parts.py": BUILD}),
        (
            "own/sub/a_file.py",
            {
                "own/sub/a_file.py": entry("of_package", "from ..parts import build"),
                "own/sub/__init__.py": "",
                "own/__init__.py": "",
                "own/parts.py": BUILD,
            },
        ),
    ],
    ids=["beside", "in_folder", "in_package", "init", "of_package"],
)
def test_its_modules_are_found(
    tmp_path: Path, plugin: str, files: dict[str, str], request: pytest.FixtureRequest
) -> None:
    write(tmp_path, files)
    loaded = plugins.load(plugin, folder=tmp_path)
    assert plugins.provider("model", request.node.callspec.id) == loaded
    assert loaded.name == ("a_file" if "a_file" in plugin else "own")


def test_its_modules_are_found_by_workers_on_a_path_with_spaces_and_other_letters(tmp_path: Path) -> None:
    folder = tmp_path / "Mes règles, été"
    write(
        folder,
        {
            "my_rules.py": entry("letters", "from my_parts import build"),
            "my_parts.py": BUILD,
            "s.toml": SUITE.format(plugin="my_rules.py", model="letters"),
        },
    )
    assert "Ended: 1 done" in run(tmp_path, "run", str(folder / "s.toml"))
    assert "Ended: 1 done" in run(tmp_path, "rerun", "s")


def test_two_plug_ins_of_a_suite_can_import_each_other(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"one.py": "from two import entry\n" + entry("shared_one", BUILD), "two.py": entry("shared_two", BUILD)},
    )
    plugins.load("one.py", folder=tmp_path)
    plugins.load("two.py", folder=tmp_path)
    assert {"shared_one", "shared_two"} <= set(MODELS)


def test_a_module_that_it_never_imports_may_be_no_python(tmp_path: Path) -> None:
    code = "def unused():\n    import my_python_2\n" + entry("imports_lazily", BUILD)
    write(tmp_path, {".lazy.py": code, "my_python_2.py": "print 'x'\n"})
    plugins.load(".lazy.py", folder=tmp_path)
    assert "imports_lazily" in MODELS


def test_the_digest_of_a_file_in_a_clone_of_asapbench_leaves_asapbench_out(tmp_path: Path) -> None:
    package = Path(plugins.__file__).parents[1]
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = entry("in_a_clone", BUILD)
    write(tmp_path, {"mine.py": code})
    load = "from asapbench.suite import plugins; print(plugins.load('mine.py').sha256)"
    done = subprocess.run([sys.executable, "-c", load], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(code.encode()).hexdigest()


def test_two_files_of_one_name_are_two_plug_ins(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(tmp_path / name, {"twin.py": entry(f"twin_of_{name}", BUILD)})
        plugins.load("twin.py", folder=tmp_path / name)
    assert {"twin_of_first", "twin_of_second"} <= set(MODELS)


def test_modules_of_one_name_beside_two_plug_ins_are_one_error(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(
            tmp_path / name,
            {"clash.py": entry(f"clash_{name}", "import my_parts", "my_parts.build"), "my_parts.py": BUILD},
        )
    plugins.load("clash.py", folder=tmp_path / "first")
    with pytest.raises(PluginError, match=r"second/clash\.py: `import my_parts` finds \S+ of another plug-in: rename "):
        plugins.load("clash.py", folder=tmp_path / "second")


def test_a_folder_that_is_no_package_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(PluginError, match=r"plain: a folder is a plug-in if it has an __init__\.py: add one, or name"):
        plugins.load("plain/", folder=tmp_path)


def test_an_error_names_the_line_of_the_module_that_fails(tmp_path: Path) -> None:
    write(tmp_path, {"fails.py": "import my_failing_part\n", "my_failing_part.py": "\n\nraise ValueError('no')\n"})
    with pytest.raises(PluginError, match=r"^\S+my_failing_part\.py:3: the plug-in cannot be loaded: ValueError: no:"):
        plugins.load("fails.py", folder=tmp_path)


def test_what_it_prints_is_no_output_of_a_command(tmp_path: Path) -> None:
    for name, named in (("prints.py", "prints.py"), ("printed.py", "printed")):
        write(tmp_path, {name: "print('loaded')\n" + entry(f"model_of_{named.removesuffix('.py')}", BUILD)})
        command = ["-m", "asapbench", "catalog", "model", "--plugin", named]
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        )
        assert "loaded" not in done.stdout
        assert "loaded" in done.stderr
