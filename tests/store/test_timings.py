from datetime import datetime

import pytest
from store_examples import TERMS, a_cell, an_epoch, trained

from asapbench.store import Provenance
from asapbench.store.attempts import TIMED_EPOCHS


def timed(store, cell, seconds, **terms):
    claim = store.claim(cell, **(TERMS | terms))
    store.record_epochs(claim, [an_epoch(i, seconds=s) for i, s in enumerate(seconds, start=1)])
    store.finish(claim, "done")


def test_the_time_of_an_epoch_is_the_median_so_that_a_slow_first_one_does_not_count(store):
    timed(store, a_cell(), [60.0, 2.0, 3.0, 2.5, 2.5])
    [timing] = store.measured_seconds_per_epoch()
    assert (timing.seconds, timing.device, timing.config) == (2.5, "cpu", a_cell())


def test_only_the_newest_epochs_are_timed(store):
    timed(store, a_cell(), [9.0] * 50 + [1.0] * TIMED_EPOCHS)
    [timing] = store.measured_seconds_per_epoch()
    assert timing.seconds == 1.0


def test_devices_are_kept_apart_and_seeds_are_not(store):
    timed(store, a_cell(0), [5.0])
    timed(store, a_cell(1), [1.0], device="cuda:0 NVIDIA H100")
    timed(store, a_cell(2), [1.5], device="cuda:0 NVIDIA H100")
    timed(store, a_cell(0, lr=0.1), [7.0])
    found = {(t.config.lr, t.device): t.seconds for t in store.measured_seconds_per_epoch()}
    assert found.keys() == {(0.03, "cpu"), (0.03, "cuda:0 NVIDIA H100"), (0.1, "cpu")}
    assert found[0.03, "cpu"] == 5.0


def test_an_attempt_counts_with_the_epochs_it_ran_itself(store):
    first = store.claim(a_cell(), **TERMS | {"device": "slow"})
    store.record_epochs(first, [an_epoch(1, seconds=9.0), an_epoch(2, seconds=9.0)])
    store.finish(first, "interrupted")
    second = store.claim(a_cell(), **TERMS | {"device": "fast"})
    store.record_epochs(second, [an_epoch(3, seconds=1.0)])
    store.finish(second, "done")
    assert {t.device: t.seconds for t in store.measured_seconds_per_epoch()} == {"slow": 9.0, "fast": 1.0}


def test_untrained_attempts_give_no_time(store):
    trained(store, a_cell(), tests=(), state="failed")
    assert store.measured_seconds_per_epoch() == []


def test_a_superseded_attempt_gives_its_time_until_a_newer_one_has_trained(store):
    timed(store, a_cell(), [7.0])
    store.supersede([a_cell().id])
    trained(store, a_cell(), tests=(), state="interrupted")
    assert [timing.seconds for timing in store.measured_seconds_per_epoch()] == [7.0]
    timed(store, a_cell(), [3.0])
    assert [timing.seconds for timing in store.measured_seconds_per_epoch()] == [3.0]


def test_an_attempt_that_is_done_tells_the_wall_time_of_an_epoch_too(store):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [an_epoch(1, seconds=1.0), an_epoch(2, seconds=1.0)])
    store.finish(claim, "done")
    [timing] = store.measured_seconds_per_epoch()
    [attempt] = store.attempts(a_cell().id)
    passed = datetime.fromisoformat(attempt.ended_at) - datetime.fromisoformat(attempt.started_at)
    assert timing.wall == pytest.approx(passed.total_seconds() / 2)


def test_a_timing_names_the_processor_or_the_gpu(store):
    both = Provenance(None, None, {}, {"processor": "EPYC", "gpus": ["NVIDIA H100 80GB HBM3"]})
    timed(store, a_cell(0), [5.0], provenance=both)
    timed(store, a_cell(1), [1.0], provenance=both, device="cuda GPU-1")
    assert {t.device: t.hardware for t in store.measured_seconds_per_epoch()} == {
        "cpu": "EPYC",
        "cuda GPU-1": "NVIDIA H100 80GB HBM3",
    }
