"""Chromium for the slow tests: pages are files, and every request and message of a page is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "/usr/bin/chromium"
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENT_SECONDS = 120
"""A server on a busy machine rests for a while after it has rendered a page."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips the test where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason='playwright is not installed: pip install -e ".[peers]"'
    )
    if not os.path.exists(CHROMIUM):
        pytest.skip(f"no {CHROMIUM}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        yield browser
        browser.close()


def until(page: Any, expression: str) -> None:
    """Waits for a condition. Playwright's own wait needs `eval`, which the page forbids."""
    end = time.monotonic() + _PATIENT_SECONDS
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(50)


class Opened:
    """A page that is open in a window of `width`; `faults` has what the console and the network should not have."""

    def __init__(self, browser: Any, path: Path, *, width: int = 1400, scheme: str = "light", query: str = "") -> None:
        self.faults: list[str] = []
        self.page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        self.page.on("console", lambda said: self.faults.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._requested)
        self.page.goto(f"{path.as_uri()}?{query}" if query else path.as_uri())

    def _requested(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.faults.append(f"request: {request.url}")

    def see_everything(self) -> None:
        """Scrolls from the top to the end, so that every chart is drawn."""
        self.page.evaluate(
            """async () => {
                for (let y = 0; y < document.body.scrollHeight; y += 400) {
                    scrollTo(0, y);
                    await new Promise((done) => setTimeout(done, 60));
                }
            }"""
        )
        until(self.page, "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('svg'))")
