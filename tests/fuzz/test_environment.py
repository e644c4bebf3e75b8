"""Environment variables may hold anything too."""

from __future__ import annotations

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
    @example("9" * 30)
    def try_it(value: str) -> None:
        monkeypatch.setenv(variable, value)
        before = listing()
        said = asapbench(*READ[variable])
        assert listing() == before
        if said.status != 0:
            check_refusal(said)

    try_it()
