"""A PostgreSQL server that is away for a while costs a wait; whatever it had committed is not written twice."""

import contextlib
import threading

import pytest
from sqlalchemy import event, text
from store_examples import A_MEASUREMENT, PROVENANCE, TERMS, a_cell, an_angle, an_epoch, current, trained

from asapbench.errors import ServerAwayError, StoreError
from asapbench.store import Measured, Store, connect


@pytest.fixture
def store(postgresql_url):
    with Store.open(postgresql_url) as opened:
        yield opened


@pytest.fixture
def others_connections(store, postgresql_server):
    """Ends every connection to the database, as a server does that restarts."""

    def end():
        postgresql_server.administer(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
            f"'{store.url.partition('@/')[2].partition('?')[0]}'"
        )

    return end


@contextlib.contextmanager
def answers_lost(store, end_connections, *, before_commit=False):
    """The next commit, or its answer, is lost with the connection; those after it are not."""
    said, left = [], ["one"]
    store.enable_retries(said.append)

    def lose(connection):
        if left and connection.get_execution_options().get("asapbench_writes"):
            left.pop()
            if not before_commit:
                connection.connection.driver_connection.commit()
                connection.connection.driver_connection.execute("SELECT 1")  # there is something to commit again
            end_connections()

    engine = store._database.engine
    event.listen(engine, "commit", lose)
    yield
    event.remove(engine, "commit", lose)
    assert len(said) == 1, "nothing was lost"


@pytest.fixture(params=[True, False], ids=["before the commit", "after the commit"])
def lost(request, store, others_connections):
    return lambda: answers_lost(store, others_connections, before_commit=request.param)


def rows(store, table):
    with store._database.reading() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()


def test_a_claim_is_made_once(store, lost):
    first = trained(store, a_cell(), tests=(0.5,), state="interrupted")
    with lost():
        claim = store.claim(a_cell(), **TERMS)
    assert (claim.previous, claim.resumed_from, claim.lineage) == ([first.attempt_id], first.attempt_id, first.lineage)
    assert [attempt.id for attempt in store.attempts(a_cell().id)] == [first.attempt_id, claim.attempt_id]
    store.record_epochs(claim, [an_epoch(2)])


def test_a_heartbeat_loses_no_claim(store, lost):
    claims = [store.claim(a_cell(seed), **TERMS) for seed in range(2)]
    with lost():
        assert store.heartbeat(claims) == []
    assert [claim.lease for claim in claims] == [attempt.lease for attempt in store.running()] == [2, 2]
    store.record_epochs(claims[0], [an_epoch(1)])


def test_epochs_and_angles_are_recorded_once(store, lost):
    claim = store.claim(a_cell(), **TERMS)
    with lost():
        store.record_epochs(claim, [an_epoch(1)], [an_angle(1)])
    with lost():
        store.record_many([Measured(claim, [an_epoch(1), an_epoch(2)], [an_angle(2)])])
    assert store.epochs(claim.lineage) == [an_epoch(1), an_epoch(2)]
    assert store.alignment(claim.lineage) == [an_angle(1), an_angle(2)]


def test_an_attempt_ends_once(store, lost):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [an_epoch(1)])
    with lost():
        store.finish(claim, "done")
    assert (current(store, a_cell()).state, current(store, a_cell()).best_test_epoch) == ("done", 1)


def test_measurements_and_suites_are_recorded_once(store, lost):
    claim = trained(store, a_cell())
    with lost():
        store.record_measurements("shortcut", claim.attempt_id, [A_MEASUREMENT], PROVENANCE)
    with lost():
        store.record_suite("mine", "shipped", [a_cell(), a_cell(1)])
    assert rows(store, "measurement") == 1
    assert store.readable_cells("mine")[0] == [a_cell(), a_cell(1)]


def test_a_cell_is_superseded_once_and_released_once(store, lost):
    trained(store, a_cell())
    store.claim(a_cell(1), **TERMS)
    with lost():
        store.supersede([a_cell().id])
    with lost():
        store.release_dead(stale=lambda attempt: True)
    assert current(store, a_cell()) is None
    assert current(store, a_cell(1)).state == "interrupted"


@pytest.mark.parametrize("crash", [False, True], ids=["restarted", "crashed"])
def test_a_server_that_comes_back_is_waited_for(store, postgresql_server, crash):
    claim = store.claim(a_cell(), **TERMS)
    said = []
    back = threading.Thread(target=postgresql_server.start)

    def report(line):
        said.append(line)
        back.start()

    store.enable_retries(report)
    postgresql_server.stop(crash=crash)
    store.record_epochs(claim, [an_epoch(1)])
    back.join()
    assert store.epochs(claim.lineage) == [an_epoch(1)]
    [line] = said
    assert "cannot be reached: is its server running" in line
    assert line.endswith("waiting for it, 300 s at most")


def test_a_server_that_stays_away_is_named_with_the_fix_in_one_line(store, postgresql_server, monkeypatch):
    claim = store.claim(a_cell(), **TERMS)
    store._database.retry_policy.seconds = 0.5
    postgresql_server.stop()
    try:
        for use in (lambda: store.record_epochs(claim, [an_epoch(1)]), store.results):
            with pytest.raises(ServerAwayError, match="cannot be reached: is its server running") as raised:
                use()
            assert "\n" not in str(raised.value)
    finally:
        postgresql_server.start()
    assert store.epochs(claim.lineage) == []


def test_a_writer_that_falls_silent_holds_nobody_up_for_long(postgresql_url, monkeypatch):
    from asapbench.store import postgresql

    monkeypatch.setattr(postgresql, "_SILENT_SECONDS", 1)
    with Store.open(postgresql_url) as silent, Store.open(postgresql_url) as store:

        def sleep_while_another_writes(connection):
            assert store.claim(a_cell(), **TERMS)  # waits until the server has ended the silent one's session
            connection.execute(text("SELECT 1"))

        with pytest.raises(ServerAwayError), silent._database.writing() as connection:
            sleep_while_another_writes(connection)
        assert len(store.attempts(a_cell().id)) == 1


def test_a_writer_waits_for_another_one_no_longer_than_it_says(postgresql_url, monkeypatch):
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.2)
    with Store.open(postgresql_url) as one, Store.open(postgresql_url) as other, one._database.writing():
        with pytest.raises(StoreError, match="is locked by another process: end that process, or wait"):
            other.claim(a_cell(), **TERMS)
        with Store.read_only(postgresql_url) as reader:
            assert reader.results() == []
