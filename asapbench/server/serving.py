"""Listening: one socket, one process, until Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from asapbench.errors import AsapbenchError
from asapbench.report.quantity import USUAL, Numbers
from asapbench.server.app import LOCAL_HOSTS, make_app, script
from asapbench.server.live_page import LivePage

_TOKEN_BYTES = 18
_NICE = 10
"""How far the server steps back behind a run on the same machine, in Unix's steps of priority."""
_CLOSE_SECONDS = 1
"""How long Ctrl-C waits for answers that are being sent."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to listen. Port 0: any that is free. A token is needed on an address that other machines reach."""

    host: str = "127.0.0.1"
    port: int = 8617
    token: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the address."""
        if self.host == "localhost":
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    @property
    def answered(self) -> tuple[str, ...]:
        """The names of this machine to which requests are answered; `*`: any."""
        return (*LOCAL_HOSTS, self.host) if self.is_local else ("*",)

    def wanted_token(self) -> str | None:
        """The token, or a new one where one is needed; None: it is not."""
        return self.token or (None if self.is_local else secrets.token_urlsafe(_TOKEN_BYTES))


def serve(
    url: str,
    place: Place,
    *,
    suites: Sequence[str] = (),
    filters: Sequence[str] = (),
    numbers: Numbers = USUAL,
    say: Callable[[str], None],
    opens: bool = False,
) -> None:
    """Serve the page of the database at `url` until Ctrl-C. Raises AsapbenchError if it cannot listen at `place`."""
    import uvicorn

    if hasattr(os, "nice"):
        os.nice(_NICE)
    token = place.wanted_token()
    taken = listening(place)
    shown = address(place, taken.getsockname()[1], token)
    page = live_page_of(url, suites=suites, filters=filters, numbers=numbers, say=say)
    app = make_app(page, hosts=place.answered, token=token)
    say(f"{shown}\nCtrl-C ends it.")
    if opens:
        webbrowser.open(shown)
    config = uvicorn.Config(
        app, log_level="warning", lifespan="off", server_header=False, timeout_graceful_shutdown=_CLOSE_SECONDS
    )
    with suppress(KeyboardInterrupt):  # raised by uvicorn again, after its end
        uvicorn.Server(config).run(sockets=[taken])


def live_page_of(
    url: str,
    *,
    suites: Sequence[str] = (),
    filters: Sequence[str] = (),
    numbers: Numbers = USUAL,
    say: Callable[[str], None] = lambda _: None,
) -> LivePage:
    """The page of the database at `url`, which need not exist yet."""
    from asapbench.report.page import page
    from asapbench.report.page.document import plotly
    from asapbench.store import Store

    def mark() -> str:
        with Store.read_only(url) as store:
            return store.change_mark()

    def render() -> str:
        return page(url, suites=suites, filters=filters, numbers=numbers, script=script())

    return LivePage(mark, render, constant=plotly(), say=say)


def listening(place: Place) -> socket.socket:
    """The socket at `place`. Raises AsapbenchError where it cannot be had."""
    try:
        family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((place.host, place.port), family=family)
    except OSError as error:
        where = f"--host {place.host} --port {place.port}"
        fixes = {
            errno.EADDRINUSE: "another program listens there; choose another --port, or --port 0 for any that is free",
            errno.EACCES: "this user may not use that port; choose one from 1024 on, or --port 0",
            errno.EADDRNOTAVAIL: "this machine has no such address; choose 127.0.0.1, or 0.0.0.0 for all that it has",
        }
        reason = fixes.get(error.errno or 0, f"{error.strerror or error}; check the address")
        raise AsapbenchError(f"{where}: {reason}") from error
    except OverflowError as error:
        raise AsapbenchError(f"--port {place.port}: choose one from 0 to 65535") from error


def address(place: Place, port: int, token: str | None) -> str:
    """What to open. An address that means all of this machine's is printed as the machine's name."""
    host = place.host
    with suppress(ValueError):
        parsed = ipaddress.ip_address(host)
        host = socket.gethostname() if parsed.is_unspecified else f"[{host}]" if parsed.version == 6 else host
    return f"http://{host}:{port}/" + ("" if token is None else f"?token={quote(token, safe='')}")
