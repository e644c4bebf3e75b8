"""A command's summary in the list of commands below another one is whole at 80 columns."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer.main

from asapbench.cli import app

ROOT: Any = typer.main.get_command(app)
GROUPS = {(name,): command for name, command in ROOT.commands.items() if hasattr(command, "commands")}


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_no_summary_is_cut(path: tuple[str, ...], asapbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed = asapbench(*path, "--help").out
    lines = printed[printed.index("Commands:") :].splitlines()[1:]
    assert [line.split()[0] for line in lines if line.strip()] == list(GROUPS[path].commands)
    assert not re.search(r"\.\.\.|…", "\n".join(lines))
    assert max(map(len, printed.splitlines())) <= 80
