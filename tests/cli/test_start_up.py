"""Help answers without torch; what needs no torch does not import it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import Commands

HEAVY = ("torch", "sqlalchemy", "pydantic", "numpy", "matplotlib", "starlette", "uvicorn", "optuna")
LOADED = f"import sys; {{}}; print(*[m for m in {HEAVY} if m in sys.modules])"


def loaded(statement: str, folder) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(statement)], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout.split("\n")[-2].split()


def test_help_imports_no_catalog(tmp_path) -> None:
    code = "import sys, asapbench.cli; print({'asapbench.suite.catalog', 'asapbench.suite.plugins'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "set()"


def test_the_command_line_imports_nothing_heavy(tmp_path) -> None:
    assert loaded("import asapbench.cli", tmp_path) == []


@pytest.mark.parametrize(
    "command",
    [
        ["run", "cifar10", "--dry-run"],
        ["report", "--table", "3"],
        ["report", "--figure", "11", "--out", "memory.png"],
        ["analyze", "memory"],
        ["analyze", "theorem", "--runs", "1"],
        ["data", "list"],
        ["catalog"],
    ],
)
def test_what_trains_nothing_imports_no_torch(command: list[str], tmp_path) -> None:
    call = f"sys.argv = ['asapbench', *{command}]; import asapbench.cli; asapbench.cli.app(standalone_mode=False)"
    assert "torch" not in loaded(call, tmp_path)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(flag: str, asapbench: Commands) -> None:
    said = asapbench(flag)
    assert said.status == 0
    for name in (
        "run",
        "tune",
        "resume",
        "status",
        "show",
        "report",
        "serve",
        "rerun",
        "evaluate",
        "bench",
        "export",
        "merge",
        "clean",
        "doctor",
        "catalog",
        "data",
        "analyze",
    ):
        assert f"\n  {name} " in said.out


def test_the_version_is_the_packages(asapbench: Commands) -> None:
    from importlib.metadata import version

    assert asapbench("--version").out.strip() == f"asapbench {version('asapbench')}"


def test_python_m_works(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asapbench", "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.startswith("asapbench ")


def test_the_catalog_lists_every_entry_and_option(asapbench: Commands) -> None:
    from asapbench.suite.catalog import CATALOG

    text = asapbench("catalog").out
    for entries in CATALOG.values():
        for entry in entries.values():
            assert f"  {entry.name} " in text
            for option in (option for option in entry.options if option.is_given):
                assert f"      {option.name} = " in text
