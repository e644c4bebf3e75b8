import json

import pytest
from store_examples import a_cell

from asapbench.errors import StoreError

TEN = [a_cell(seed) for seed in range(10)]
HOSTILE = "x'; DROP TABLE cell; --%_\"é"


def test_a_suite_returns_its_cells_in_its_order(store):
    cells = [a_cell(2), a_cell(0), a_cell(1, rule="bp"), a_cell(0, k=4)]
    store.record_suite("mine", "suites/mine.toml", cells)
    assert store.readable_cells("mine")[0] == cells
    [record] = store.suites()
    assert (record.name, record.source, record.cells) == ("mine", "suites/mine.toml", 4)


def test_a_suite_that_did_not_change_is_not_written(store):
    store.record_suite("mine", "shipped", TEN)
    [before] = store.suites()
    store.record_suite("mine", "shipped", TEN[::-1])
    assert store.suites() == [before]


def test_a_suite_that_grows_keeps_its_order_and_forgets_nothing(store):
    store.record_suite("mine", "shipped", TEN[5:8])
    store.record_suite("mine", "shipped", [TEN[7], TEN[0]])
    store.record_suite("mine", "other", [])
    assert store.readable_cells("mine")[0] == [*TEN[5:8], TEN[0]]
    assert [record.source for record in store.suites()] == ["other"]


def test_names_are_data_not_sql(store):
    store.record_suite(HOSTILE, HOSTILE, TEN)
    assert store.readable_cells(HOSTILE)[0] == TEN
    assert store.suites()[0].source == HOSTILE


def test_an_unknown_suite_is_named_with_the_nearest(store):
    store.record_suite("cifar10", "shipped", TEN)
    with pytest.raises(StoreError, match='no suite "cifar1O"; did you mean "cifar10"'):
        store.readable_cells("cifar1O")[0]
    with pytest.raises(StoreError, match="no suite"):
        store.results(suite="other")


def test_a_cell_is_found_by_the_first_digits_of_its_identity(store):
    store.record_suite("mine", "shipped", TEN)
    for cell in TEN:
        assert store.find_cell_id(cell.short.upper()) == cell.id
        assert store.find_cell_id(cell.id) == cell.id


@pytest.mark.parametrize("prefix", ["", "  ", "%", "_", "xyz", "a' OR 1=1"])
def test_only_hexadecimal_digits_name_a_cell(store, prefix):
    store.record_suite("mine", "shipped", TEN)
    with pytest.raises(StoreError, match="is not a cell"):
        store.find_cell_id(prefix)


def test_an_ambiguous_or_unknown_prefix_says_so(store):
    many = [a_cell(seed) for seed in range(40)]
    store.record_suite("mine", "shipped", many)
    twice = next(d for d in "0123456789abcdef" if sum(cell.id.startswith(d) for cell in many) > 1)
    with pytest.raises(StoreError, match=r"more than one cell: \w+ \(Digits ResNet-10\(width=8\) ASAP seed"):
        store.find_cell_id(twice)
    with pytest.raises(StoreError, match="has no cell that starts with"):
        store.find_cell_id("0" * 20)


def test_a_cell_of_an_earlier_revision_is_visibly_old(store, monkeypatch):
    from dataclasses import replace

    from store_examples import trained

    from asapbench.suite.catalog import CATALOG

    old = a_cell()
    trained(store, old)
    monkeypatch.setitem(CATALOG["rule"], "asap", replace(CATALOG["rule"]["asap"], revision=2))
    [result] = store.results()
    assert result.outdated
    assert result.attempt.cell_id == old.id == store.find_cell_id(old.id[:12])
    assert store.states([a_cell().id]) == {a_cell().id: None}


def test_a_cell_whose_rule_is_gone_spoils_no_other(store, uninstalled):
    from store_examples import trained

    trained(store, a_cell(rule="dfa"))
    trained(store, a_cell(rule="bp"))
    uninstalled("rule", "dfa")
    assert [result.cell for result in store.results()] == [a_cell(rule="bp")]
    [unreadable] = store.unreadable_cells()
    assert len(unreadable) == 64
    assert len(store.measured_seconds_per_epoch()) == 1


def test_the_configuration_is_stored_as_plain_json(store, path, url):
    if not url.startswith("sqlite"):
        pytest.skip("reads the file")
    import sqlite3
    from contextlib import closing

    store.record_suite("mine", "shipped", [a_cell()])
    with closing(sqlite3.connect(path)) as connection:
        [(config, group)] = connection.execute("SELECT config, group_id FROM cell")
    assert json.loads(config) == a_cell().to_json()
    assert group == a_cell().group


def test_cells_know_the_suites_that_have_them(store):
    store.record_suite("mine", "shipped", TEN[:2])
    store.record_suite("other", "shipped", TEN[1:5])
    ids = [cell.id for cell in TEN]
    assert store.suites_of(ids[:3]) == {"mine": set(ids[:2]), "other": set(ids[1:3])}
    assert store.suites_of(ids[5:]) == {}
