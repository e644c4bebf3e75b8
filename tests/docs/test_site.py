"""The documentation site: built without a warning, complete on disk, with no broken link."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import Opened, chromium, until
from documentation import DOCS
from generated import as_markdown, commands, suites
from small_runs import made_once

from asapbench.cli import COMMANDS
from asapbench.suite.catalog import RULES
from asapbench.suite.load import shipped


class Page(HTMLParser):
    """The anchors of a page, what its links lead to, and the files that it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.loads = {""}, set[str](), set[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src", "data", "poster", "srcset") and value:
                (self.links if tag == "a" else self.loads).add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("furo", reason="needs the extra docs")
    pytest.importorskip("myst_parser", reason="needs the extra docs")
    return made_once(tmp_path_factory, "site", build)


def build(folder: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", str(DOCS), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (ran.returncode, ran.stderr) == (0, "")


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def leads_nowhere(pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for link in page.links | page.loads:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{path.name}: {link}: no such file"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{path.name}: {link}: no such anchor"


@pytest.mark.slow
def test_no_link_of_the_site_is_broken(site: Path) -> None:
    assert list(leads_nowhere(pages(site))) == []


@pytest.mark.slow
def test_the_site_loads_nothing_from_a_network(site: Path) -> None:
    remote = re.compile(r"^(https?:)?//")
    loaded = {f"{path.name}: {load}" for path, page in pages(site).items() for load in page.loads if remote.match(load)}
    sheets = {p: p.read_text(encoding="utf-8") for p in site.rglob("*.css")}
    imported = {p.name: re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)]*)", text) for p, text in sheets.items()}
    assert loaded == set()
    assert {name: found for name, found in imported.items() if found} == {}


@pytest.mark.slow
def test_a_browser_shows_the_site_from_disk(site: Path) -> None:
    with chromium() as browser:
        for width in (400, 1000, 1400, 1560):
            for name in ("index", "first_steps", "commands", "options", "rules/asap", "api"):
                opened = Opened(browser, site / f"{name}.html", width=width)
                assert opened.page.evaluate("document.documentElement.scrollWidth") <= width, name
                assert opened.faults == [], name
        found = Opened(browser, site / "search.html", query="q=postgresql")
        until(found.page, "document.querySelectorAll('#search-results li').length > 5")
        assert found.faults == []
        formulas = Opened(browser, site / "rules" / "asap.html").page.locator("math")
        assert formulas.count() > 5
        assert formulas.locator("mfrac").first.bounding_box()["height"] > 20, "a fraction is drawn as one"


def test_every_rule_has_a_page_that_asks_for_its_facts() -> None:
    overview = (DOCS / "rules.md").read_text(encoding="utf-8")
    for rule in RULES:
        assert f"(rules/{rule}.md)" in overview
        text = (DOCS / "rules" / f"{rule}.md").read_text(encoding="utf-8")
        assert f"```{{rule}} {rule}\n```" in text
        assert "$$" in text, f"{rule} has an equation"
    assert {path.stem for path in (DOCS / "rules").glob("*.md")} == set(RULES)


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    trees = re.findall(r"```\{toctree\}\n(.*?)```", listed, re.DOTALL)
    named = {line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")}
    assert {path.stem for path in DOCS.glob("*.md")} - named == {"index"}


def test_the_generated_parts_name_every_suite_and_a_commands_options() -> None:
    assert all(f"## {name}\n" in suites() for name in shipped())
    assert "### analyze memory\n" in commands()
    assert re.findall(r"^## (.+)", commands(), re.MULTILINE) == list(COMMANDS), "the groups of --help"
    assert "| `--only KEY=VALUE[,VALUE]` |" in commands()


def test_signs_of_a_docstring_stay_as_they_are() -> None:
    assert as_markdown("a_1 * `b_1` <x>\n\n    c_1 * d") == "a\\_1 \\* `b_1` \\<x>\n\n    c_1 * d"
