"""`--only cell=PREFIX` and CELL find an outdated cell by the identity that its database has, and by the one of now."""

from __future__ import annotations

import csv
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from commands import Commands

from asapbench.store import Store

FROZEN = Path(__file__).parents[1] / "store" / "frozen" / "0002.sqlite"
STORED, NOW = "352caef1", "dc369665"
"""The identities of the cell that is done: the recipe's revision has been raised since."""

PREFIXES = pytest.mark.parametrize("digits", [STORED, NOW], ids=["stored", "now"])


@pytest.fixture
def frozen(asapbench: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    path = tmp_path / "old.sqlite"
    shutil.copy(FROZEN, path)
    with closing(Store.open(str(path))):
        pass
    monkeypatch.setenv("ASAPBENCH_DB", str(path))
    return asapbench


@PREFIXES
@pytest.mark.parametrize(
    "command",
    [
        ("list", "--only", "cell={}"),
        ("show", "{}"),
        ("report", "--suite", "frozen", "--only", "cell={}"),
        ("html", "--out", "page.html", "--only", "cell={}"),
        ("export", "out.sqlite", "--only", "cell={}"),
        ("rerun", "--only", "cell={}", "--dry-run"),
        ("resume", "--only", "cell={}", "--dry-run"),
        ("discard", "--only", "cell={}", "--reason", "x"),
        ("discard", "{}", "--reason", "x"),
    ],
    ids=" ".join,
)
def test_each_command_finds_the_cell(frozen: Commands, command: tuple[str, ...], digits: str) -> None:
    said = frozen(*(word.format(digits) for word in command))
    assert said.status == 0
    assert "error" not in said.err


@PREFIXES
def test_it_is_the_only_cell_that_is_taken(frozen: Commands, digits: str) -> None:
    with Store.read_only("old.sqlite") as store:
        (wanted,) = (row.cell_id for row in store.listed() if row.cell_id.startswith(STORED))
    assert [line.split()[:2] for line in frozen("list", "--only", f"cell={digits}").out.splitlines()][-1] == [
        wanted[:10],
        "outdated",
    ]
    assert frozen("export", "cells.csv", "--only", f"cell={digits}").status == 0
    assert [row["cell"] for row in csv.DictReader(Path("cells.csv").read_text(encoding="utf-8").splitlines())] == [
        wanted
    ]
    assert frozen("discard", "--only", f"cell={digits}", "--reason", "wrong").status == 0
    with Store.read_only("old.sqlite") as store:
        assert set(store.discards()) == {wanted}
    assert '<td class="text">wrong' in _page(frozen)
    assert frozen("restore", "--only", f"cell={digits}").status == 0


def _page(frozen: Commands) -> str:
    assert frozen("html", "--out", "page.html", "--force").status == 0
    return Path("page.html").read_text(encoding="utf-8")


def test_an_outdated_cell_and_its_successor_are_told_apart(frozen: Commands) -> None:
    with Store.open("old.sqlite") as store:
        (old,) = (row for row in store.listed() if row.cell_id.startswith(STORED))
        assert old.cell is not None
        store.record_suite("now", "now.toml", [old.cell.with_seed(old.seed)])
    assert frozen("discard", "--only", f"cell={STORED}", "--reason", "x").status == 0
    with Store.read_only("old.sqlite") as store:
        assert set(store.discards()) == {old.cell_id}


def test_an_unknown_cell_is_refused_with_the_identities_that_list_shows(frozen: Commands) -> None:
    said = frozen("list", "--only", "cell=0123456789")
    assert said.status == 2
    assert STORED in said.err
