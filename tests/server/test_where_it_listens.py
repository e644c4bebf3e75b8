"""The address, the token and the port of `asapbench serve`."""

from __future__ import annotations

import socket

import pytest
from in_process import asapbench
from starlette.testclient import TestClient

from asapbench.errors import AsapbenchError
from asapbench.server.app import make_app
from asapbench.server.live_page import LivePage
from asapbench.server.serving import Place, address, listening


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("node7", False),
    ],
)
def test_a_token_is_made_where_other_machines_reach_the_address(host: str, is_local: bool) -> None:
    place = Place(host=host)
    assert place.is_local is is_local
    made = place.wanted_token()
    assert (made is None) is is_local
    assert made is None or len(made) >= 24
    assert made is None or made != place.wanted_token()
    assert Place(host=host, token="mine").wanted_token() == "mine"


def test_a_port_that_is_taken_is_one_error_with_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AsapbenchError, match=rf"--port {port}: another program listens there; .*--port 0"):
            listening(Place(port=port))


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_one_error(host: str) -> None:
    said = asapbench("serve", "--host", host)
    assert said.status == 2
    assert said.err.startswith(f"error: --host {host} --port 8617: ")
    assert said.err.count("\n") == 1


def test_port_0_is_printed_as_the_port_that_was_taken() -> None:
    with listening(Place(port=0)) as taken:
        port = taken.getsockname()[1]
    assert port > 0
    assert address(Place(), port, None) == f"http://127.0.0.1:{port}/"
    assert address(Place(host="::1"), port, None) == f"http://[::1]:{port}/"
    assert address(Place(host="0.0.0.0"), port, "t") == f"http://{socket.gethostname()}:{port}/?token=t"


@pytest.mark.parametrize("token", ["a+b", "a&b#c", "100%", "two words", 'a;b,c"d', "grün"])
def test_the_printed_address_opens_the_page_whatever_the_token(token: str) -> None:
    app = make_app(_page(), hosts=("*",), token=token)
    with TestClient(app, base_url="http://node7:8617") as client:
        assert client.get(address(Place(host="node7"), 8617, token)).text == "a page"
        assert client.get("/").text == "a page"


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "::1"])
def test_every_address_of_this_machine_that_is_served_is_answered(host: str) -> None:
    place = Place(host=host)
    with TestClient(make_app(_page(), hosts=place.answered), base_url="http://x") as client:
        opened = address(place, 8617, None)
        asked = opened.removeprefix("http://").removesuffix("/")
        assert client.get("/", headers={"host": asked}).text == "a page"
        assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def _page() -> LivePage:
    return LivePage(lambda: "1", lambda: "a page", constant="", say=print)
