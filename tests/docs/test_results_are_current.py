"""README's and docs/results.md's tables and figures are what the measured results give: `just results` writes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documentation import ROOT  # first: it makes docs/ext importable
from measured_results import DOCUMENTS, RESULTS, figures, made, with_every_suite, with_results

FIGURES = list(dict.fromkeys(found for path in DOCUMENTS for found in figures(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_tables_are_current(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert "<!-- end of the table -->" in text
    assert with_results(text) == text, "update them: just results"


@pytest.mark.parametrize(("file", "command"), FIGURES, ids=lambda value: getattr(value, "name", ""))
def test_the_figures_are_current(file: Path, command: str) -> None:
    drawn, kept = (data.decode() for data in (made(command, ending=file.suffix), file.read_bytes()))
    same_program = re.search(r"Matplotlib v[\d.]+", drawn)[0] in kept
    of = str if same_program else lambda svg: re.findall(r"<text[^>]*>(.*?)</text>", svg)
    assert of(drawn) == of(kept), "update them: just results"


def test_every_figure_is_shown() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    drawn = {file for file, _ in FIGURES}
    assert {ROOT / "docs" / path for path in re.findall(r"static/\w+\.svg|static/measured/\w+\.svg", text)} == drawn
    assert set((ROOT / "docs" / "static").rglob("*.svg")) == drawn


def test_every_suite_has_a_table() -> None:
    text = RESULTS.read_text(encoding="utf-8")
    assert with_every_suite(text) == text, "update them: just results"


def test_a_suite_that_the_page_lacks_gets_a_section_at_the_end() -> None:
    text = RESULTS.read_text(encoding="utf-8").replace(" --suite quickstart ", " --suite another ")
    added = with_every_suite(text)
    table = "<!-- asapbench report --suite quickstart --measured -->\n<!-- end of the table -->"
    assert f"\n## Quickstart: 8x8 digits\n\n{table}\n\n<!-- " in added
    assert "--measured --out docs/static/measured/quickstart.svg -->\n![" in added
    assert added.index(table) < added.index("<!-- Sections of further suites") < added.index("{document}")
    assert with_every_suite(added) == added


def test_what_a_person_wrote_stays() -> None:
    start, end = (
        "By hand.\n\n<!-- asapbench report --suite cifar10 --measured -->\n",
        "<!-- end of the table -->\n\nToo.\n",
    )
    found = with_results(f"{start}old\n{end}")
    assert found.startswith(f"{start}\n**CIFAR-10 (suite cifar10)**\n")
    assert found.endswith(f"\n\n{end}")
    assert "old" not in found
    assert with_results(found) == found
