"""The `asapbench` command in an empty folder."""

import pytest
from commands import Commands


@pytest.fixture
def asapbench(tmp_path, monkeypatch, capsys) -> Commands:
    monkeypatch.chdir(tmp_path)
    for name in ("ASAPBENCH_DATA", "ASAPBENCH_DB", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return Commands(monkeypatch, capsys)
