"""The table of rules in docs/library.md on other people's networks is what `attach` does."""

from __future__ import annotations

import pytest
from documentation import LIBRARY
from library_networks import NETWORKS
from library_table import TABLE, library_table

from asapbench.suite.catalog import RULES


def table() -> str:
    found = TABLE.search(LIBRARY.read_text(encoding="utf-8"))
    assert found is not None
    return found[0]


def test_every_rule_and_every_network_has_its_place() -> None:
    lines = table().splitlines()
    rows = [line.split("|")[1].strip(" `") for line in lines if line.startswith("| `")]
    assert rows == list(RULES), "update it: python tests/docs/library_table.py"
    header = next(line for line in lines if line.startswith("| rule"))
    assert [cell.strip() for cell in header.split("|")[2:-1]] == [network.title for network in NETWORKS.values()]


@pytest.mark.slow
def test_it_says_what_attaching_does() -> None:
    assert library_table() in table(), "update it: python tests/docs/library_table.py"
