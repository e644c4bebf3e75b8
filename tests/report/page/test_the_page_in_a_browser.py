"""The page in Chromium: nothing fails, nothing leaves the file, and keyboard, phone, dark scheme and print work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import Opened, chromium, until
from page_results import an_epoch, claimed, of_rules, with_results

from asapbench.report.page import page
from asapbench.report.quantity import Numbers
from asapbench.report.statistics import Spread
from asapbench.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, trained: str) -> Path:
    path = tmp_path_factory.mktemp("html") / "page.html"
    path.write_text(page(trained), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_fails_and_no_request_leaves_the_file(browser, path: Path, width: int, scheme: str) -> None:
    opened = Opened(browser, path, width=width, scheme=scheme)
    opened.see_everything()
    assert opened.page.locator(".plot svg.main-svg").count() > 5
    assert opened.faults == []
    buttons = opened.page.evaluate("[...document.querySelectorAll('.modebar-btn')].map((one) => one.dataset.title)")
    assert set(buttons) == {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}


def test_a_phone_does_not_scroll_sideways(browser, path: Path) -> None:
    opened = Opened(browser, path, width=400)
    opened.see_everything()
    for details in opened.page.locator("details").all():
        details.evaluate("(one) => { one.open = true; }")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 400
    wide = opened.page.evaluate(
        "[...document.querySelectorAll('.scroll')].some((box) => box.scrollWidth > box.clientWidth)"
    )
    assert wide, "no table scrolls inside its box: the test shows nothing"


def test_filters_work_by_keyboard_and_say_what_is_left(browser, path: Path) -> None:
    opened = Opened(browser, path).page
    learning = opened.locator("#learning")
    status = learning.get_by_role("status")
    assert status.inner_text().endswith("Shown: 3 of 3.")
    learning.get_by_role("checkbox", name="BP").focus()
    opened.keyboard.press("Space")
    assert status.inner_text().endswith("Shown: 2 of 3.")
    learning.get_by_label("Show", exact=True).focus()
    opened.keyboard.press("ArrowDown")
    assert "Cross-entropy in nats" in status.inner_text()
    learning.locator("details.numbers summary").focus()
    opened.keyboard.press("Enter")
    rows = learning.locator("details.numbers tbody tr")
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == ["FA (diverged)", "ASAP"]


def test_the_numbers_of_a_chart_are_those_of_the_database(browser, path: Path) -> None:
    opened = Opened(browser, path).page
    opened.locator("#learning details.numbers summary").click()
    row = opened.locator("#learning details.numbers tbody tr").first.inner_text().split("\t")
    assert row == ["BP", "n = 3", "91.10 ± 0.10", "92.10 ± 0.10"]


def test_validation_accuracy_is_in_the_menu_beside_test_accuracy(browser, swept: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(swept, numbers=Numbers(spread=Spread.RANGE)), encoding="utf-8")
    opened = Opened(browser, file)
    learning = opened.page.locator("#learning")
    assert learning.get_by_label("Show", exact=True).locator("option").all_inner_texts()[:2] == [
        "Test accuracy",
        "Validation accuracy",
    ]
    learning.get_by_label("Show", exact=True).select_option("Validation accuracy")
    opened.see_everything()
    assert "held out for validation" in learning.get_by_role("status").inner_text()
    assert learning.get_by_role("status").inner_text().endswith("Shown: 4 of 5.")
    learning.locator("details.numbers summary").click()
    row = learning.locator("details.numbers tbody tr").first.inner_text().split("\t")
    assert row == ["BP, lr 0.01", "n = 2", "29.50 (29.00 to 30.00)", "90.50 (90.00 to 91.00)"]
    assert learning.locator(".plot .scatterlayer .js-fill").count() == 4
    assert opened.faults == []


def test_cells_are_found_by_a_search_and_a_state(browser, path: Path, cells: list[Cell]) -> None:
    opened = Opened(browser, path).page
    opened.get_by_label("Search").fill(f"{cells[1].short} resnet")
    until(opened, "document.getElementById('cell-status').textContent.startsWith('Shown: 1 of 12')")
    opened.get_by_label("Search").fill("")
    opened.get_by_label("State").select_option("diverged")
    until(opened, "document.getElementById('cell-status').textContent.startsWith('Shown: 3 of 12')")
    assert opened.locator("#cell-table tbody tr:visible").count() == 3


def test_a_search_reads_names_and_not_commands(browser, path: Path, cells: list[Cell]) -> None:
    opened = Opened(browser, path).page
    opened.get_by_label("Search").fill("asap")
    wanted = sum(cell.rule.name == "asap" for cell in cells)
    until(opened, f"document.getElementById('cell-status').textContent.startsWith('Shown: {wanted} of 12')")


def test_a_title_with_dollar_signs_is_drawn_as_it_is(browser, path: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.html"
    before, data, after = re.split(r"(?<=id=\"data\">)(.*?)(?=</script>)", path.read_text(encoding="utf-8"), maxsplit=1)
    assert '"BP"' in data
    odd.write_text(before + data.replace('"BP"', '"$x_1$ & <b>"') + after, encoding="utf-8")
    opened = Opened(browser, odd)
    opened.see_everything()
    assert opened.faults == []
    for chart in ("learning", "speed"):
        texts = opened.page.locator(f"#{chart} svg text").all_text_contents()
        assert any("$x_1$ & <b>" in text for text in texts), chart


def test_curves_start_at_epoch_1_and_remarks_with_a_capital(browser, tmp_path: Path) -> None:
    cells = of_rules("bp")
    with Store.open(with_results(f"sqlite:///{tmp_path}/x.sqlite", [])) as store:
        store.record_suite("quickstart", "quickstart.toml", cells, text=load("quickstart").text)
        for cell, rate in zip(cells, (0.1, 0.2, 0.3), strict=True):
            one = replace(cell, lr=rate)
            store.record_suite("rates", "rates.toml", [one], text="")
            claim = claimed(store, one)
            store.record_epochs(claim, [an_epoch(number, 0.9) for number in range(1, 21)])
            store.finish(claim, "done")
    file = tmp_path / "page.html"
    file.write_text(page(f"sqlite:///{tmp_path}/x.sqlite"), encoding="utf-8")
    opened = Opened(browser, file)
    opened.see_everything()
    ticks = opened.page.locator("#learning .xtick text").all_text_contents()
    assert ticks[0] != "0"
    assert ticks[-1] == "20"
    assert "lr" in opened.page.locator("#learning label").all_text_contents()
    for status in opened.page.get_by_role("status").all():
        text = status.inner_text()
        assert text == "" or text[0].isupper(), text


def test_a_command_is_copied(browser, path: Path) -> None:
    opened = Opened(browser, path).page
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row = opened.locator("#cell-table tbody tr").first
    row.get_by_role("button").click()
    until(opened, "document.getElementById('announce').textContent === 'Copied'")
    assert opened.evaluate("navigator.clipboard.readText()") == row.locator("code").inner_text().replace("\n", " ")


def test_charts_follow_the_colour_scheme(browser, path: Path) -> None:
    opened = Opened(browser, path).page
    ink = "getComputedStyle(document.querySelector('#learning .xtick text')).fill"
    opened.locator("#learning").scroll_into_view_if_needed()
    opened.wait_for_selector("#learning .xtick text")
    light = opened.evaluate(ink)
    opened.emulate_media(color_scheme="dark")
    until(opened, f"{ink} !== {light!r}")


def test_print_has_every_chart_and_no_control(browser, path: Path, tmp_path: Path) -> None:
    opened = Opened(browser, path, scheme="dark").page
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.emulate_media(media="print")
    assert opened.evaluate("[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('svg'))")
    widths = opened.evaluate("[...document.querySelectorAll('.plot svg.main-svg')].map((svg) => svg.clientWidth)")
    assert max(widths) <= 680
    assert opened.locator("button:visible, select:visible, nav:visible").count() == 0


def test_names_of_other_people_do_not_run(browser, tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
    cells = of_rules("bp", "asap", "kp")
    source = (
        f'[suite]\nname = "quickstart"\ntitle = """{evil}"""\n[defaults]\ndataset = "digits"\nlr = 0.1\nepochs = 2\n'
    )
    url = with_results(
        f"sqlite:///{tmp_path}/evil.sqlite", cells, text=source + '[[grid]]\nrule = "bp"\nmodel = "mlp"\n'
    )
    path = tmp_path / "evil.html"
    path.write_text(page(url), encoding="utf-8")
    opened = Opened(browser, path)
    opened.see_everything()
    assert opened.faults == []
    assert opened.page.locator("img").count() == 0
    assert evil in opened.page.locator("h1").inner_text()
    assert "<b>no</b> kernel" in opened.page.locator("#failures").inner_text()
