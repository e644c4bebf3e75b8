"""Chromium shows newer results in place: position, filters, zoom, open parts and focus stay."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, until
from served_database import an_epoch, of_rules, started
from small_runs import environment

from asapbench.store import Claim, Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The process, its address, and the URL of the database, which does not exist yet."""
    url = f"sqlite:///{tmp_path / 'r.sqlite'}"
    command = [sys.executable, "-m", "asapbench", "serve", "--port", "0", "--db", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        yield process, process.stdout.readline().strip(), url
        process.kill()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab in which no script may fail."""
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    yield opened
    opened.close()
    assert faults == []


def value(tab: Any, expression: str) -> Any:
    return tab.evaluate(f"() => {expression}")


def epochs(store: Store, claims: list[Claim], number: int) -> None:
    for claim in claims:
        store.record_epochs(claim, [an_epoch(number, 0.5 + 0.02 * number)])


POINTS = "document.querySelector('#learning .plot').data.at(-1).x.length"
TABLE = "document.querySelector('#cell-table tbody').textContent"
TOP = "Math.round(document.getElementById('cells').getBoundingClientRect().top)"


def test_newer_results_appear_in_place(server, tab) -> None:
    process, address, url = server
    tab.goto(address)
    assert "no database at" in tab.inner_text("main")
    cells = of_rules("bp", "asap")
    with Store.open(url) as store:
        claims = started(store, cells)
        for number in (1, 2, 3):
            epochs(store, claims, number)
        tab.wait_for_selector("#learning .plot .nsewdrag", timeout=120_000)
        until(tab, f"{TABLE}.split('3 of ').length === 1 + {len(cells)}")  # nothing new comes while the reader sets
        assert value(tab, "scrollY") == 0

        # What a reader sets: a quantity, a rule that is not shown, a zoom, the focus
        tab.select_option("#learning select", label="Test loss")
        tab.uncheck("#learning .choice:has-text('BP') input")
        tab.locator("#learning .plot").scroll_into_view_if_needed()
        box = tab.locator("#learning .plot .nsewdrag").bounding_box()
        tab.mouse.move(box["x"] + 100, box["y"] + 50)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 300, box["y"] + 51, steps=5)
        tab.mouse.up()
        zoom = value(tab, "document.querySelector('#learning .plot').layout.xaxis.range")
        value(tab, "{ window.isTheSame = true; }")
        points = value(tab, POINTS)
        epochs(store, claims, 4)
        until(tab, f"{POINTS} > {points}")
        assert value(tab, "document.querySelector('#learning .plot').layout.xaxis.range") == zoom
        assert value(tab, "document.querySelector('#learning select').selectedOptions[0].text") == "Test loss"
        assert not tab.is_checked("#learning .choice:has-text('BP') input")

        # The list of cells: what was searched, the cursor, an open part, the position
        tab.locator("#cells").scroll_into_view_if_needed()
        value(tab, "document.getElementById('cells').scrollIntoView({ behavior: 'instant' })")
        tab.fill("#cell-search", cells[0].short)
        tab.press("#cell-search", "ArrowLeft")
        until(tab, "document.getElementById('cell-status').textContent.startsWith('Shown: 1 of 6')")
        before, rows = value(tab, TOP), value(tab, TABLE)
        epochs(store, claims, 5)
        store.finish(claims[0], "done")
        until(tab, f"{TABLE} !== {rows!r}")
        assert abs(value(tab, TOP) - before) <= 2
        assert tab.input_value("#cell-search") == cells[0].short
        assert value(tab, "[document.activeElement.id, document.activeElement.selectionStart]") == ["cell-search", 9]
        assert value(tab, "document.getElementById('cell-status').textContent").startswith("Shown: 1 of 6")
        assert value(tab, "window.isTheSame"), "the page was loaded again"

        # Text that is selected stays so; the update follows
        rows = value(tab, TABLE)
        value(tab, "getSelection().selectAllChildren(document.querySelector('#cells .lead'))")
        epochs(store, claims[1:], 6)
        until(tab, "document.querySelector('.live .age').textContent.startsWith('Waits while you select')")
        assert value(tab, "getSelection().toString()").startswith("Each command trains its cell again")
        value(tab, "getSelection().empty()")
        until(tab, f"{TABLE} !== {rows!r}")

        # A rule that was not there before gets a box; the others keep what was chosen
        (claim,) = started(store, of_rules("fa")[:1])
        store.record_epochs(claim, [an_epoch(1)])
        tab.wait_for_selector("#learning .choice:has-text('FA') input:checked", timeout=120_000)
        assert not tab.is_checked("#learning .choice:has-text('BP') input")
        assert value(tab, "document.querySelector('#learning select').selectedOptions[0].text") == "Test loss"

        # Paused: nothing changes until it is resumed
        tab.click(".live button")
        rows = value(tab, TABLE)
        epochs(store, claims[1:], 7)
        tab.wait_for_timeout(6_000)
        assert value(tab, TABLE) == rows
        assert tab.inner_text(".live .age").startswith("Paused")
        tab.click(".live button")
        until(tab, f"{TABLE} !== {rows!r}")
    file = Path(url.removeprefix("sqlite:///"))
    file.rename(file.with_name("moved.sqlite"))
    until(tab, "document.querySelector('.live .age').textContent.startsWith('no database at')")
    assert "no database at" in value(tab, "document.querySelector('.live [role=status]').textContent")
    file.with_name("moved.sqlite").rename(file)
    until(tab, "document.querySelector('.live .age').textContent.startsWith('Live')")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    until(tab, "document.querySelector('.live .age').textContent.startsWith('The server does not answer')")
    assert tab.locator("#cells tbody tr").count() > 0


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (lambda tab: tab.mouse.down(), lambda tab: tab.mouse.up()),
        (lambda tab: tab.click(".live button"), lambda tab: tab.click(".live button")),
    ],
    ids=["a hand drags", "paused"],
)
def test_an_update_that_is_under_way_waits_too(begin, end, server, tab) -> None:
    """It was asked for before the hand came down, or before the button was pressed."""
    _, address, url = server
    answers: list[Any] = []

    def hold(route: Any) -> None:
        answers.append(route)

    with Store.open(url) as store:
        claims = started(store, of_rules("bp")[:1])
        epochs(store, claims, 1)
        tab.goto(address)
        tab.wait_for_selector("#learning .plot .nsewdrag", timeout=120_000)
        rows = value(tab, TABLE)
        tab.route("**/update", hold)
        epochs(store, claims, 2)
        while not answers:
            tab.wait_for_timeout(50)
        begin(tab)
        with tab.expect_response("**/update"):
            answers[0].continue_()
        tab.unroute("**/update")
        tab.wait_for_timeout(500)
        assert value(tab, TABLE) == rows
        end(tab)
        until(tab, f"{TABLE} !== {rows!r}")
