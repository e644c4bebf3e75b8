"""Whenever the power fails, the database is whole, and what was reported as durable is there.

One real run is recorded; then the power is lost at many moments of it, each time with another choice of the writes that
were not yet synced.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from campaign import DIGESTS, SLOTS, Undisturbed
from power import Call, Disk, can_record, record, told
from small_runs import CURVES, DB, SUITE, query, run, write_suite

from asapbench.errors import CheckpointError
from asapbench.store import Store
from asapbench.training import checkpoint, saved

pytestmark = pytest.mark.faults
PROGRAM = str(Path(__file__).parent / "acknowledging.py")
CELLS = ("--only", "seed=0")
MOMENTS = 20
"""Moments for each fault that `--faults` asks for: looking at one costs far less than doing one."""


@dataclass(frozen=True)
class Recording:
    folder: Path
    calls: Sequence[Call]
    told: list[tuple[int, dict]]

    def without(self, forgotten: Callable[[Call], bool]) -> Recording:
        """As a program would have done that does not make some calls."""
        return replace(self, calls=[replace(call, path="") if forgotten(call) else call for call in self.calls])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    if not can_record():
        pytest.skip("strace is not here, or may not trace")
    folder = tmp_path_factory.mktemp("recorded")
    write_suite(folder)
    beside = tmp_path_factory.mktemp("beside")
    also = str(beside / "acknowledged")
    calls = record(folder, PROGRAM, "run", "small.toml", *CELLS, *SLOTS, trace=beside / "trace.txt", also=also)
    return Recording(folder, calls, list(told(calls, also)))


def lose_power(recording: Recording, into: Path, chance: random.Random, *, count: int) -> list[tuple[int, Path]]:
    """`count` disks, each as a power loss left it, with the number of calls that had returned by then."""
    disk = Disk(recording.folder, {"small.toml": SUITE.encode()})
    found = []
    moments = sorted(chance.randrange(len(recording.calls) + 1) for _ in range(count))
    for number, moment in enumerate(moments):
        disk.replay(recording.calls[disk.replayed : moment])
        place = into / str(number)
        place.mkdir()
        disk.lose_power(place, chance)
        found.append((moment, place))
    return found


def lost(recording: Recording, moment: int, place: Path) -> list[str]:
    """What was reported before `moment` and is not on the disk at `place`, and what is broken there."""
    before = [what for number, what in recording.told if number <= moment]
    faults = []
    if (place / DB).exists():
        with closing(sqlite3.connect(place / DB)) as database:
            faults += [row[0] for row in database.execute("PRAGMA integrity_check") if row != ("ok",)]
        Store.open(f"sqlite:///{place / DB}").close()
    recorded = _rows(place, "SELECT cell_id, epoch FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id")
    ended = _rows(place, "SELECT cell_id, state FROM attempt")
    for what in before:
        if what["kind"] == "recorded" and (what["cell"], what["epoch"]) not in recorded:
            faults.append(f"{what} is not in the database")
        if what["kind"] == "ended" and (what["cell"], what["state"]) not in ended:
            faults.append(f"{what} is not in the database")
        if what["kind"] == "epoch" and _newest_epoch(place, what["attempt"]) < what["metrics"]["epoch"]:
            faults.append(f"epoch {what['metrics']['epoch']} of attempt {what['attempt']} has no checkpoint")
    for _, path, digest in _rows(place, DIGESTS):
        weights = place / Path(path).relative_to(recording.folder)
        if _digest(weights) != digest:
            faults.append(f"{path} is not the file that was kept")
    return faults


def _digest(weights: Path) -> str | None:
    try:
        return checkpoint.digest(weights)
    except CheckpointError:
        return None  # not there, or torn in its first line


def _rows(place: Path, sql: str) -> list[tuple]:
    try:
        return query(place, sql)
    except sqlite3.OperationalError:
        return []  # no database yet, or no table in it: whether that is right is for those who ask


def _newest_epoch(place: Path, attempt: str) -> int:
    found = saved.newest(place.glob(f"{DB}.files/checkpoints/*/{attempt}"), warn=print)
    return 0 if found is None else found[1].epoch


def test_nothing_that_was_reported_is_lost(
    recording: Recording, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = MOMENTS * request.config.getoption("--faults")
    assert {what["kind"] for _, what in recording.told} == {"epoch", "recorded", "ended"}
    disks = lose_power(recording, tmp_path, random.Random(0), count=count)
    assert {place.name: found for moment, place in disks if (found := lost(recording, moment, place))} == {}


@pytest.mark.parametrize(
    "forgotten",
    [
        lambda call: call.name == "sync" and call.path.endswith(".part"),
        lambda call: call.name == "sync" and call.path.endswith(".files/checkpoints"),
        lambda call: call.name == "sync" and call.path.endswith("/results"),
        lambda call: call.name == "sync" and call.path.endswith("-wal"),
        lambda call: call.name == "sync" and "/weights" in call.path,
    ],
    ids=["checkpoint", "new directory", "directory of the database", "log of the database", "weights"],
)
def test_a_sync_that_is_left_out_would_be_noticed(
    forgotten: Callable[[Call], bool], recording: Recording, tmp_path: Path
) -> None:
    careless = recording.without(forgotten)

    def is_noticed(seed: int) -> bool:
        (tmp_path / str(seed)).mkdir()
        disks = lose_power(careless, tmp_path / str(seed), random.Random(seed), count=MOMENTS * 3)
        return any(lost(careless, moment, place) for moment, place in disks)

    # How long it matters differs from recording to recording, and so how soon a moment falls into it.
    assert any(is_noticed(seed) for seed in range(1, 31))


def test_a_resumed_run_ends_with_the_same_bits(
    recording: Recording, undisturbed: Undisturbed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = 1 + request.config.getoption("--faults") // 10
    for _, place in lose_power(recording, tmp_path, random.Random(2), count=count):
        run(place, "run", "small.toml", *CELLS, *SLOTS)
        ended = Undisturbed.of(place)
        cells = {row[0] for row in query(recording.folder, CURVES)}
        assert ended.curves == [row for row in undisturbed.curves if row[0] in cells]
        assert ended.digests == {cell: digest for cell, digest in undisturbed.digests.items() if cell in cells}
