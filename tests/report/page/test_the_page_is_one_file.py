"""The page is one well-formed file that names nothing outside, and has a command for each cell."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser

import pytest

from asapbench.report.page import page
from asapbench.suite.cell import Cell

VOID = ("meta", "img", "br", "hr", "input", "link")
SCRIPT = re.compile(r"<script(?: type=\"text/plain\" id=\"plotly\")?>(.*?)</script>", re.DOTALL)


class Outline(HTMLParser):
    """The elements with their texts; fails where one ends that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.within: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(tag)
            self.within.append(self.found[-1][2])

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag, self.getpos()
        self.within.pop()

    def handle_data(self, data) -> None:
        for texts in self.within:
            texts.append(data)

    def named(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(texts)) for name, attributes, texts in self.found if name == tag]


@pytest.fixture(scope="module")
def html(trained: str) -> str:
    return page(trained)


@pytest.fixture(scope="module")
def outline(html: str) -> Outline:
    return Outline(html)


def test_ids_are_different_and_links_inside_lead_somewhere(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes, _ in outline.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = [attributes["href"] for attributes, _ in outline.named("a")]
    assert targets
    assert all(target.startswith("#") and target[1:] in ids for target in targets)
    for name in ("aria-labelledby", "aria-describedby"):
        assert {attributes[name] for _, attributes, _ in outline.found if name in attributes} <= set(ids)


def test_nothing_outside_the_file_is_named(outline: Outline) -> None:
    for _, attributes, _ in outline.found:
        assert not {"src", "srcset", "action", "background", "poster"} & set(attributes)
    assert outline.named("link") == []
    assert "@import" not in outline.named("style")[0][1]
    assert "url(" not in outline.named("style")[0][1]


def test_the_policy_forbids_the_network_and_names_each_script_by_its_digest(html: str, outline: Outline) -> None:
    (policy,) = [a["content"] for a, _ in outline.named("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src 'none'" in policy
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in SCRIPT.findall(html)]
    assert len(digests) == 2
    named = " ".join(f"'sha256-{one}'" for one in digests)
    assert f"script-src {named};" in policy


def test_headings_are_in_order(outline: Outline) -> None:
    levels = [int(tag[1]) for tag, _, _ in outline.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_landmarks_are_there(outline: Outline) -> None:
    assert [len(outline.named(tag)) for tag in ("main", "nav", "header", "footer")] == [1, 1, 1, 1]
    first = next(attributes for tag, attributes, _ in outline.found if tag == "a")
    assert first["href"] == "#main"


def test_every_cell_has_a_command_that_names_it(html: str, cells: list[Cell]) -> None:
    rows = html[html.index('id="cell-table"') :].split("<tr data-state")[1:]
    assert len(rows) == len(cells)
    for short in (cell.short for cell in cells):
        (row,) = [row for row in rows if f'<span class="id">{short}</span>' in row]
        assert re.search(r'<code class="command">asapbench (re)?run .*cell=', row)
    assert "need this database" not in html


def test_the_charts_hold_the_epochs(html: str) -> None:
    data = json.loads(html.split('id="data">')[1].split("</script>", maxsplit=1)[0])
    charts = {chart["id"]: chart for chart in data["charts"]}
    assert [len(item["v"][0]["m"]) for item in charts["learning"]["items"]] == [2, 1, 2]
    assert charts["learning"]["quantities"][0][0] == "Test accuracy"


def test_text_of_a_database_is_never_markup(outline: Outline) -> None:
    assert [attributes.get("id") for attributes, _ in outline.named("script")] == ["data", "plotly", None]
    (failures,) = [text for attributes, text in outline.named("section") if attributes.get("id") == "failures"]
    assert "RuntimeError: <b>no</b> kernel" in failures
    assert "<script>alert(1)</script> & the end of the log" in failures
    assert outline.named("b") == []
