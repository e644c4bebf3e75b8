import sqlite3
from contextlib import closing

import pytest

from asapbench.store import Store
from asapbench.store.cells import read_config
from asapbench.suite.catalog import CATALOG


@pytest.fixture(autouse=True)
def _cells_are_read_again():
    """Some tests change the catalog, which no process does while it reads a database."""
    read_config.cache_clear()
    yield
    read_config.cache_clear()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, path):
    if request.param == "postgresql":
        yield request.getfixturevalue("postgresql_url")
        return
    yield f"sqlite:///{path}"
    if path.exists():
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.fixture
def store(url):
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def uninstalled():
    """Removes an entry from the catalog for the test. After it the entry has its place again: reports show it."""
    whole = {kind: dict(table) for kind, table in CATALOG.items()}
    yield lambda kind, name: CATALOG[kind].pop(name)
    for kind, table in CATALOG.items():
        table.clear()
        table.update(whole[kind])
