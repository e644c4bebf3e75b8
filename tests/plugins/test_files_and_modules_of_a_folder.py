"""Plug-ins of a folder: workers find their modules, rules can be pickled, the digest covers what they import."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from asapbench.errors import PluginError
from asapbench.suite import plugins

MODEL = """\
from asapbench.suite.entries import ModelEntry
{imports}

def build(choice, *, channels, size, classes):
    from torch import nn
    return nn.Sequential(nn.Conv2d(channels, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * (size - 2) ** 2, classes))

entry = ModelEntry("{name}", "F", "a test", build=build)
"""
RULE = """\
from asapbench.rules.fa import FA
from asapbench.suite.entries import RuleEntry

class Mine(FA):
    entry = RuleEntry("pickled_rule", "P", "a test", options=FA.entry.options)
"""
SUITE = """\
[suite]
name = "s"
plugins = ["{module}"]

[[grid]]
dataset = {{ name = "digits", train_size = 64 }}
model = "of_folder"
rule = "bp"
lr = 0.01
epochs = 1
batch_size = 32
seeds = [0]
"""


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, searched for modules first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def command(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "asapbench", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("module", ["of_folder", "own_package.models"])
def test_workers_find_a_module_of_the_working_folder_and_so_does_a_rerun_from_another(
    tmp_path: Path, module: str
) -> None:
    file = tmp_path / f"{module.replace('.', '/')}.py"
    file.parent.mkdir(exist_ok=True)
    if "." in module:
        (file.parent / "__init__.py").touch()
    file.write_text(MODEL.format(imports="", name="of_folder"))
    (tmp_path / "s.toml").write_text(SUITE.format(module=module))
    assert "Ended: 1 done" in command(tmp_path, "run", "s.toml", "--db", "sqlite:///a.sqlite")
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        ((versions,),) = connection.execute("SELECT versions FROM provenance").fetchall()
    assert json.loads(versions)["model of_folder"].startswith(f"{module} sha256:")
    (tmp_path / "other").mkdir()
    assert "Ended: 1 done" in command(tmp_path / "other", "rerun", "s", "--db", f"sqlite:///{tmp_path}/a.sqlite")


def test_a_rule_of_a_file_can_be_pickled(tmp_path: Path) -> None:
    from asapbench.rules import resolve

    (tmp_path / "mine.py").write_text(RULE)
    plugins.load(str(tmp_path / "mine.py"))
    rule = resolve("pickled_rule")
    assert pickle.loads(pickle.dumps(rule)).choice == rule.choice


def digest(folder: Path, named: str, files: dict[str, str]) -> str:
    """The digest that a new process computes of a plug-in."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    code = (
        f"import sys; sys.path += ['.'] * ({named!r} == 'pack.mine'); "
        f"from asapbench.suite import plugins; print(plugins.load({named!r}).sha256)"
    )
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}  # a file changed within its second is else not read again
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("named", "changed", "unused"),
    [
        ("mine.py", "own_helper.py", "unrelated.py"),
        ("mine.py", "deep_helper.py", "unrelated.py"),
        ("mine.py", "helpers/part.py", "unrelated.py"),
        ("mine.py", "late_helper.py", "unrelated.py"),
        ("pack.mine", "pack/sibling.py", "unrelated.py"),
        ("pack/mine.py", "pack/sibling.py", "unrelated.py"),
        ("pack/", "pack/sibling.py", "unrelated.py"),
    ],
)
def test_the_digest_covers_what_a_plug_in_imports_from_its_folder(
    tmp_path: Path, named: str, changed: str, unused: str
) -> None:
    imports = "import own_helper\nfrom helpers import part\n\ndef late():\n    import late_helper\n"
    files = {
        "mine.py": MODEL.format(imports=imports, name="digested"),
        "own_helper.py": "import deep_helper\n",
        "deep_helper.py": "",
        "late_helper.py": "",
        "helpers/__init__.py": "",
        "helpers/part.py": "",
        "pack/__init__.py": "from pack.mine import entry\n",
        "pack/mine.py": MODEL.format(imports="", name="digested"),
        "pack/sibling.py": "",
    }
    before = digest(tmp_path, named, files)
    assert digest(tmp_path, named, {unused: "x = 1\n"}) == before
    assert digest(tmp_path, named, {changed: files[changed] + "x = 1\n"}) != before


def test_two_modules_of_one_package_cannot_have_one_name(in_folder: Path) -> None:
    (in_folder / "twins").mkdir()
    (in_folder / "twins" / "__init__.py").touch()
    for module in ("first", "second"):
        (in_folder / "twins" / f"{module}.py").write_text(MODEL.format(imports="", name="twin"))
    plugins.load("twins.first")
    with pytest.raises(PluginError, match=r'the plug-in twins\.first@\S+ already has the model "twin"'):
        plugins.load("twins.second")
