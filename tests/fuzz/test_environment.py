"""Environment variables may hold anything too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fuzzing import check_refusal, fuzz, listing, nasty_text
from hypothesis import example, given
from hypothesis import strategies as st
from in_process import asapbench

READ = {
    "ASAPBENCH_DB": ("status", "--device", "cpu"),
    "ASAPBENCH_DATA": ("data", "list"),
    "COLUMNS": ("report", "--table", "3"),
    "CUDA_VISIBLE_DEVICES": ("run", "mine.toml", "--dry-run", "--db", "x.sqlite"),
    "NO_COLOR": ("report", "--table", "3"),
}


@pytest.fixture(autouse=True)
def _two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the table of devices goes."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho GPU-1, 80000\necho GPU-2, 80000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize("device", ["cuda:" + "9" * 5000, "cuda:²", "cuda:-1", "cuda:٣", "cuda:2", "cuda:0x0", "cudax"])
def test_a_gpu_that_there_is_not_is_refused(device: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    check_refusal(asapbench("run", "mine.toml", "--dry-run", "--device", device, "--db", "x.sqlite"))
    assert asapbench("run", "mine.toml", "--dry-run", "--device", "cuda:1", "--db", "x.sqlite").status == 0


@pytest.mark.parametrize("variable", READ)
def test_a_variable_of_any_value_is_taken_or_refused(
    variable: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)

    @fuzz(12)
    @given(st.one_of(nasty_text(), st.integers().map(str)))
    @example("")
    @example("0")
    @example("-5")
    @example("9" * 5000)
    @example("²")
    @example("1,GPU-2")
    def try_it(value: str) -> None:
        monkeypatch.setenv(variable, value)
        before = listing()
        said = asapbench(*READ[variable])
        assert listing() == before
        if said.status != 0:
            check_refusal(said)

    try_it()
