"""Merging is associative, commutative and idempotent, and knows in the end what any database has known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from merging import Workshop, content, rows
from store_examples import PROVENANCE, a_cell

from asapbench.store import connect
from asapbench.store.attempts import content_id

pytestmark = pytest.mark.slow

_FAST = "PRAGMA foreign_keys = ON; PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;"
CELLS = [a_cell(0).id, a_cell(1).id]
TIMES = ["2026-01-01T00:00:00.000+00:00", "2026-01-01T00:00:00.001+00:00", "2026-01-02T00:00:00.000+00:00"]
LATER = "2026-02-01T00:00:00.000+00:00"
END_STATES = ["done", "diverged", "failed", "out_of_memory", "interrupted"]


@dataclass(frozen=True)
class Life:
    """What really happened to an attempt: it trained epochs `first` to `last` and ended as `state`."""

    id: str
    cell_id: str
    lineage: str
    resumed_from: str | None
    started_at: str
    first: int
    last: int
    state: str

    def seen(self, at: int | None, *, number: int, superseded: bool, blank: bool) -> dict:
        """Its row as a copy shows it that was made after epoch `at`; None is after its end."""
        ended = at is None
        state = self.state if ended else "interrupted"
        final = ended and state not in ("interrupted",)
        failed = ended and state == "failed" and not blank
        return {
            "id": self.id,
            "cell_id": self.cell_id,
            "number": number,
            "lineage": self.lineage,
            "resumed_from": self.resumed_from,
            "state": state,
            "superseded": superseded,
            "lease": 10 * self.last if ended else 10 * at,
            "host": "" if blank else "a-host",
            "boot_id": "" if blank else "a-boot",
            "pid": 0 if blank else 42,
            "pid_started": 0.0 if blank else 17.5,
            "device": "cpu",
            "provenance_id": content_id(PROVENANCE),
            "bit_exact": True,
            "started_at": self.started_at,
            "ended_at": LATER if ended else None,
            "epochs_done": self.last if ended else at,
            "error": "a traceback" if failed else None,
            "last_test_accuracy": 0.5 if final else None,
        }


@st.composite
def lives(draw) -> list[Life]:
    """The whole history of two cells: lineages that resume, fail, end, and fork where a checkpoint was copied."""
    made: list[Life] = []
    for number, cell_id in enumerate(CELLS):
        for lineage in range(draw(st.integers(0, 2))):
            chain: list[Life] = []
            for step in range(draw(st.integers(1, 3))):
                before = draw(st.sampled_from(chain)) if chain else None
                first = before.last + 1 if before else 1
                identity = f"{number}{lineage}{step}".rjust(32, "0")
                chain.append(
                    Life(
                        id=identity,
                        cell_id=cell_id,
                        lineage=chain[0].id if chain else identity,
                        resumed_from=before.id if before else None,
                        started_at=draw(st.sampled_from(TIMES)),
                        first=first,
                        last=first - 1 + draw(st.integers(0, 2)),
                        state=draw(st.sampled_from(END_STATES)),
                    )
                )
            made += chain
    return made


@st.composite
def views(draw, made: list[Life]) -> dict[str, list[dict]]:
    """The rows of a database that has seen some of it: each attempt not at all, in its course, or ended."""
    blank = draw(st.booleans())
    superseded_cells = {cell_id: draw(st.booleans()) for cell_id in CELLS}
    attempts: dict[str, dict] = {}
    epochs, angles, qualities, measurements = {}, {}, {}, []
    for life in made:
        if (life.resumed_from is not None and life.resumed_from not in attempts) or not draw(st.booleans()):
            continue
        at = draw(st.one_of(st.none(), st.integers(life.first - 1, life.last)))
        row = life.seen(at, number=len(attempts) + 1, superseded=superseded_cells[life.cell_id], blank=blank)
        attempts[life.id] = row
        for epoch in range(life.first, row["epochs_done"] + 1):
            epochs.setdefault(
                (life.lineage, epoch), an_epoch_row(life, epoch, seconds=draw(st.sampled_from([1.0, 2.0])))
            )
            angles.setdefault((life.lineage, epoch), an_angle_row(life, epoch))
            qualities.setdefault((life.lineage, epoch), a_quality_row(life, epoch))
        if at is None and draw(st.booleans()):
            measurements += [a_measurement_row(life, day) for day in draw(st.sets(st.integers(1, 3)))]
    return {
        "suite": [{"name": "mine", "source": "shipped", "updated_at": LATER}],
        "suite_cell": [
            {"suite": "mine", "cell_id": cell_id, "position": i}
            for i, cell_id in enumerate(draw(st.permutations(CELLS))[: draw(st.integers(0, 2))])
        ],
        "attempt": list(attempts.values()),
        "epoch_metrics": list(epochs.values()),
        "alignment": list(angles.values()),
        "gradient_quality": list(qualities.values()),
        "measurement": measurements,
    }


def an_epoch_row(life: Life, epoch: int, *, seconds: float) -> dict:
    row = {"attempt_id": life.id, "lineage": life.lineage, "epoch": epoch, "lr": 0.1}
    return row | {"train_loss": 1.0 / epoch, "test_accuracy": None, "seconds": seconds, "samples_per_second": 9.0}


def an_angle_row(life: Life, epoch: int) -> dict:
    row = {"attempt_id": life.id, "lineage": life.lineage, "epoch": epoch, "layer": "fc"}
    return row | {"quantity": "weights", "degrees": 90.0 - epoch}


def a_quality_row(life: Life, epoch: int) -> dict:
    row = {"attempt_id": life.id, "lineage": life.lineage, "epoch": epoch, "layer": ""}
    return row | {"norm_ratio": 1.0 + epoch, "decrease_share": None}


def a_measurement_row(life: Life, day: int) -> dict:
    row = {"analysis": "shortcut", "attempt_id": life.id, "layer": "fc", "quantity": "angle", "n": 3}
    measured = {"value": float(day), "measured_at": f"2026-01-0{day}T00:00:00.000+00:00"}
    return row | measured | {"provenance_id": content_id(PROVENANCE)}


@st.composite
def worlds(draw) -> tuple[list[Life], list[dict[str, list[dict]]]]:
    made = draw(lives())
    return made, [draw(views(made)) for _ in range(3)]


@pytest.fixture
def workshop(tmp_path, monkeypatch) -> Workshop:
    # Hundreds of databases that need not outlive a power cut: no fsync.
    monkeypatch.setattr(connect, "_set_pragmas", lambda raw, _, writable: raw.executescript(_FAST))
    return Workshop(tmp_path)


laws = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@laws
@given(worlds())
def test_the_order_and_grouping_of_merges_do_not_matter(workshop, world):
    a, b, c = (workshop.filled(view) for view in world[1])
    ab, bc = workshop.merged(a, b), workshop.merged(b, c)
    expected = content(workshop.merged(ab, c))
    assert content(workshop.merged(a, bc)) == expected
    assert content(workshop.merged(c, b, a)) == expected
    assert content(workshop.merged(b, a)) == content(ab)


@laws
@given(worlds())
def test_merging_again_changes_nothing(workshop, world):
    a, b = (workshop.filled(view) for view in world[1][:2])
    merged = workshop.merged(a, b)
    before = content(merged)
    for other in (b, a, workshop.copy(merged)):
        outcome = workshop.into(merged, other)
        assert content(merged) == before
        assert (
            outcome.cells,
            outcome.attempts,
            outcome.further,
            outcome.epochs,
            outcome.angles,
            outcome.gradient_qualities,
            outcome.measurements,
        ) == (0,) * 7
        assert outcome.conflicts == []


@laws
@given(worlds())
def test_a_merge_knows_what_the_best_informed_of_its_databases_knew(workshop, world):
    made, seen = world
    merged = workshop.merged(*(workshop.filled(view) for view in seen))
    found = {row["id"]: row for row in rows(merged, "attempt")}
    for life in made:
        outcome = [row for view in seen for row in view["attempt"] if row["id"] == life.id]
        if not outcome:
            assert life.id not in found
            continue
        row = found[life.id]
        ended = any(other["ended_at"] for other in outcome)
        assert row["state"] == (life.state if ended else "interrupted")
        assert row["epochs_done"] == max(other["epochs_done"] for other in outcome)
        assert row["superseded"] == any(other["superseded"] for other in outcome)
        assert row["host"] == max(other["host"] for other in outcome)
        assert row["error"] == next((other["error"] for other in outcome if other["error"]), None)
    epochs = {(row["lineage"], row["epoch"]) for view in seen for row in view["epoch_metrics"]}
    assert {(row["lineage"], row["epoch"]) for row in rows(merged, "epoch_metrics")} == epochs
    measured = {(row["attempt_id"], row["value"]) for view in seen for row in view["measurement"]}
    assert {(row["attempt_id"], row["value"]) for row in rows(merged, "measurement")} == measured


@laws
@given(worlds())
def test_a_result_is_never_hidden_by_an_attempt_that_has_none(workshop, world):
    merged = workshop.merged(*(workshop.filled(view) for view in world[1]))
    for cell_id in CELLS:
        own = [row for row in rows(merged, "attempt") if row["cell_id"] == cell_id]
        assert sorted(row["number"] for row in own) == list(range(1, len(own) + 1))
        valid = [row for row in own if not row["superseded"]]
        if any(row["state"] in ("done", "diverged") for row in valid):
            assert max(valid, key=lambda row: row["number"])["state"] in ("done", "diverged")
