"""A results database may come from any person: it is read, or refused by name, and stays unchanged."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fuzzing import CONTROL, check_refusal, fuzz, nasty_text
from hypothesis import given
from hypothesis import strategies as st
from in_process import asapbench
from store_examples import A_MEASUREMENT, PROVENANCE, TERMS, a_cell, an_angle, an_epoch

from asapbench.errors import StoreError
from asapbench.store import Store
from asapbench.worker.files import Files

CELL = a_cell()
DB = ("--db", "y.sqlite")
READING = (
    ("status", "--cells", "--device", "cpu", *DB),
    ("show", CELL.short, *DB),
    ("report", "--suite", "mine", *DB),
    ("report", "--suite", "mine", "--format", "json", *DB),
    ("report", "--table", "1", *DB),
    ("report", "--curves", "accuracy", "--only", "rule=asap", *DB),
    ("report", "--curves", "train-loss", "--format", "json", "--suite", "mine", *DB),
    ("report", "--alignment", "weights", "--suite", "mine", *DB),
    ("report", "--gradient-quality", "norm-ratio", "--suite", "mine", *DB),
    ("report", "--figure", "10", *DB),
    ("resume", "--dry-run", "--device", "cpu", *DB),
    ("rerun", "--dry-run", "--only", "rule=asap", "--device", "cpu", *DB),
    ("evaluate", CELL.short, *DB),
    ("clean", "--dry-run", *DB),
)
LAYERS = ("alignment", "gradient_quality")
TABLES = ("cell", "suite", "suite_cell", "provenance", "attempt", "epoch_metrics", *LAYERS, "measurement")
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from(
        (1e300, 9e999, "{}", "[]", "null", '{"rule": 1}', '{"gpus": 3}', "[" * 5000, "../../../x", "é" * 9999)
    ),
    st.binary(max_size=9),
    nasty_text().map(lambda text: text.encode("utf-8", "replace").decode()),
)


@pytest.fixture(scope="module")
def sound(folder: Path) -> Path:
    """A database with something in every table."""
    path = folder / "sound.sqlite"
    shutil.copy(folder / "x.sqlite", path)
    with Store.open(f"sqlite:///{path}") as store:
        attempt = store.states([CELL.id])[CELL.id]
        assert attempt is not None
        store.record_measurements("shortcut", attempt.id, [A_MEASUREMENT], PROVENANCE)
        fresh = a_cell(2)
        claim = store.claim(fresh, **TERMS)
        store.record_epochs(claim, [an_epoch(1)], [an_angle(0), an_angle(1)])
        store.finish(claim, "failed", error="Traceback\nError: \x1b[31m", log_tail="\x1b]0;x\x07", weights_path="/none")
        store.record_suite("mine", "mine.toml", [a_cell(), a_cell(1), fresh])
    return path


@pytest.fixture
def there(folder: Path, sound: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def fresh_copy() -> None:
    for end in ("-wal", "-shm"):
        Path(f"y.sqlite{end}").unlink(missing_ok=True)
    shutil.copy("sound.sqlite", "y.sqlite")


def spoil(table: str, column: str, value: object) -> bool:
    """A fresh copy with one value in a whole column; False where the schema itself refuses that."""
    fresh_copy()
    with closing(sqlite3.connect("y.sqlite", isolation_level=None)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        try:
            database.execute(f"UPDATE [{table}] SET [{column}] = ?", [value])
        except sqlite3.IntegrityError:
            return False
    return True


def check(*arguments: str) -> None:
    """The command reads the database or refuses it by name; it never changes it."""
    before = Path("y.sqlite").read_bytes()
    said = asapbench(*arguments)
    assert Path("y.sqlite").read_bytes() == before
    assert not CONTROL.search(said.out)
    if said.status != 0:
        check_refusal(said)


def columns() -> list[tuple[str, str]]:
    with closing(sqlite3.connect("sound.sqlite")) as database:
        return [(t, row[1]) for t in TABLES for row in database.execute(f"PRAGMA table_info({t})")]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_any_value_in_any_column_is_read_or_refused(command: tuple[str, ...], there: Path) -> None:
    @fuzz(6)
    @given(st.sampled_from(columns()), VALUES)
    def try_it(column: tuple[str, str], value: object) -> None:
        if spoil(*column, value):
            check(*command)

    try_it()


@fuzz(25)
@given(st.sampled_from(READING), st.sampled_from(TABLES), st.sampled_from(("drop", "empty", "rename", "other")))
def test_another_schema_is_refused(there: Path, command: tuple[str, ...], table: str, how: str) -> None:
    fresh_copy()
    with closing(sqlite3.connect("y.sqlite", isolation_level=None)) as database:
        column = database.execute(f"PRAGMA table_info({table})").fetchone()[1]
        statement = {
            "drop": f"DROP TABLE {table}",
            "empty": f"DELETE FROM {table}",
            "rename": f"ALTER TABLE {table} RENAME TO other_{table}",
            "other": f"ALTER TABLE {table} RENAME COLUMN [{column}] TO x",
        }[how]
        try:
            database.execute(statement)
        except sqlite3.OperationalError:
            return
    check(*command)


@fuzz(25)
@given(st.sampled_from(READING), st.data())
def test_a_file_with_changed_bytes_is_read_or_refused(
    there: Path, command: tuple[str, ...], data: st.DataObject
) -> None:
    fresh_copy()
    content = bytearray(Path("y.sqlite").read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    Path("y.sqlite").write_bytes(content)
    check(*command)


def test_a_schema_whose_damage_is_no_text_is_named(there: Path) -> None:
    fresh_copy()
    with closing(sqlite3.connect("y.sqlite", isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET name = CAST(X'a7a7' AS TEXT), sql = 'CREATE' WHERE name = 'suite'")
    said = asapbench(*READING[0])
    check_refusal(said)
    assert "y.sqlite is damaged" in said.err


@fuzz(20)
@given(st.data())
def test_a_database_with_any_value_is_merged_or_refused_whole(there: Path, data: st.DataObject) -> None:
    if not spoil(*data.draw(st.sampled_from(columns())), data.draw(VALUES)):
        return
    Path("into.sqlite").unlink(missing_ok=True)
    with Store.open("sqlite:///into.sqlite") as store:
        store.record_suite("other", "other.toml", [a_cell(7)])
    before = dump("into.sqlite")
    said = asapbench("merge", "y.sqlite", "--db", "into.sqlite")
    assert said.status != 1, said  # there is nothing that it could contradict
    if said.status != 0:
        check_refusal(said)
        assert dump("into.sqlite") == before
    for command in (("status", "--device", "cpu"), ("show", CELL.short)):
        said = asapbench(*command, "--db", "into.sqlite")
        assert said.status == 0 or check_refusal(said) is None


def dump(path: str) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


@pytest.mark.parametrize("identity", ["../../x", "/etc", "a/b", "..", "", "a\0b", "A" * 32, "$(x)"])
def test_no_foreign_identity_gets_into_a_path(identity: str, tmp_path: Path) -> None:
    files = Files(tmp_path)
    for make in (files.checkpoints, files.weights):
        for arguments in ((CELL.id, identity), (identity, "0" * 32)):
            with pytest.raises(StoreError, match="identity that asapbench did not make"):
                make(*arguments)
