"""A broken installed plug-in is one line of warning, a finding of `doctor`, and named where its entry is unknown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asapbench.errors import AsapbenchError

FAULTS = {
    "raises": ("[asapbench]\nb = broken_one\n", "raise RuntimeError('no')\n", "broken_one.py:1: the plug-in cannot be"),
    "exits": ("[asapbench]\nb = broken_one\n", "import sys\nsys.exit(3)\n", "broken_one.py:2: the plug-in cannot be"),
    "no_module": ("[asapbench]\nb = not_there_at_all\n", "", "not_there_at_all: there is no such plug-in module"),
    "malformed": ("[asapbench]\nb = not a module!\n", "", "its entry_points.txt cannot be read"),
    "no_value": ("[asapbench]\nb\n", "", "its entry_points.txt cannot be read"),
}
WORKING = """\
from asapbench import Cell, Rule
from asapbench.data.lookup import published
from asapbench.suite.catalog import RULES
from asapbench.suite.entries import ModelEntry
from asapbench.suite.options import Choice

model = ModelEntry("installed_model", "I", "a test", build=print)
"""


def install(folder: Path, *, entry_points: str, code: str, name: str = "broken-one") -> None:
    """Puts a distribution into `folder`, as pip would."""
    module = name.replace("-", "_")
    information = folder / f"{module}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(entry_points)
    (folder / f"{module}.py").write_text(code)


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", FAULTS)
def test_commands_warn_in_one_line_and_work(tmp_path: Path, kind: str) -> None:
    entry_points, code, says = FAULTS[kind]
    install(tmp_path, entry_points=entry_points, code=code)
    (tmp_path / "s.toml").write_text(SUITE)
    done = python(tmp_path, "-m", "asapbench", "run", "s.toml", "--dry-run")
    assert done.returncode == 2
    warning, _, error = done.stderr.partition("error: ")
    assert warning.startswith("warning: the plug-in broken-one 1.0 is left out: ")
    assert says in warning
    assert warning.endswith("or uninstall broken-one\n")
    assert warning.count("\n") == 1
    assert 'unknown rule "theirs"' in error
    assert "broken-one 1.0" in error
    assert python(tmp_path, "-m", "asapbench", "catalog").returncode == 0


def test_help_and_version_load_no_plug_in(tmp_path: Path) -> None:
    install(tmp_path, entry_points=FAULTS["raises"][0], code=FAULTS["raises"][1])
    for flags in (["--version"], ["--help"], ["run", "--help"]):
        done = python(tmp_path, "-m", "asapbench", *flags)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "optimizer=theirs"], "--set optimizer=theirs: unknown optimizer"),
        (["--set", "schedule=theirs"], "--set schedule=theirs: unknown schedule"),
    ],
)
def test_an_unknown_entry_is_one_text_wherever_it_is_named(tmp_path: Path, arguments: list[str], says: str) -> None:
    install(tmp_path, entry_points=FAULTS["raises"][0], code=FAULTS["raises"][1])
    done = python(tmp_path, "-m", "asapbench", "run", "quickstart", "--dry-run", *arguments)
    assert done.returncode == 2
    _, _, error = done.stderr.partition("error: ")
    assert re.match(
        re.escape(f'{says} "theirs" (there are: ') + r"[\w, ]+\); if a plug-in provides it, name that with", error
    )
    assert "the plug-in broken-one 1.0 is left out" in error


def test_so_is_one_of_a_table_of_rates_a_stored_cell_and_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from asapbench.data.lookup import published_set
    from asapbench.report.figures.memory import memory_accesses
    from asapbench.rules import resolve
    from asapbench.suite import plugins
    from asapbench.suite.cell import Cell
    from asapbench.suite.load import parse

    monkeypatch.setattr(plugins, "_faults", ["the plug-in broken-one 1.0 is left out: why"])
    suite = SUITE.replace('"theirs"', '"bp"').replace("lr = 1", "lr = { bp = 1, theirs = 1 }")
    stored = parse(SUITE.replace('"theirs"', '"bp"'), source="").cells[0].to_json() | {"rule": {"name": "theirs"}}
    for ask in (
        lambda: parse(suite, source=""),
        lambda: Cell.from_json(stored),
        lambda: resolve("theirs"),
        lambda: memory_accesses(["theirs"]),
        lambda: published_set("theirs"),
    ):
        with pytest.raises(AsapbenchError, match=r'unknown \w+ "theirs" .*; the plug-in broken-one'):
            ask()


def test_doctor_reports_it_once(tmp_path: Path) -> None:
    install(tmp_path, entry_points=FAULTS["raises"][0], code=FAULTS["raises"][1])
    done = python(tmp_path, "-m", "asapbench", "doctor")
    assert (done.stdout + done.stderr).count("the plug-in broken-one 1.0 is left out") == 1


def test_doctor_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asapbench import doctor

    monkeypatch.setattr(doctor, "load_installed", lambda: ["the plug-in broken-one 1.0 is left out: why"])
    found = list(doctor.diagnose(db=f"sqlite:///{tmp_path}/no.sqlite", data=tmp_path, files=None))
    assert [(one.grade, one.text) for one in found if one.subject == "plug-ins"] == [
        ("fault", "the plug-in broken-one 1.0 is left out: why")
    ]


def test_an_installed_plug_in_may_be_named_again(tmp_path: Path) -> None:
    install(tmp_path, entry_points="[asapbench]\nw = working\n", code=WORKING, name="working")
    for name, code in (("copy", WORKING), ("other", f"{WORKING}# changed\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "working.py").write_text(code)
    for named in ("working", "working.py", "copy/working.py"):
        done = python(tmp_path, "-m", "asapbench", "catalog", "model", "--plugin", named)
        assert (done.returncode, done.stderr) == (0, "")
        assert "(plug-in working)" in done.stdout
    done = python(tmp_path, "-m", "asapbench", "catalog", "model", "--plugin", "other/working.py")
    assert 'the plug-in working already has the model "installed_model": use another name' in done.stderr


def test_the_others_are_loaded_and_the_library_warns(tmp_path: Path) -> None:
    install(tmp_path, entry_points=FAULTS["raises"][0], code=FAULTS["raises"][1])
    install(tmp_path, entry_points="[asapbench]\nw = working\n", code=WORKING, name="working")
    code = (
        "import asapbench\n"
        "try: asapbench.load_results('nix.sqlite')\n"
        "except Exception as error: print(type(error).__name__)\n"
        "from asapbench.suite.catalog import MODELS; print('installed_model' in MODELS)"
    )
    done = python(tmp_path, "-c", code)
    assert done.stdout.split() == ["NoDatabaseError", "True"]
    assert "UserWarning: the plug-in broken-one 1.0 is left out" in done.stderr


@pytest.mark.parametrize("statement", ["import working", "import asapbench.suite.cell", "import asapbench.data.lookup"])
def test_a_plug_in_may_import_any_module_of_asapbench_at_its_top(tmp_path: Path, statement: str) -> None:
    install(tmp_path, entry_points="[asapbench]\nw = working\n", code=WORKING, name="working")
    code = (
        f"{statement}\nimport asapbench\nasapbench.load_suite('quickstart')\n"
        "from asapbench.suite.catalog import MODELS; print('installed_model' in MODELS)"
    )
    done = python(tmp_path, "-c", code)
    assert (done.stdout, done.stderr) == ("True\n", "")


SUITE = """\
[suite]
name = "s"

[[grid]]
dataset = "digits"
model = "mlp"
rule = "theirs"
lr = 1
"""
