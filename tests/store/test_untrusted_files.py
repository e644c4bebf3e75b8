"""A database from another person is data: checked, never run, and refused where asapbench cannot have written it."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from merging import TABLES, content
from store_examples import A_MEASUREMENT, PROVENANCE, TERMS, a_cell, a_quality, an_angle, an_epoch, current, trained

from asapbench.errors import StoreError
from asapbench.store import Store
from asapbench.store.untrusted_import import opened


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    path = folder / "made.sqlite"
    with Store.open(str(folder / "source.sqlite")) as store:
        store.record_suite("mine", "shipped", [a_cell(), a_cell(1)])
        trained(store, a_cell(), tests=(0.5,), state="interrupted")
        claim = store.claim(a_cell(), **TERMS)
        store.record_epochs(claim, [an_epoch(2)], [an_angle(2), a_quality(2)])
        store.finish(claim, "done")
        store.record_measurements("shortcut", claim.attempt_id, [A_MEASUREMENT], PROVENANCE)
        trained(store, a_cell(1))
        store.export(path)
    return path


@pytest.fixture
def file(made, tmp_path):
    return Path(shutil.copy(made, tmp_path / "from someone.sqlite"))


def merged(store, *files):
    with opened(files) as databases:
        return store.merge(databases)


def spoil(file, *statements):
    """Changes the file, whose schema holds nothing back any more."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for view in ("result", "learning_curve", "alignment_curve", "gradient_quality_curve", "analysis_result"):
            connection.execute(f"DROP VIEW {view}")
        for table in (*TABLES, "alembic_version"):
            connection.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"ALTER TABLE loose RENAME TO {table}")
        for statement in statements:
            connection.execute(statement)


IMPOSSIBLE = {
    "an id that is no number": "UPDATE attempt SET id = '../../etc/passwd-aaaaaaaaaaaaaaaa' WHERE state = 'done'",
    "an id in capitals": "UPDATE suite_cell SET cell_id = upper(cell_id)",
    "an id that is too short": "UPDATE cell SET id = 'abc'",
    "an unknown state": "UPDATE attempt SET state = 'perfect'",
    "a number that is text": "UPDATE attempt SET epochs_done = 'many'",
    "a number that is a blob": "UPDATE epoch_metrics SET train_loss = x'00ff'",
    "a number that is no number": "UPDATE epoch_metrics SET train_loss = 9e999",
    "a number that is missing": "UPDATE epoch_metrics SET lr = NULL",
    "a number beyond the column": "UPDATE attempt SET epochs_done = 3000000000",
    "a truth that is neither": "UPDATE attempt SET bit_exact = 2",
    "an epoch before the first": "UPDATE epoch_metrics SET epoch = -epoch",
    "a text that is a blob": "UPDATE attempt SET error = x'00ff'",
    "a text that is not UTF-8": "UPDATE attempt SET error = CAST(x'ff00fe' AS TEXT)",
    "a text with a zero in it": "UPDATE attempt SET error = 'a' || char(0) || 'b'",
    "a text without an end": "UPDATE attempt SET error = CAST(zeroblob(50000000) AS TEXT)",
    "a time that is none": "UPDATE attempt SET started_at = 'yesterday'",
    "a configuration that is no JSON": "UPDATE cell SET config = '{'",
    "a configuration that is nested without end": f"UPDATE cell SET config = '{'[' * 100_000}'",
    "a configuration that is a list": "UPDATE cell SET config = '[]'",
    "a configuration without a name": "UPDATE cell SET config = json_set(config, '$.rule', 3)",
    "a configuration of another cell": "UPDATE cell SET config = replace(config, '\"k\": 2', '\"k\": 4')",
    "a column that says something else": "UPDATE cell SET lr = 0.5",
    "a group that is another": f"UPDATE cell SET group_id = '{'0' * 64}'",
    "provenance that is another": "UPDATE provenance SET hardware = '{}'",
    "provenance that is no JSON": "UPDATE provenance SET versions = 'torch'",
    "a suite with a terminal code for a name": "UPDATE suite SET name = char(27) || '[31m'",
    "an attempt of no cell": f"UPDATE attempt SET cell_id = '{'0' * 64}'",
    "an attempt that resumes itself": "UPDATE attempt SET resumed_from = id WHERE resumed_from IS NOT NULL",
    "an attempt that resumes a later one": "UPDATE attempt SET number = 9 WHERE state = 'interrupted'",
    "an attempt that resumes nothing": "UPDATE attempt SET resumed_from = NULL",
    "epochs of another lineage": "UPDATE epoch_metrics SET attempt_id = (SELECT max(id) FROM attempt)",
    "gradient qualities of another lineage": "UPDATE gradient_quality SET attempt_id = "
    "(SELECT id FROM attempt WHERE state = 'done' AND number = 1)",
    "a gradient quality that is text": "UPDATE gradient_quality SET norm_ratio = 'good'",
    "two attempts of one id": "INSERT INTO attempt SELECT * FROM attempt",
    "two numbers of one cell": "UPDATE attempt SET number = 1",
    "two epochs of one number": "UPDATE epoch_metrics SET epoch = 1",
    "a table that is missing": "DROP TABLE measurement",
    "a column that is missing": "ALTER TABLE measurement DROP COLUMN spread",
}


@pytest.mark.parametrize("statement", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_asapbench_cannot_have_written_is_refused_and_changes_nothing(store, file, statement):
    spoil(file, statement)
    trained(store, a_cell(5))
    with pytest.raises(StoreError, match=r"from someone\.sqlite") as error:
        merged(store, file)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert "\x1b" not in str(error.value)
    assert [result.cell.seed for result in store.results()] == [5]


def test_its_triggers_and_views_are_not_run(store, file):
    insert = "INSERT INTO attempt SELECT * FROM attempt"
    spoil(
        file,
        "CREATE VIEW result AS SELECT load_extension('evil.so')",
        f"CREATE TRIGGER evil AFTER INSERT ON epoch_metrics BEGIN {insert}; END",
        "CREATE TRIGGER worse AFTER UPDATE ON alembic_version BEGIN DELETE FROM cell; END",
    )
    with opened([file]) as databases:
        assert store.merge(databases)[0].attempts == 3
        with closing(sqlite3.connect(databases[0].path)) as copy:
            assert copy.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall() == []


@pytest.mark.parametrize(
    "table", ["CREATE VIEW attempt AS SELECT * FROM old", "CREATE VIRTUAL TABLE attempt USING fts5(id)"]
)
def test_a_view_or_virtual_table_in_a_tables_place_is_refused(store, file, table):
    spoil(file, "ALTER TABLE attempt RENAME TO old", table)
    with pytest.raises(StoreError, match="there is no table attempt"):
        merged(store, file)


def test_a_damaged_file_is_named_and_nothing_is_merged_not_even_from_the_others(store, file, tmp_path):
    damaged = bytearray(file.read_bytes())
    page = 4096
    damaged[3 * page : 12 * page] = random.Random(1).randbytes(9 * page)
    bad = tmp_path / "bad.sqlite"
    bad.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"bad\.sqlite is damaged"):
        merged(store, file, bad)
    assert store.results() == []


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 50_000])
def test_a_file_that_was_cut_short_is_refused(store, file, size):
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(StoreError, match=r"from someone\.sqlite"):
        merged(store, file)
    assert store.results() == []


def test_what_is_no_database_is_refused(store, tmp_path):
    text, pipe = tmp_path / "notes.txt", tmp_path / "pipe"
    text.write_text("epoch,accuracy\n" * 900)
    os.mkfifo(pipe)
    something = tmp_path / "something.sqlite"
    with closing(sqlite3.connect(something)) as connection:
        connection.execute("CREATE TABLE cell (id)")
    for path, words in (
        (text, "is not a SQLite database"),
        (something, "is not a database of asapbench"),
        (pipe, "no such database file"),
        (tmp_path, "no such database file"),
        (tmp_path / "absent", "no such database file"),
    ):
        with pytest.raises(StoreError, match=words):
            merged(store, path)


def test_a_newer_revision_is_refused_with_the_fix(store, file):
    spoil(file, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"is at revision 9999, which .* does not know: upgrade asapbench"):
        merged(store, file)


def test_a_schema_that_holds_nothing_back_is_no_fault_of_the_rows(store, file):
    spoil(file)
    assert merged(store, file)[0].attempts == 3


def test_a_file_that_is_fine_is_taken(store, file, tmp_path):
    assert merged(store, file)[0].attempts == 3
    assert current(store, a_cell()).state == "done"
    if store.path is not None:
        assert content(store.path) == content(file)
