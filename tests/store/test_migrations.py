import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_examples import A_MEASUREMENT, a_cell, a_certificate, a_quality, an_angle, trained

from asapbench.errors import StoreError
from asapbench.store import Store, migrate
from asapbench.store.schema import metadata

FROZEN = Path(__file__).parent / "frozen"


def test_the_revisions_are_those_of_the_migrations():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert tuple(reversed([step.revision for step in script.walk_revisions()])) == migrate.KNOWN
    assert {file.stem for file in FROZEN.glob("*.sqlite")} == set(migrate.KNOWN)


def test_the_migrations_make_the_tables_of_the_schema(store):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import CheckConstraint, inspect

    with store._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        for table in metadata.sorted_tables:
            declared = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
            assert {c["name"] for c in inspect(connection).get_check_constraints(table.name)} == declared


@pytest.mark.parametrize("revision", migrate.KNOWN)
def test_a_frozen_database_of_each_revision_is_opened_upgraded_and_read(tmp_path, revision):
    path = tmp_path / "old.sqlite"
    shutil.copy(FROZEN / f"{revision}.sqlite", path)
    with Store.open(str(path)) as store:
        [suite] = store.suites()
        assert (suite.name, suite.source, suite.cells) == ("frozen", "shipped", 4)
        assert suite.text == (None if revision < "0003" else "# as it was run\n")
        states = [r.attempt.state for r in store.results(suite="frozen")]
        assert states == ["done", "diverged", "failed"]
        done = store.results(suite="frozen")[0].attempt
        assert (done.number, done.epochs_done, done.best_test_accuracy, done.best_test_epoch) == (2, 3, 0.625, 2)
        assert [row.test_accuracy for row in store.epochs(done.lineage)] == [0.5, 0.625, 0.625]
        assert store.provenance(done.provenance_id).versions == {"torch": "2.14.1"}
        angles = [] if revision < "0002" else [an_angle(0), an_angle(3, degrees=None)]
        assert store.alignment(done.lineage) == angles
        qualities = [] if revision < "0004" else [a_quality(0), a_quality(3, "", share=None)]
        assert store.gradient_quality(done.lineage) == qualities
        assert store.measurements("shortcut", [done.id]) == ({} if revision < "0002" else {done.id: [A_MEASUREMENT]})
        issued = [] if revision < "0005" else [a_certificate("asap", verdict="fails"), a_certificate()]
        assert [each.certificate for each in store.certificates()] == issued
        discarded = {} if revision < "0006" else {a_cell(1).id: "the disk was full"}
        assert {cell_id: found.reason for cell_id, found in store.discards().items()} == discarded
        trained(store, a_cell(99))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrate.HEAD,)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("opening", [Store.open, Store.read_only])
def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(path, opening):
    with Store.open(str(path)) as store:
        trained(store, a_cell())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    content = path.read_bytes()
    words = "is at revision 0999, which this version does not know: upgrade asapbench, or name another with --db"
    with pytest.raises(StoreError, match=words):
        opening(str(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize("revision", migrate.KNOWN[:-1])
def test_a_reader_does_not_upgrade_an_older_database(path, revision):
    shutil.copy(FROZEN / f"{revision}.sqlite", path)
    with pytest.raises(StoreError, match=f"is at revision {revision}, this version reads {migrate.HEAD}"):
        Store.read_only(str(path))
    assert path.read_bytes() == (FROZEN / f"{revision}.sqlite").read_bytes()


def test_a_migration_that_breaks_off_changes_nothing(store, url, monkeypatch):
    from sqlalchemy import inspect, text

    with store._database.writing() as connection:
        for view in inspect(connection).get_view_names():
            connection.execute(text(f"DROP VIEW {view}"))
        for table in [*reversed(metadata.sorted_tables)]:
            connection.execute(text(f"DROP TABLE {table.name}"))
        connection.execute(text("DROP TABLE alembic_version"))

    def breaks(connection):
        upgrade(connection)
        raise KeyboardInterrupt

    upgrade = migrate._upgrade
    monkeypatch.setattr(migrate, "_upgrade", breaks)
    with pytest.raises(KeyboardInterrupt):
        Store.open(url)
    with store._database.reading() as connection:
        assert inspect(connection).get_table_names() == []
    monkeypatch.setattr(migrate, "_upgrade", upgrade)
    with Store.open(url) as again:
        trained(again, a_cell())
