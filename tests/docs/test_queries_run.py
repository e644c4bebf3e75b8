"""The queries of the page on other programs run, and say what asapbench's own reports say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev
from urllib.parse import quote

import pytest
from documentation import DOCS, blocks
from in_process import asapbench

from asapbench.metrics import EpochMetrics
from asapbench.report.build import report
from asapbench.report.quantity import Wanted
from asapbench.store import DEFAULT_URL, OwnerProcess, Provenance, Store
from asapbench.suite.catalog import RULES
from asapbench.suite.load import load

pytestmark = pytest.mark.slow

QUERIES = DOCS / "queries.md"
TERMS = {
    "owner": OwnerProcess("a-host", "a-boot", 4, 1.0),
    "provenance": Provenance("0123abc", False, {"torch": "2.14.1"}, {"processor": "example"}),
    "device": "cpu",
}
BASE = load("quickstart").cells[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """BP and ASAP with two block sizes, three seeds each; a wrong result is discarded, a superseded one is trained
    again, and one training is pending.
    """
    from dataclasses import replace

    monkeypatch.chdir(tmp_path)
    rules = [RULES["bp"].choose(), RULES["asap"].choose({"k": 1}), RULES["asap"].choose({"k": 4})]
    cells = [replace(BASE, rule=rule, seed=seed) for rule in rules for seed in range(5)]
    with Store.open(DEFAULT_URL) as store:
        store.record_suite("mine", "mine.toml", cells)
        for number, cell in enumerate(cells):
            if cell.seed == 4:
                continue
            for accuracy in (0.1, 0.5 + number / 64) if cell.seed == 2 else (0.5 + number / 64,):
                store.supersede([cell.id])
                claim = store.claim(cell, **TERMS)
                assert claim is not None
                rows = [
                    EpochMetrics(n, 1.5, 0.5, 1.5, accuracy / 2 * n, None, None, 0.03, 2.0, 9.0, None) for n in (1, 2)
                ]
                store.record_epochs(claim, rows)
                store.finish(claim, "done")
        store.discard([cell.id for cell in cells if cell.seed == 3], "a wrong data set")
    return tmp_path


def of_report() -> dict[str, tuple[float, float, int]]:
    """Mean, standard deviation and n by rule, as asapbench reports them."""
    numbers = report(Wanted(suite="mine"), url=DEFAULT_URL).numbers
    found = {number.rule: (number.measured, number.sd, number.n) for number in numbers}
    return {rule: (mean, sd, n) for rule, (mean, sd, n) in found.items() if mean is not None and sd is not None}


def python_of_the_page() -> dict[str, object]:
    names: dict[str, object] = {"__name__": "example"}
    for text in blocks(QUERIES, "python"):
        exec(compile(text, "queries.md", "exec"), names)
    return names


def test_the_python_of_the_page_runs_and_agrees_with_the_report(folder: Path) -> None:
    pytest.importorskip("pandas", reason="pip install pandas")
    pytest.importorskip("duckdb", reason="pip install duckdb")
    assert asapbench("export", "cells.csv").status == 0
    names = python_of_the_page()
    reported = of_report()
    assert {n for _, _, n in reported.values()} == {3}
    named = names["named"]
    found = {
        f"asap(k={row.k:.0f})" if row.rule == "asap" else row.rule: (row.mean, row.sd, row.n)
        for row in named.itertuples()  # type: ignore[attr-defined]
    }
    default = RULES["asap"].choose().integer("k")
    found = {("asap" if rule == f"asap(k={default})" else rule): values for rule, values in found.items()}
    assert found.keys() == reported.keys()
    for rule, (mean, sd, n) in reported.items():
        assert found[rule] == (pytest.approx(mean, abs=0.005), pytest.approx(sd, abs=0.01), n), rule
    by_csv = sorted(round(100 * mean, 6) for mean in names["from_csv"]["mean"])  # type: ignore[index]
    assert by_csv == sorted(round(mean, 6) for mean, _, _ in reported.values())
    assert sorted(round(row[5], 6) for row in names["best"]) == by_csv  # type: ignore[attr-defined]
    assert len(names["by_block"]) == 3, "BP has no block size, and keeps its row"  # type: ignore[arg-type]
    assert len(names["differences"]) == 3  # type: ignore[arg-type]
    assert names["mean_curves"].shape == (2, 3)  # type: ignore[attr-defined]
    assert not list(folder.glob("results/*-wal")), "the queries leave nothing behind"


def test_the_query_for_datasette_gives_the_rows_of_the_report(folder: Path) -> None:
    pytest.importorskip("datasette", reason="pip install datasette")
    query = blocks(QUERIES, "sql")[-1]
    address = f"/asapbench.json?sql={quote(query)}&_shape=array"
    command = [sys.executable, "-m", "datasette", "results/asapbench.sqlite", "--get", address]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    rows = {(row["rule"], row["k"]): (row["mean"], row["n"]) for row in json.loads(said.stdout)}
    seeds = {("bp", None): range(3), ("asap", 1): range(5, 8), ("asap", 4): range(10, 13)}
    assert rows == {key: (round(fmean(50 + 100 * n / 64 for n in own), 2), 3) for key, own in seeds.items()}
    assert stdev(50 + 100 * n / 64 for n in range(3)) == pytest.approx(of_report()["bp"][1])


def test_duckdb_reads_the_database_where_its_extension_is_installed(folder: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="pip install duckdb")
    try:
        duckdb.sql("LOAD sqlite")
    except duckdb.Error:
        pytest.skip("DuckDB downloads its extension for SQLite, and this machine has none")
    attach, select = blocks(QUERIES, "sql")[0].strip().split("\n")
    duckdb.sql(attach)
    assert len(duckdb.sql(select).fetchall()) == 3
