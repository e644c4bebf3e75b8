"""What `status` asks the store: counts of kinds of cells, and the attempts that run, failed or just ended."""

from store_examples import TERMS, a_cell, an_epoch, trained


def test_cells_of_one_kind_and_state_are_one_count(store):
    cells = [a_cell(seed, lr=lr) for seed in (0, 1, 12) for lr in (0.1, 0.2)]
    store.record_suite("sweep", "sweep.toml", [*cells, a_cell(0, rule="bp")])
    for cell in cells[:2]:
        trained(store, cell)
    claim = store.claim(cells[2], **TERMS)
    store.record_epochs(claim, [an_epoch(1)])
    store.discard([cells[3].id], "a typing error")
    counts = store.kind_counts(["sweep"])
    kinds = {
        (store.recorded_cells([count.example])[count.example].cell.rule.name, count.state): (
            count.cells,
            count.epochs,
            count.epochs_done,
        )
        for count in counts
    }
    assert len(counts) == len(kinds)
    assert kinds["asap", "done"][0] == 2
    assert kinds["asap", "running"] == (1, 3, 1)
    assert kinds["asap", "discarded"] == (1, 3, 0)
    assert kinds["asap", "pending"] == (2, 3, 0)
    assert kinds["bp", "pending"] == (1, 3, 0)
    assert store.kind_counts(["other"]) == []


def test_an_attempt_that_runs_has_the_epochs_that_it_started_with(store):
    store.record_suite("one", "one.toml", [a_cell()])
    first = store.claim(a_cell(), **TERMS)
    store.record_epochs(first, [an_epoch(1), an_epoch(2)])
    store.finish(first, "interrupted")
    store.claim(a_cell(), **TERMS)
    [found] = store.running_attempts(["one"])
    assert (found.recorded.cell, found.epochs, found.epochs_before) == (a_cell(), 3, 2)
    [ended] = store.ended_since("2000")
    assert ended.id == first.attempt_id
    assert store.ended_since("2999") == []


def test_problems_are_the_newest_first_and_limited(store):
    cells = [a_cell(seed) for seed in range(3)]
    store.record_suite("bad", "bad.toml", cells)
    for cell in cells:
        store.finish(store.claim(cell, **TERMS), "failed", error="no")
    found = store.problems(["bad"], limit=2)
    assert len(found) == 2
    assert {one.attempt.state for one in found} == {"failed"}
