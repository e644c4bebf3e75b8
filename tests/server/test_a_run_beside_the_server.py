"""A server that many browsers ask changes no bit of a run, makes no commit wait, and ends at once."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from served_database import an_epoch, of_rules, started
from small_runs import DB, curves, environment, recorded, run, wait_until, write_suite

from asapbench.store import Store, connect

pytestmark = pytest.mark.slow

BROWSERS = 10
EPOCHS = 2000


@contextmanager
def served(url: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of a server of the database at `url`, and its address."""
    command = [sys.executable, "-m", "asapbench", "serve", "--port", "0", "--db", url, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


ASK = """
import sys, threading, time
from urllib.error import HTTPError
from urllib.request import urlopen

def ask():
    while True:
        for path in ("state", "update"):
            try:
                urlopen(sys.argv[1] + path, timeout=30).read()
            except HTTPError:  # 503 before there is a database
                pass
        time.sleep(2)

for number in range(int(sys.argv[2])):
    threading.Thread(target=ask).start()
    time.sleep(2 / int(sys.argv[2]))
"""
"""What the page's script asks for, of a number of browsers; all get each newer page."""


@contextmanager
def browsers(address: str) -> Iterator[None]:
    """Ten browsers that show the page, in a process of their own."""
    with subprocess.Popen([sys.executable, "-c", ASK, address, str(BROWSERS)]) as process:
        try:
            yield
        finally:
            process.kill()


def shown(address: str) -> str:
    """The page; or, before there is one, the page that waits for it."""
    try:
        return urlopen(address).read().decode()
    except HTTPError as waiting:
        return waiting.read().decode()


def test_a_run_that_is_watched_gives_the_same_bits(undisturbed, tmp_path: Path) -> None:
    write_suite(tmp_path)
    url = f"sqlite:///{tmp_path}/{DB}"

    def log_is_empty() -> bool:
        """A look that takes longer than a writer waits leaves the log to the next writer."""
        Store.open(url).close()
        return sum(log.stat().st_size for log in tmp_path.glob("results/*-wal")) == 0

    with served(url) as (_, address), browsers(address):
        run(tmp_path, "run", "small.toml", "--slots", "2")
        wait_until(lambda: "state-done" in shown(address), "the page of the run")
        wait_until(log_is_empty, "a moment at which a writer may empty the log")
    assert curves(tmp_path) == undisturbed[1]


def test_the_writer_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that waits for no lock at all is refused none. Each epoch is a commit of its own, as in a run."""
    url = f"sqlite:///{tmp_path}/results/asapbench.sqlite"
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0)
    # The database is made before the server looks at it: only then is there a log, which lets both work at once.
    with Store.open(url) as store, served(url) as (_, address), browsers(address):
        (claim,) = started(store, of_rules("bp")[:1])
        for number in range(1, EPOCHS + 1):
            store.record_epochs(claim, [an_epoch(number)])
        assert recorded(tmp_path) == EPOCHS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_at_once_with_connections_open(number: signal.Signals, tmp_path: Path) -> None:
    with served(f"sqlite:///{tmp_path / 'r.sqlite'}") as (process, address):
        host, port = address.removeprefix("http://").rstrip("/").split(":")
        with pytest.raises(HTTPError, match="503"):
            urlopen(address)
        with socket.create_connection((host, int(port))) as idle, socket.create_connection((host, int(port))) as half:
            idle.sendall(b"GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200 OK" in idle.recv(1000)
            half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1")
            process.send_signal(number)
            status = process.wait(30)  # it waits for neither connection: both stay open
        assert status == (0 if number == signal.SIGINT else -signal.SIGTERM)
        assert "Traceback" not in process.stdout.read()
        with pytest.raises(URLError):
            urlopen(address, timeout=2)


def test_a_token_is_printed_and_needed_on_all_addresses(tmp_path: Path) -> None:
    with served(f"sqlite:///{tmp_path / 'r.sqlite'}", "--host", "0.0.0.0") as (_, address):
        _, _, token = address.partition("?token=")
        assert len(token) >= 24
        port = address.split(":")[2].split("/")[0]
        here = f"http://127.0.0.1:{port}/state"
        with pytest.raises(HTTPError, match="401"):
            urlopen(here)
        assert urlopen(Request(here, headers={"cookie": f"asapbench-{port}={token}"})).status == 200
