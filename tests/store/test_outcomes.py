"""The quick way to read cells and attempts gives what the thorough way gives, for every kind of cell and attempt."""

from dataclasses import replace

import pytest
from store_examples import TERMS, a_cell, an_epoch, trained

from asapbench.store import Progress
from asapbench.store.cells import read_config
from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import _shared

CELLS = [a_cell(seed, k=k) for k in (1, 4) for seed in (0, 3, 1)]


@pytest.fixture
def filled(store):
    store.record_suite("other", "shipped", [a_cell(rule="bp"), CELLS[0]])
    store.record_suite("mine", "shipped", CELLS)
    trained(store, CELLS[0], tests=(0.5, 0.25))
    store.supersede([CELLS[0].id])
    trained(store, CELLS[0], tests=(0.25, 0.5))
    trained(store, CELLS[1], state="interrupted")
    claim = store.claim(CELLS[1], **TERMS)
    store.record_epochs(claim, [an_epoch(4, test=0.75, validation=0.5)])
    store.finish(claim, "done")
    trained(store, CELLS[2], state="failed")
    store.claim(CELLS[3], **TERMS)
    trained(store, CELLS[4])
    store.discard([CELLS[4].id], "a wrong learning rate")
    trained(store, a_cell(rule="bp"), state="diverged")
    return store


def same(outcomes, results):
    names = Progress._fields
    found = [(one.cell, one.cell.id, *(getattr(one.attempt, name) for name in names)) for one in outcomes]
    wanted = [(one.cell, one.cell.id, *(getattr(one.attempt, name) for name in names)) for one in results]
    return found == wanted


def test_outcomes_are_results_in_brief(filled):
    assert same(filled.outcomes(), filled.results())
    for suite in ("mine", "other"):
        held = filled.suite_outcomes(suite)
        assert same(held.outcomes, filled.results(suite=suite))
        assert (held.cells, held.unreadable) == filled.readable_cells(suite)
    assert [cell.seed for cell in filled.suite_outcomes("mine").cells] == [0, 3, 1, 0, 1]  # the suite's order
    assert len(filled.outcomes()) == 5


def test_the_progress_of_every_cell_is_that_of_its_current_attempt(filled):
    wanted = {id_: one for id_, one in filled.states([cell.id for cell in [*CELLS, a_cell(rule="bp")]]).items() if one}
    found = filled.progress()
    assert found.keys() == wanted.keys()
    assert all(found[id_].id == one.id and found[id_].state == one.state for id_, one in wanted.items())


def test_an_outdated_cell_has_the_identity_of_its_rule_now(filled, monkeypatch):
    read_config.cache_clear()
    entry = CATALOG["rule"]["asap"]
    monkeypatch.setitem(CATALOG["rule"], "asap", replace(entry, revision=entry.revision + 1))
    outdated = [one for one in filled.suite_outcomes("mine").outcomes if one.outdated]
    assert len(outdated) == 4
    assert {one.attempt.cell_id for one in outdated} == {cell.id for cell in CELLS[:4]}
    assert not {one.cell.id for one in outdated} & {cell.id for cell in CELLS}


def test_a_cell_that_cannot_be_read_is_named_by_its_label(filled, uninstalled):
    labels = {cell.id: cell.label for cell in CELLS if cell != CELLS[4]}
    read_config.cache_clear()
    _shared.cache_clear()
    uninstalled("rule", "asap")
    held = filled.suite_outcomes("mine")
    assert (held.cells, held.outcomes, held.unreadable) == ([], [], labels)
    assert [one.cell.rule.name for one in filled.outcomes()] == ["bp"]


def test_each_cell_keeps_the_place_of_its_own_data(store, tmp_path):
    content = {"content": "0" * 64, "classes": 2, "train": 8, "test": 4}
    data = [CATALOG["dataset"]["imagefolder"].choose(content | {"path": str(tmp_path / name)}) for name in "ab"]
    cells = [replace(a_cell(seed), dataset=one) for seed, one in enumerate(data)]
    store.record_suite("mine", "mine.toml", [*cells, a_cell()])
    found = store.readable_cells("mine")[0]
    assert [cell.dataset.local for cell in found] == [cell.dataset.local for cell in (*cells, a_cell())]
    assert found[0].group == found[1].group
