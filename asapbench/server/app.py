"""The application: the page at `/`, its newest content at `/update`, what is new at `/state`. All of it only reads."""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from asapbench.server.live_page import Body, LivePage

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_COOKIE_SECONDS = 30 * 86_400


@cache
def script() -> str:
    """What the page runs beside its own script while it is served."""
    return files("asapbench.server").joinpath("live.js").read_text(encoding="utf-8")


def make_app(page: LivePage, *, hosts: Sequence[str] = LOCAL_HOSTS, token: str | None = None) -> Starlette:
    """The application. It answers requests for `hosts` alone ("*": for any) and, with a token, those that have it."""
    server = _Server(page)
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))]
    if token is not None:
        middleware.append(Middleware(_Token, token=token))
    routes = [
        Route("/", server.whole),
        Route("/update", server.update),
        Route("/state", server.state),
    ]
    return Starlette(routes=routes, middleware=middleware)


@dataclass(frozen=True)
class _Server:
    page: LivePage

    async def whole(self, request: Request) -> Response:
        """The page; before there is one, a page that waits for it."""
        state = await self.page.current(patient=True)
        if state.content is None:
            text = _waiting(state.problem or "The database is being read.")
            return Response(text, 503, _HEADERS | {"cache-control": "no-store"}, media_type="text/html")
        return await _answer(request, state.content.version, state.content.page)

    async def update(self, request: Request) -> Response:
        """The page without what a browser that shows it has already."""
        state = await self.page.current()
        if state.content is None:
            return PlainTextResponse(state.problem or "The database is being read.", 503, _HEADERS)
        return await _answer(request, state.content.version, state.content.update)

    async def state(self, request: Request) -> Response:
        """The version of the page, how many seconds ago it was made, and why it is not newer, if something fails."""
        state = await self.page.current()
        content = state.content
        return JSONResponse(
            {
                "version": None if content is None else content.version,
                "made": None if content is None else round(time.time() - content.made, 1),
                "problem": state.problem,
            },
            headers=_HEADERS | {"cache-control": "no-store"},
        )


async def _answer(request: Request, version: str, body: Body) -> Response:
    """The body, or 304 where the browser has it; compressed where it takes that."""
    headers = _HEADERS | {"etag": f'W/"{version}"', "vary": "accept-encoding"}
    if f'"{version}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        zipped = await asyncio.to_thread(lambda: body.zipped)  # 0.15 s, in which others are answered
        return Response(zipped, media_type="text/html", headers=headers | {"content-encoding": "gzip"})
    return Response(body.text, media_type="text/html", headers=headers)


def _waiting(text: str) -> str:
    """A page with a sentence alone. Its script loads the page when there is one."""
    digest = b64encode(sha256(script().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src 'self'"
    look = files("asapbench.report").joinpath("templates/look.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>asapbench</title>
<style>{look}</style>
</head>
<body class="alone">
<main id="main" data-waiting><h1>Nothing to show yet</h1><p id="reason">{escape(text)}</p></main>
<script>{script()}</script>
</body>
</html>
"""


class _Token:
    """Answers only requests that have the token: in the address once, then in a cookie."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer, one request."""
        from starlette.requests import Request

        if scope["type"] != "http":  # the start of the server
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        name = f"asapbench-{request.url.port or 80}"  # cookies do not distinguish ports
        if self._is_right(request.query_params.get("token")):
            response: ASGIApp = _with_cookie(request, name, self._token)
        elif self._is_right(request.cookies.get(name)):
            response = self._app
        else:
            text = "A token is needed: open the address that `asapbench serve` printed."
            response = PlainTextResponse(text, 401, _HEADERS)
        await response(scope, receive, send)

    def _is_right(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())


def _with_cookie(request: Request, name: str, token: str) -> Response:
    """The same address without the token, so that it stays out of histories. `//NAME` would lead to another host."""
    url = request.url.remove_query_params("token")
    path = "/" + url.path.lstrip("/\\")
    response = RedirectResponse(f"{path}?{url.query}".rstrip("?"), 303, _HEADERS | {"cache-control": "no-store"})
    response.set_cookie(name, token, max_age=_COOKIE_SECONDS, httponly=True, samesite="strict")
    return response
