"""Every key of a suite and every option of the catalog is described; every suite in the documents can be loaded."""

from __future__ import annotations

import re
import tomllib

import pytest
from documentation import DOCUMENTS, GUIDE, blocks, with_tables

from asapbench.suite.catalog import CATALOG
from asapbench.suite.grid import KEYS
from asapbench.suite.load import _SUITE_KEYS, parse, shipped
from asapbench.suite.recipe import RECIPE
from asapbench.suite.select import choose, only

ASFA = 'name = "asfa"'
SUITES = [(path.name, text) for path in DOCUMENTS for text in blocks(path, "toml")]
GUIDE_TEXT = GUIDE.read_text(encoding="utf-8")


def test_the_tables_of_the_guide_are_the_catalogs() -> None:
    assert with_tables(GUIDE_TEXT) == GUIDE_TEXT, "update them: python tests/docs/documentation.py"


@pytest.mark.parametrize("key", [*_SUITE_KEYS, *KEYS])
def test_a_key_has_a_row_in_the_guide(key: str) -> None:
    assert f"\n| `{key}` |" in GUIDE_TEXT


@pytest.mark.parametrize("kind", CATALOG)
def test_every_entry_and_option_stands_in_the_guide(kind: str) -> None:
    start = GUIDE_TEXT.index(f"<!-- table: {kind}_options -->")
    table = GUIDE_TEXT[start : GUIDE_TEXT.index("<!-- end of table -->", start)]
    for entry in CATALOG[kind].values():
        assert f"`{entry.name}`" in table
        for option in (option for option in entry.options if option.is_given):
            assert f"| `{option.name}` |" in table


def test_every_shipped_suite_is_named() -> None:
    assert [name for name in shipped() if f"`{name}`" not in GUIDE_TEXT] == []


@pytest.mark.parametrize(("document", "text"), [pair for pair in SUITES if ASFA not in pair[1]])
def test_a_suite_in_a_document_can_be_loaded(document: str, text: str) -> None:
    assert parse(text, source=document).cells


def test_the_guides_first_suite_has_as_many_cells_as_it_says() -> None:
    suite = parse(blocks(GUIDE, "toml")[0], source="guide")
    assert re.search(r"with 3 seeds, (\d+) cells", GUIDE_TEXT)[1] == "36"
    assert sum(cell.validation == 0 for cell in suite.cells) == 36
    assert sum(cell.validation == 200 for cell in suite.cells) == 9


@pytest.mark.parametrize("table", [f"{{ {inner} }}" for inner in re.findall(r"= \{ (name = [^}]*) \}`", GUIDE_TEXT)])
def test_an_option_table_in_the_running_text_is_right(table: str) -> None:
    value = tomllib.loads(f"x = {table}")["x"]
    kind = next(kind for kind in CATALOG if value["name"] in CATALOG[kind])
    CATALOG[kind][value["name"]].choose({key: v for key, v in value.items() if key != "name"})


def test_only_and_set_take_the_keys_that_the_guide_says() -> None:
    cells = parse(blocks(GUIDE, "toml")[0], source="guide").cells
    for key in (*RECIPE, "lr", "seed"):
        assert only(cells, [f"{key}={getattr(cells[0], key)}"])
    assert only(cells, ["rule=asap", "rule.k=1", f"cell={only(cells, ['rule.k=1'])[0].short}"])
    for setting in ("lr=0.1", "optimizer=adam", "rule.k=4", "epochs=2", "precision=bf16"):
        assert choose([cells], settings=[setting])[0]
