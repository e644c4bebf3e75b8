"""The page of a real database follows it, and the server lives while it is missing, moved, locked or newer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason='httpx is not installed: pip install -e ".[test]"')
from served_database import an_epoch, of_rules, started
from starlette.testclient import TestClient

from asapbench.report.page import page
from asapbench.report.quantity import Metric, Numbers
from asapbench.server import live_page
from asapbench.server.app import make_app
from asapbench.server.serving import live_page_of
from asapbench.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'r.sqlite'}"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(live_page, "_REST", 0.0)
    monkeypatch.setattr(live_page, "_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr("asapbench.store.connect.BUSY_SECONDS", 0.1)


def opened(url: str) -> TestClient:
    return TestClient(make_app(live_page_of(url)), base_url="http://localhost:8617")


def newest(client: TestClient) -> str:
    """The page of a look that started after this call: the first request may join one that `/state` started earlier."""
    client.get("/")
    return client.get("/").text


def problem(client: TestClient) -> str | None:
    """Why the newest page is not shown, if it is not."""
    newest(client)
    found: str | None = client.get("/state").json()["problem"]
    return found


@pytest.mark.slow
def test_the_page_follows_a_database_through_everything_that_happens_to_it(url: str, tmp_path: Path) -> None:
    file, moved = tmp_path / "r.sqlite", tmp_path / "moved.sqlite"
    with opened(url) as client:
        assert "no database at" in newest(client)
        with Store.open(url) as store:
            (claim,) = started(store, of_rules("bp")[:1])
            store.record_epochs(claim, [an_epoch(1, 0.8125)])
            assert "1 of " in newest(client)
            store.finish(claim, "done")
            assert "81.25" in newest(client)
        file.rename(moved)
        assert "81.25" in newest(client)
        assert "no database at" in (problem(client) or "")
        moved.rename(file)
        assert problem(client) is None
        with closing(sqlite3.connect(file)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            assert "is locked by another process" in (problem(client) or "")
            other.execute("ROLLBACK")
        assert problem(client) is None
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("UPDATE alembic_version SET version_num = '9999'")
        assert "81.25" in newest(client)
        assert "upgrade asapbench" in (problem(client) or "")
        file.write_bytes(b"no database at all" * 1000)
        assert "doctor --quarantine" in (problem(client) or "")
        assert client.get("/update").status_code == 200


def test_the_page_of_a_postgresql_database_is_served(postgresql_url: str) -> None:
    with opened(postgresql_url) as client:
        assert client.get("/").status_code == 503
        with Store.open(postgresql_url) as store:
            (claim,) = started(store, of_rules("asap")[:1])
            store.record_epochs(claim, [an_epoch(1, 0.8125)])
            store.finish(claim, "done")
        assert "81.25" in client.get("/").text


def test_the_served_page_has_the_numbers_that_are_asked_for(url: str) -> None:
    with Store.open(url) as store:
        started(store, of_rules("bp")[:1])
    assert (
        "at the best validation epoch (best-val)" in live_page_of(url, numbers=Numbers(metric=Metric.BEST_VAL)).render()
    )


def test_only_the_served_page_asks_a_server(url: str) -> None:
    with Store.open(url) as store:
        started(store, of_rules("bp")[:1])
    alone = page(url)
    assert "asapbench-version" not in alone
    assert "connect-src &#39;none&#39;" in alone
    with opened(url) as client:
        served = client.get("/").text
        assert '<meta name="asapbench-version"' in served
        assert "connect-src &#39;self&#39;" in served
        assert len(client.get("/update").text) < len(served) / 10
