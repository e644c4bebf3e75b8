"""`analyze shortcut` measures kept weights, stores rows beside the earlier ones, and refuses what it cannot measure."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from in_process import asapbench
from small_runs import query

ROWS = "SELECT layer, quantity, value FROM measurement WHERE attempt_id = '{}' AND n = {} ORDER BY id"


@pytest.fixture
def folder(undisturbed, tmp_path, monkeypatch) -> Path:
    """A copy of the small suite with its kept weights, in which commands run."""
    copy = tmp_path / "copy"
    shutil.copytree(undisturbed[0], copy)
    change(copy, f"UPDATE attempt SET weights_path = replace(weights_path, '{undisturbed[0]}', '{copy}')")
    monkeypatch.chdir(copy)
    return copy


def run(*arguments: str, status: int = 0) -> str:
    """What `asapbench ARGUMENTS` prints, in this process."""
    said = asapbench(*arguments)
    assert said.status == status, said
    return said.out + said.err


def change(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "results" / "asapbench.sqlite")) as database, database:
        database.execute(sql)


def test_each_analysis_is_stored_and_the_newest_is_reported(folder) -> None:
    printed = run("analyze", "shortcut", "--suite", "small", "--only", "rule=asap", "--batches", "3")
    assert "stages.1.0.conv1" in printed
    assert "mean ± sample standard deviation over n = 2 seeds" in " ".join(printed.split())
    (first, second) = (row[0] for row in query(folder, "SELECT DISTINCT attempt_id FROM measurement"))
    before = query(folder, ROWS.format(first, 3))
    assert len(before) == 5
    (cell,) = query(folder, f"SELECT cell_id FROM attempt WHERE id = '{first}'")[0]
    run("analyze", "shortcut", cell[:10], "--batches", "3", "--out", "figure.png")
    assert (folder / "figure.png").stat().st_size > 5_000
    assert query(folder, ROWS.format(first, 3)) == before + before, "the same bits again, and nothing rewritten"
    run("analyze", "shortcut", cell[:10], "--batches", "1")
    newest = {quantity: value for _, quantity, value in query(folder, ROWS.format(first, 1))}
    assert f"{newest['g1']:.3g}" in run("analyze", "shortcut", cell[:10], "--batches", "1")
    assert "1 to 3 batches" in run("report", "--figure", "10")
    assert len(query(folder, ROWS.format(second, 3))) == 5


def test_what_cannot_be_measured_is_refused(folder) -> None:
    (cell,) = query(folder, "SELECT cell_id FROM attempt LIMIT 1")[0]
    assert "name cells, or choose them" in run("analyze", "shortcut", status=2)
    assert "name cells, or choose them" in run("analyze", "shortcut", cell, "--suite", "small", status=2)
    weights = Path(query(folder, f"SELECT weights_path FROM attempt WHERE cell_id = '{cell}'")[0][0])
    others = next(path for path in weights.parent.glob("*.weights") if path != weights)
    shutil.copy(others, weights)
    assert "are not the weights that the database has" in run("analyze", "shortcut", cell, status=2)
    change(folder, f"UPDATE attempt SET weights_path = NULL WHERE cell_id = '{cell}'")
    assert "has no kept weights: train it with" in run("analyze", "shortcut", cell, status=2)
    assert query(folder, "SELECT count(*) FROM measurement") == [(0,)]
