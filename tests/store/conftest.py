import os
import sqlite3
from contextlib import closing

import pytest

from asapbench.store import Store

POSTGRESQL = os.environ.get("ASAPBENCH_TEST_POSTGRESQL")
"""postgresql://USER@HOST/NAME of a server whose database NAME may be emptied: then `store` is tested on it too."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"] if POSTGRESQL else ["sqlite"])
def url(request, path):
    if request.param == "postgresql":
        _empty(POSTGRESQL)
        yield POSTGRESQL
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


def _empty(url):
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
