"""The server renders where the database has changed, shows what it cannot read, and answers who may ask alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

pytest.importorskip("httpx", reason='httpx is not installed: pip install -e ".[test]"')
from starlette.testclient import TestClient

from asapbench.errors import StoreError
from asapbench.server import live_page
from asapbench.server.app import LOCAL_HOSTS, make_app
from asapbench.server.live_page import LivePage

LOCAL = "http://127.0.0.1:8617"
CONSTANT = "<script>large</script>"
PATIENT = 60.0
"""Seconds: longer than anything here takes."""


@dataclass
class Database:
    """A database that a test changes; its pages."""

    state: str = "1"
    fault: Exception | None = None
    said: list[str] = field(default_factory=list)

    def mark(self) -> str:
        if self.fault is not None:
            raise self.fault
        return self.state

    def render(self) -> str:
        return f"<html><head></head><body><h1>State {self.state}</h1>{CONSTANT}</body></html>"

    def page(self) -> LivePage:
        return LivePage(self.mark, self.render, constant=CONSTANT, say=self.said.append)


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(live_page, "_REST", 0.0)
    monkeypatch.setattr(live_page, "_PATIENCE_SECONDS", PATIENT)


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def page(database: Database) -> LivePage:
    return database.page()


@pytest.fixture
def client(page: LivePage) -> Iterator[TestClient]:
    with TestClient(make_app(page), base_url=LOCAL) as opened:
        yield opened


def settled(client: TestClient, wanted: Callable[[dict], bool]) -> dict:
    """The first state that is as wanted: a look at the database may be under way when it is asked for."""
    deadline = time.monotonic() + PATIENT
    while not wanted(state := client.get("/state").json()):
        assert time.monotonic() < deadline, state
        time.sleep(0.01)
    return state


def test_the_page_is_rendered_again_only_where_the_database_has_changed(client, database, page) -> None:
    assert "State 1" in client.get("/").text
    version = client.get("/state").json()["version"]
    for _ in range(10):
        client.get("/")
    assert page.renderings == 1
    database.state = "2"
    assert settled(client, lambda state: state["version"] != version)["problem"] is None
    assert "State 2" in client.get("/").text
    assert page.renderings == 2


def test_ten_browsers_cost_one_rendering(client, database, page) -> None:
    started, go = threading.Event(), threading.Event()
    render = page.render

    def slow() -> str:
        started.set()
        go.wait(PATIENT)
        return render()

    page.render = slow
    texts: list[str] = []
    browsers = [threading.Thread(target=lambda: texts.append(client.get("/").text)) for _ in range(10)]
    for browser in browsers:
        browser.start()
    assert started.wait(PATIENT)
    go.set()
    for browser in browsers:
        browser.join()
    assert page.renderings == 1
    assert all("State 1" in text for text in texts)
    assert len(texts) == 10


def test_a_browser_gets_what_it_has_not_and_nothing_where_it_has_all(client) -> None:
    whole = client.get("/")
    update = client.get("/update")
    assert CONSTANT in whole.text
    assert update.text == whole.text.replace(CONSTANT, "")
    same = client.get("/update", headers={"if-none-match": update.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert whole.headers["content-encoding"] == "gzip"
    plain = client.get("/", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == whole.text


def test_what_cannot_be_read_is_said_and_the_last_page_stays(client, database) -> None:
    client.get("/")
    database.fault = StoreError("r.sqlite is locked by another process")
    problem = settled(client, lambda state: state["problem"] is not None)
    assert problem["problem"] == "r.sqlite is locked by another process"
    assert "State 1" in client.get("/").text
    database.fault, database.state = None, "3"
    settled(client, lambda state: state["problem"] is None)
    assert "State 3" in client.get("/").text
    assert database.said == [
        "r.sqlite is locked by another process; trying again",
        "The database can be read again.",
    ]


def test_a_database_that_is_not_there_yet_is_waited_for(client, database) -> None:
    database.fault = StoreError("no database at <b>r.sqlite</b>: run a suite first")
    waiting = client.get("/")
    assert waiting.status_code == 503
    assert "no database at &lt;b&gt;r.sqlite&lt;/b&gt;: run a suite first" in waiting.text
    assert client.get("/update").status_code == 503
    database.fault = None
    settled(client, lambda state: state["version"] is not None)
    assert "State 1" in client.get("/").text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_page_is_shown_and_the_server_lives(client, page, caplog) -> None:
    render, page.render = page.render, lambda: str(1 / 0)
    assert "the page cannot be made: ZeroDivisionError: division by zero" in client.get("/").text
    assert "Traceback" in caplog.text
    page.render = render
    assert "State 1" in settled_page(client)


def settled_page(client: TestClient) -> str:
    settled(client, lambda state: state["version"] is not None)
    return client.get("/").text


def test_the_server_rests_longer_after_a_slow_rendering(client, page, monkeypatch) -> None:
    monkeypatch.setattr(live_page, "_REST", 1e9)
    client.get("/")
    page.mark = lambda: "another"
    for _ in range(5):
        client.get("/state")
    assert page.renderings == 1


@pytest.mark.parametrize("host", ["127.0.0.1:8617", "localhost:9000", "localhost", "[::1]:8617"])
def test_this_machine_is_answered_by_its_names(host: str, client) -> None:
    assert client.get("/state", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8617", "127.0.0.1.evil.example", ""])
def test_another_name_for_this_machine_is_refused(host: str, client) -> None:
    """A page of another site that lets its own name mean 127.0.0.1 reads nothing (DNS rebinding)."""
    assert client.get("/", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(method: str, client) -> None:
    assert client.request(method, "/").status_code == 405


def test_other_sites_may_not_show_or_load_the_page(client) -> None:
    headers = client.get("/").headers
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["//evil.example/", "///evil.example/", "/%5Cevil.example/", "/%2Fevil.example/"])
def test_the_right_token_leads_to_no_other_host(page, path: str) -> None:
    app = make_app(page, hosts=("*",), token="secret")
    with TestClient(app, base_url="http://node7:8617") as client:
        answer = client.get(f"http://node7:8617{path}?token=secret", follow_redirects=False)
        assert answer.headers["location"][:2] not in ("//", "/\\")


def test_with_a_token_nothing_is_shown_without_it(page) -> None:
    app = make_app(page, hosts=("*",), token="secret")
    with TestClient(app, base_url="http://node7:8617") as client:
        for path in ("/", "/update", "/state", "/?token=wrong", "/?token=", "/?token=secre", "/nothing"):
            refused = client.get(path)
            assert refused.status_code == 401
            assert "State" not in refused.text
        assert client.get("/", headers={"cookie": "asapbench-8617=wrong"}).status_code == 401
        moved = client.get("/?token=secret", follow_redirects=False)
        assert (moved.status_code, moved.headers["location"]) == (303, "/")
        assert "HttpOnly" in moved.headers["set-cookie"]
        assert "SameSite=strict" in moved.headers["set-cookie"]
        assert "State 1" in client.get("/").text
        assert client.get("/state").status_code == 200
    assert "testserver" not in LOCAL_HOSTS
