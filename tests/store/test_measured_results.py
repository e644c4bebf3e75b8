"""The measured results that come with asapbench: in a checkout and in the wheel, current, anonymous, only read."""

from __future__ import annotations

import shutil
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from asapbench import load_results, paths
from asapbench.errors import StoreError
from asapbench.store import MEASURED_URL, Store
from asapbench.store.connect import connect, file_of
from asapbench.store.migrate import HEAD

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "results" / "measured" / "measured.sqlite"
FROZEN = Path(__file__).parent / "frozen"
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
    "wheel"
]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of an installation of the wheel, which has no checkout around it."""
    for source, target in WHEEL["force-include"].items():
        place = tmp_path / target
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, place)
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "asapbench")
    found = file_of(MEASURED_URL)
    assert found is not None
    return found


def seeds() -> list[int]:
    with Store.read_only(MEASURED_URL) as store:
        return sorted({result.cell.seed for result in store.results(suite="quickstart")})


def test_a_checkout_has_them() -> None:
    assert file_of(MEASURED_URL) == SHIPPED
    assert seeds() == [0, 1, 2, 3, 4]
    assert len(load_results(MEASURED_URL, suite="quickstart")) == 50


def test_the_wheel_has_them(installed: Path, tmp_path: Path) -> None:
    assert installed.is_relative_to(tmp_path)
    assert seeds() == [0, 1, 2, 3, 4]


def test_the_suites_of_the_wheel_are_found_in_the_same_way(installed: Path, tmp_path: Path) -> None:
    from asapbench.suite.load import shipped

    assert shipped()["quickstart"].is_relative_to(tmp_path)


def test_they_are_at_the_newest_revision() -> None:
    with closing(sqlite3.connect(f"{SHIPPED.as_uri()}?mode=ro&immutable=1", uri=True)) as raw:
        found = raw.execute("SELECT version_num FROM alembic_version").fetchall()
    assert found == [(HEAD,)], f"upgrade them: asapbench upgrade --db {SHIPPED.relative_to(ROOT)}"


def test_they_name_no_machine() -> None:
    with closing(sqlite3.connect(f"{SHIPPED.as_uri()}?mode=ro&immutable=1", uri=True)) as raw:
        owners = raw.execute("SELECT DISTINCT host, boot_id, pid, pid_started, error, log_tail FROM attempt").fetchall()
        sources = [source for (source,) in raw.execute("SELECT source FROM suite")]
    assert owners == [("", "", 0, 0.0, None, None)]
    assert [source for source in sources if "/" in source or "\\" in source] == []
    assert SHIPPED.stat().st_size < 20e6


def test_nothing_writes_to_them() -> None:
    before = SHIPPED.read_bytes()
    with pytest.raises(StoreError, match="only read"):
        Store.open(MEASURED_URL)
    with pytest.raises(StoreError, match="only read"):
        Store.existing(MEASURED_URL)
    assert SHIPPED.read_bytes() == before


def test_no_file_is_made_beside_them_even_while_they_are_read(installed: Path) -> None:
    with closing(sqlite3.connect(installed)) as raw:
        assert raw.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",), "as a merge leaves the file"
    before, there = installed.read_bytes(), set(installed.parent.iterdir())
    with closing(connect(MEASURED_URL, writable=False)) as database, database.reading() as rows:
        assert rows.exec_driver_sql("SELECT COUNT(*) FROM cell").scalar()
        assert set(installed.parent.iterdir()) == there
    assert (installed.read_bytes(), set(installed.parent.iterdir())) == (before, there)


def test_those_of_an_earlier_revision_are_not_upgraded_but_named(installed: Path) -> None:
    shutil.copy(FROZEN / "0001.sqlite", installed)
    with pytest.raises(StoreError, match=rf"`asapbench upgrade --db {installed}` upgrades it"):
        Store.read_only(MEASURED_URL)
    assert installed.read_bytes() == (FROZEN / "0001.sqlite").read_bytes()


def test_an_installation_without_them_says_so(installed: Path) -> None:
    installed.unlink()
    with pytest.raises(StoreError, match="this installation lacks the measured results: install asapbench again"):
        Store.read_only(MEASURED_URL)
