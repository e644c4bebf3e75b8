"""What an export holds, and that it is there whole or not at all."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest
from merging import rows
from store_examples import A_MEASUREMENT, PROVENANCE, TERMS, a_cell, an_epoch, current, trained

from asapbench.errors import AsapbenchError, StoreError, SuiteError
from asapbench.store import Store, export


@pytest.fixture
def filled(store):
    cells = [a_cell(), a_cell(rule="fa"), a_cell(1)]
    store.record_suite("mine", "/home/someone/mine.toml", cells)
    store.record_suite("other", "shipped", [a_cell(), a_cell(7)])
    trained(store, cells[0], tests=(0.25,))
    store.supersede([cells[0].id])
    claim = store.claim(cells[0], **TERMS)
    store.record_epochs(claim, [an_epoch(1)])
    store.finish(claim, "done", weights_path="/home/someone/x.weights", weights_digest="00ff")
    store.record_measurements("shortcut", claim.attempt_id, [A_MEASUREMENT], PROVENANCE)
    failed = store.claim(cells[1], **TERMS)
    store.finish(failed, "failed", error="at /home/someone/x.py", log_tail="/home/someone")
    running = store.claim(cells[2], **TERMS)
    store.record_epochs(running, [an_epoch(1)])
    return store


def test_any_sqlite_tool_reads_the_one_file(filled, tmp_path):
    file = tmp_path / "out.sqlite"
    held = filled.export(file)
    assert (held.cells, held.attempts, held.epochs, held.measurements, held.suites) == (4, 4, 3, 1, 2)
    file.chmod(0o400)
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("SELECT state, COUNT(*) FROM result GROUP BY state ORDER BY state").fetchall() == [
            ("done", 1),
            ("failed", 1),
            ("interrupted", 1),
            ("pending", 1),
        ]
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out.sqlite"]


def test_an_export_is_a_database_of_asapbench(filled, tmp_path):
    filled.export(tmp_path / "out.sqlite")
    with Store.read_only(str(tmp_path / "out.sqlite")) as out:
        assert current(out, a_cell()).best_test_accuracy == current(filled, a_cell()).best_test_accuracy
        assert [a.superseded for a in out.attempts(a_cell().id)] == [True, False]


def test_no_path_of_this_machine_goes_out_and_a_running_attempt_as_interrupted(filled, tmp_path):
    file = tmp_path / "out.sqlite"
    filled.export(file, filters=["rule=asap"])
    assert b"/home/someone" not in file.read_bytes()
    states = {row["cell_id"]: (row["state"], row["ended_at"]) for row in rows(file, "attempt")}
    assert states[a_cell(1).id] == ("interrupted", None)
    assert current(filled, a_cell(1)).state == "running"


def test_an_anonymous_export_names_nobody(filled, tmp_path):
    file = tmp_path / "out.sqlite"
    filled.export(file, anonymous=True)
    for row in rows(file, "attempt"):
        assert (row["host"], row["boot_id"], row["pid"], row["pid_started"]) == ("", "", 0, 0.0)
        assert (row["error"], row["log_tail"]) == (None, None)
    for secret in (b"/home/someone", b"a-host", b"a-boot"):
        assert secret not in file.read_bytes()
    with Store.read_only(str(file)) as out:
        attempt = current(out, a_cell())
        assert out.provenance(attempt.provenance_id) == PROVENANCE


def test_suites_and_filters_choose_the_cells(filled, tmp_path):
    def exported(**chosen):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite"
        filled.export(file, **chosen)
        named = {(row["suite"], row["cell_id"]) for row in rows(file, "suite_cell")}
        return {row["id"] for row in rows(file, "cell")}, {suite for suite, _ in named}

    asap, fa, one, seven = (cell.id for cell in (a_cell(), a_cell(rule="fa"), a_cell(1), a_cell(7)))
    assert exported() == ({asap, fa, one, seven}, {"mine", "other"})
    assert exported(suites=["mine"]) == ({asap, fa, one}, {"mine"})
    assert exported(suites=["mine"], filters=["rule=asap"]) == ({asap, one}, {"mine"})
    assert exported(filters=["seed=7"]) == ({seven}, {"other"})


def test_what_is_not_there_is_named_and_no_file_is_left(filled, tmp_path):
    before = set(tmp_path.iterdir())
    with pytest.raises(StoreError, match='no suite "mein"; did you mean "mine"'):
        filled.export(tmp_path / "out.sqlite", suites=["mein"])
    with pytest.raises(SuiteError, match='no cell has rule "bp"'):
        filled.export(tmp_path / "out.sqlite", filters=["rule=bp"])
    assert set(tmp_path.iterdir()) == before


def test_a_file_is_replaced_only_by_force(filled, tmp_path):
    file = tmp_path / "out.sqlite"
    file.write_text("precious")
    with pytest.raises(AsapbenchError, match=r"out\.sqlite exists already: .*--force"):
        filled.export(file)
    assert file.read_text() == "precious"
    filled.export(file, force=True)
    assert len(rows(file, "cell")) == 4


def test_a_database_in_use_is_not_replaced(filled, tmp_path):
    with Store.open(str(tmp_path / "used.sqlite")) as used:
        trained(used, a_cell())
        with pytest.raises(StoreError, match="a program has that database open"):
            filled.export(tmp_path / "used.sqlite", force=True)
    if filled.path is not None:
        with pytest.raises(StoreError, match="this is the database itself"):
            filled.export(filled.path, force=True)


def test_places_where_no_file_can_be_are_named(filled, tmp_path):
    with pytest.raises(AsapbenchError, match="there is no directory"):
        filled.export(tmp_path / "absent" / "out.sqlite")
    with pytest.raises(AsapbenchError, match="this is a directory; name a file"):
        filled.export(tmp_path, force=True)


def test_an_export_that_breaks_off_leaves_what_was_there(filled, tmp_path, monkeypatch):
    def breaks(*_arguments, **_options):
        raise KeyboardInterrupt

    file = tmp_path / "out.sqlite"
    file.write_text("precious")
    before = set(tmp_path.iterdir())
    monkeypatch.setattr(export, "merge", breaks)
    with pytest.raises(KeyboardInterrupt):
        filled.export(file, force=True)
    assert (file.read_text(), set(tmp_path.iterdir())) == ("precious", before)


def test_the_file_is_durable_before_it_has_its_name_and_the_name_after(filled, tmp_path, monkeypatch):
    synced = []
    sync, replace = os.fsync, os.replace

    def named(descriptor):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).rpartition(".")[2])
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", named)
    monkeypatch.setattr(os, "replace", lambda path, to: (synced.append("renamed"), replace(path, to)))
    filled.export(tmp_path / "out.sqlite")
    assert synced[:3] == ["part", "renamed", tmp_path.name]


def test_what_a_killed_export_with_this_process_number_left_does_not_get_into_the_next(filled, tmp_path):
    (tmp_path / f".out.sqlite.{os.getpid()}.tmp").write_text("half an export")
    filled.export(tmp_path / "out.sqlite")
    assert Store.read_only(str(tmp_path / "out.sqlite")).results()
