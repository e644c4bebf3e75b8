"""Every key of a suite and every option of the catalog is described; every suite in the documents can be loaded."""

from __future__ import annotations

import re
import tomllib

import pytest
from documentation import DOCUMENTS, OPTIONS, PAGES, SUITES, blocks, with_tables

from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import plain
from asapbench.suite.grid import KEYS
from asapbench.suite.load import _SUITE_KEYS, parse, shipped
from asapbench.suite.recipe import RECIPE
from asapbench.suite.select import choose, only

SHOWN = [(path.name, text) for path in DOCUMENTS for text in blocks(path, "toml")]
SUITES_TEXT, OPTIONS_TEXT = SUITES.read_text(encoding="utf-8"), OPTIONS.read_text(encoding="utf-8")
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)


@pytest.mark.parametrize("text", [SUITES_TEXT, OPTIONS_TEXT], ids=["suites", "options"])
def test_the_tables_are_the_catalogs(text: str) -> None:
    assert with_tables(text) == text, "update them: python tests/docs/documentation.py"


@pytest.mark.parametrize("key", [*_SUITE_KEYS, *KEYS])
def test_a_key_has_a_row(key: str) -> None:
    assert f"\n| `{key}` |" in SUITES_TEXT


@pytest.mark.parametrize("kind", CATALOG)
def test_every_entry_and_option_has_a_row(kind: str) -> None:
    start = OPTIONS_TEXT.index(f"<!-- table: {kind}_options -->")
    table = OPTIONS_TEXT[start : OPTIONS_TEXT.index("<!-- end of table -->", start)]
    for entry in CATALOG[kind].values():
        assert f"`{entry.name}`" in table
        for option in (option for option in entry.options if option.is_given):
            assert f"| `{option.name}` |" in table


def test_every_shipped_suite_is_named() -> None:
    assert [name for name in shipped() if f"`{name}`" not in TEXT] == []


@pytest.mark.parametrize(("document", "text"), [pair for pair in SHOWN if "plugins" not in pair[1]])
def test_a_suite_in_a_document_can_be_loaded(document: str, text: str) -> None:
    assert parse(text, source=document).cells


def test_the_first_suite_has_as_many_cells_as_it_says() -> None:
    suite = parse(blocks(SUITES, "toml")[0], source="page")
    assert re.search(r"with 3 seeds, (\d+) cells", SUITES_TEXT)[1] == "36"
    assert sum(cell.validation == 0 for cell in suite.cells) == 36
    assert sum(cell.validation == 200 for cell in suite.cells) == 9


@pytest.mark.parametrize("table", [f"{{ {inner} }}" for inner in re.findall(r"= \{ (name = [^}]*) \}`", TEXT)])
def test_an_option_table_in_the_running_text_is_right(table: str) -> None:
    value = tomllib.loads(f"x = {table}")["x"]
    kind = next(kind for kind in CATALOG if value["name"] in CATALOG[kind])
    CATALOG[kind][value["name"]].choose({key: v for key, v in value.items() if key != "name"})


def test_only_and_set_take_the_keys_that_the_page_says() -> None:
    cells = parse(blocks(SUITES, "toml")[0], source="page").cells
    for key in (*RECIPE, "lr", "seed"):
        assert only(cells, [f"{key}={plain(getattr(cells[0], key))}"])
    assert only(cells, ["rule=asap", "rule.k=1", f"cell={only(cells, ['rule.k=1'])[0].short}"])
    for setting in ("lr=0.1", "optimizer=adam", "rule.k=4", "epochs=2", "precision=bf16"):
        assert choose([cells], settings=[setting])[0]
