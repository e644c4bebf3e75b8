"""A results database with one trained cell, and the examples of the tests of store and training."""

import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent.parent / folder) for folder in ("store", "training")]

from store_examples import a_cell, trained

from asapbench.store import Store

SUITE = """\
[suite]
name = "mine"
[[grid]]
dataset = "digits"
model = { name = "resnet10", width = 8 }
lr = { bp = 0.03, asap = 0.03 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `x.sqlite` and a suite file in it."""
    path = tmp_path_factory.mktemp("fuzz")
    (path / "mine.toml").write_text(SUITE, encoding="utf-8")
    with Store.open(f"sqlite:///{path / 'x.sqlite'}") as store:
        cells = [a_cell(), a_cell(1), a_cell(rule="bp")]
        store.record_suite("mine", "mine.toml", cells)
        trained(store, cells[0])
        trained(store, cells[2], state="failed")
    return path
