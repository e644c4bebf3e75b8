"""What PostgreSQL alone can get wrong: its URL, its driver, its rights, and a schema that is not this version's."""

import re
import sys

import pytest
from sqlalchemy import text
from store_examples import TERMS, a_cell, an_epoch, trained

from asapbench.errors import NoDatabaseError, ServerAwayError, StoreError
from asapbench.store import Store, connect, db_option


def test_a_url_without_a_driver_means_psycopg(postgresql_url):
    with Store.open(postgresql_url.replace("+psycopg", "")) as store:
        trained(store, a_cell())
        assert store._database.engine.driver == "psycopg"
        assert store.path is None
    with Store.read_only(postgresql_url) as store:
        assert [result.cell for result in store.results()] == [a_cell()]


def test_another_driver_is_refused_with_the_one_to_use():
    with pytest.raises(StoreError, match=r"psycopg2.* names a driver .* use sqlite.*postgresql://HOST/NAME"):
        Store.open("postgresql+psycopg2://me@here/x")


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r'needs a driver: pip install "\.\[postgres\]" in the clone'):
        Store.open("postgresql://me@here/x")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:S3CRET@localhost:1/x",
        "postgresql://me@localhost:1/x?password=S3CRET",
        "postgresql://me:S3CRET@localhost:port/x",
        "postgresql+psycopg2://me:S3CRET@localhost:1/x",
        "mysql://me:S3CRET@localhost/x",
    ],
)
@pytest.mark.parametrize("opening", [Store.open, Store.read_only])
def test_no_message_tells_a_password(url, opening):
    with pytest.raises(StoreError) as raised:
        opening(url)
    assert "S3CRET" not in str(raised.value) + db_option(url)
    assert "\n" not in str(raised.value)


def test_a_password_is_used_though_it_is_not_told(postgresql_url):
    with Store.open(postgresql_url.replace("asapbench@", "asapbench:S3CRET@")) as store:
        assert "S3CRET" in store.url
        assert "***" in store.name
        assert "S3CRET" not in store.name


def test_no_server_and_no_database_are_named_at_once(postgresql_server, monkeypatch):
    monkeypatch.setattr(connect, "RETRY_SECONDS", 1e9)  # opening does not wait
    for url in ("postgresql://me@localhost:1/x", postgresql_server.url("absent")):
        for opening in (Store.open, Store.read_only):
            with pytest.raises(
                ServerAwayError, match=r"is its server running, and are host, user, password and database right\?"
            ):
                opening(url)


def test_an_empty_database_holds_no_results_yet(postgresql_url):
    with pytest.raises(NoDatabaseError, match="holds no results yet: run a suite first"):
        Store.read_only(postgresql_url)


@pytest.mark.parametrize("opening", [Store.open, Store.read_only])
def test_a_database_of_something_else_or_of_a_newer_version_is_unchanged(postgresql_server, postgresql_url, opening):
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    postgresql_server.administer("CREATE TABLE cell (x int)", database=name)
    with pytest.raises(StoreError, match="is a database of another program"):
        opening(postgresql_url)
    postgresql_server.administer("DROP TABLE cell", database=name)
    Store.open(postgresql_url).close()
    postgresql_server.administer("UPDATE alembic_version SET version_num = '0999'", database=name)
    with pytest.raises(StoreError, match="is at revision 0999, which this version does not know: upgrade asapbench"):
        opening(postgresql_url)


def test_a_user_who_may_not_write_reads_and_is_reported_what_a_writer_needs(postgresql_server, postgresql_url):
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    reader, role = postgresql_url.replace("asapbench@", f"reader_{name}@"), f"reader_{name}"
    postgresql_server.administer(f"CREATE ROLE {role} LOGIN", database=name)
    postgresql_server.administer("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database=name)
    try:
        with pytest.raises(StoreError, match="gives this user too few rights"):
            Store.open(reader)
        with Store.open(postgresql_url) as store:
            trained(store, a_cell())
        postgresql_server.administer(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", database=name)
        with Store.read_only(reader) as store:
            assert [result.cell for result in store.results()] == [a_cell()]
        with Store.open(reader) as store, pytest.raises(StoreError, match="gives this user too few rights"):
            store.claim(a_cell(1), **TERMS)
    finally:
        postgresql_server.administer(f"DROP OWNED BY {role}; DROP ROLE {role}", database=name)


@pytest.mark.parametrize("name_of_user", ["plain", "With-Dash"])
def test_the_advice_on_rights_helps_whatever_is_missing(postgresql_server, postgresql_url, name_of_user):
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    role = f"{name_of_user}_{name}"
    other = postgresql_url.replace("asapbench@", f"{role}@")

    def administer(statement):
        postgresql_server.administer(statement, database=name)

    def advised(work):
        """The statements that the error of `work` says to run."""
        with pytest.raises(StoreError, match="gives this user too few rights") as e:
            work()
        assert not isinstance(e.value, NoDatabaseError | ServerAwayError)
        return re.findall(r"GRANT [^;]+;", str(e.value))

    def read():
        with Store.read_only(other) as store:
            return len(store.results())

    def write():
        with Store.open(other) as store:
            return store.claim(a_cell(1), **TERMS)

    administer(f'CREATE ROLE "{role}" LOGIN')
    administer("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    try:
        advised(write)  # nothing is there yet
        with Store.open(postgresql_url) as store:
            trained(store, a_cell())
        statements = advised(read)
        assert advised(write) == statements
        assert len(statements) == 4
        for statement in statements[:2]:
            administer(statement)
        assert read() == 1
        assert advised(write) == statements
        for statement in statements[2:]:
            administer(statement)
        assert write()
    finally:
        administer(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


def test_only_the_owner_of_the_tables_is_asked_to_bring_them_up_to_date(postgresql_server, postgresql_url):
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    Store.open(postgresql_url).close()
    role = f"other_{name}"
    postgresql_server.administer("UPDATE alembic_version SET version_num = '0001'", database=name)
    postgresql_server.administer(
        f"CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}", database=name
    )
    try:
        with pytest.raises(
            StoreError, match=r"at revision 0001, and only the owner .* `asapbench resume` once as asapb"
        ):
            Store.open(postgresql_url.replace("asapbench@", f"{role}@"))
    finally:
        postgresql_server.administer(f"DROP OWNED BY {role}; DROP ROLE {role}", database=name)


def test_a_reader_sees_one_state_and_a_writer_the_newest(postgresql_url):
    with Store.open(postgresql_url) as store, Store.open(postgresql_url) as other:
        claim = store.claim(a_cell(), **TERMS)
        count = text("SELECT count(*) FROM epoch_metrics")
        with other._database.reading() as connection:
            before = connection.execute(count).scalar()
            store.record_epochs(claim, [an_epoch(1)])
            assert connection.execute(count).scalar() == before == 0
        with other._database.writing() as connection:
            assert connection.execute(count).scalar() == 1
            assert connection.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
