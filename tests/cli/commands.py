"""The command line in this process: fast, for what does not train."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from asapbench.cli import main


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


class Commands:
    """`asapbench ARGUMENTS`, with what it printed and its exit status."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> Said:
        self._monkeypatch.setattr("sys.argv", ["asapbench", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capsys.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0, captured.out, captured.err)
