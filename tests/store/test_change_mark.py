"""The mark changes with everything that a reader of results sees, and with nothing else."""

from __future__ import annotations

from store_examples import TERMS, a_cell, a_certificate, a_quality, an_angle, an_epoch

from asapbench.metrics import Measurement
from asapbench.store.schema import metadata


def test_each_change_of_results_changes_the_mark_and_a_lease_does_not(store) -> None:
    cell = a_cell()
    seen = [store.change_mark()]

    def changed(what: str) -> None:
        assert store.change_mark() not in seen, what
        seen.append(store.change_mark())

    store.record_suite("s", "s.toml", [cell])
    changed("a suite")
    claim = store.claim(cell, **TERMS)
    changed("a start")
    store.record_epochs(claim, [], [an_angle(0)])
    changed("an angle before training")
    store.record_epochs(claim, [], [a_quality(0)])
    changed("a quality of gradients")
    store.record_epochs(claim, [an_epoch(1)])
    changed("an epoch")
    store.heartbeat([claim])
    assert store.change_mark() == seen[-1]
    store.finish(claim, "done")
    changed("an end")
    attempt = store.attempts(cell.id)[0]
    store.record_measurements("a", attempt.id, [Measurement("fc", "q", 1.0, None, 1)], TERMS["provenance"])
    changed("a measurement")
    store.record_certificates([a_certificate()], TERMS["provenance"])
    changed("a certificate")
    store.discard([cell.id], "no reason")
    changed("a discard")
    store.restore([cell.id])
    changed("a restoration")
    store.supersede([cell.id])
    changed("a superseded result")
    store.record_suite("s", "s.toml", [cell, a_cell(1)])
    changed("another cell")
    assert store.change_mark() == seen[-1]


def test_a_new_table_needs_a_place_in_the_mark() -> None:
    """Tables that change only together with another need none."""
    marked = {
        "alignment",
        "attempt",
        "cell",
        "certificate",
        "discard",
        "gradient_quality",
        "measurement",
        "suite",
        "suite_cell",
    }
    assert set(metadata.tables) - marked == {"epoch_metrics", "provenance"}
