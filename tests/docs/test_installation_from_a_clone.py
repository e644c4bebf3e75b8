"""What the documents and the errors say about installing works from a clone: no package index has asapbench."""

from __future__ import annotations

import re
import tomllib

import pytest
from documentation import DOCUMENTS, README, ROOT, blocks

from asapbench.errors import install_extra

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
SOURCES = [*DOCUMENTS, *sorted((ROOT / "asapbench").rglob("*.py"))]


def test_nothing_tells_to_install_asapbench_from_an_index() -> None:
    index = re.compile(r"pip install [^\n]*asapbench\[")
    assert [path for path in SOURCES if index.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("extra", ["postgres", "ray", "slurm"])
def test_each_extra_is_installed_from_the_clone(extra: str) -> None:
    assert f'".[{extra}]"' in README.read_text(encoding="utf-8")
    assert install_extra(extra) == f'pip install ".[{extra}]" in the clone of asapbench'


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_every_extra_that_a_document_installs_exists(document) -> None:
    assert set(re.findall(r'"\.\[(\w+)\]"', document.read_text(encoding="utf-8"))) <= set(EXTRAS)


def test_readme_begins_with_the_address_to_clone() -> None:
    first = blocks(README, "sh")[0]
    assert first.startswith("git clone https://github.com/OWNER/asapbench")
