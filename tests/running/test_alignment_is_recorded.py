"""`--alignment` and `--gradient-quality` record each layer's values, through kills as well, and change no curve."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import curves, made_once, query, recorded, run, start, wait_until, workers, write_suite

ANGLES = """
SELECT attempt.cell_id, epoch, layer, quantity, degrees
FROM alignment JOIN attempt ON attempt.id = attempt_id ORDER BY 1, 2, 4, 3
"""

QUALITIES = """
SELECT attempt.cell_id, epoch, layer, norm_ratio, effective_rank, bp_effective_rank, decrease_share
FROM gradient_quality JOIN attempt ON attempt.id = attempt_id ORDER BY 1, 2, 3
"""
SEED = ("--seeds", "0")
MEASURES = ("--alignment", "--gradient-quality")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "measured", measure)


def measure(folder: Path) -> None:
    write_suite(folder)
    run(folder, "run", "small.toml", *SEED, "--slots", "2", *MEASURES)


@pytest.mark.slow
def test_every_epoch_of_every_cell_has_its_angles_and_the_curves_are_the_same(measured, undisturbed) -> None:
    cells = {cell for (cell,) in query(measured, "SELECT id FROM cell")}
    assert len(cells) == 2
    assert curves(measured) == [row for row in undisturbed[1] if row[0] in cells]
    counts = "SELECT rule, quantity, count(*), count(DISTINCT epoch) FROM alignment_curve GROUP BY 1, 2"
    layers = {"bp": 13, "asap": 12}
    assert sorted(query(measured, counts)) == [
        ("asap", "update", 4 * layers["asap"], 4),
        ("asap", "weights", 4 * layers["asap"], 4),
        ("bp", "update", 4 * layers["bp"], 4),
    ]
    counts = "SELECT rule, count(*), count(DISTINCT epoch) FROM gradient_quality_curve GROUP BY 1"
    assert sorted(query(measured, counts)) == [(rule, 4 * (n + 1), 4) for rule, n in sorted(layers.items())]


@pytest.mark.slow
def test_show_prints_the_last_epochs_angles_by_layer(measured) -> None:
    (cell,) = query(measured, "SELECT id FROM cell WHERE rule = 'asap' AND seed = 0")[0]
    lines = run(measured, "show", cell[:10]).splitlines()
    start = lines.index("angles after epoch 3, in degrees")
    assert lines[start + 1].split() == ["layer", "weights", "update"]
    last = f"SELECT layer, quantity, round(degrees, 1) FROM alignment_curve WHERE cell_id = '{cell}' AND epoch = 3"
    expected = {(layer, quantity): f"{angle:.1f}" for layer, quantity, angle in query(measured, last)}
    assert "gradients beside backpropagation's after epoch 3" in lines
    assert lines[-1].split()[:2] == ["whole", "network"]
    rows = [line.split() for line in lines[start + 2 : start + 14]]
    assert {(row[0], "weights"): row[1] for row in rows} | {(row[0], "update"): row[2] for row in rows} == expected


@pytest.mark.faults
def test_a_kill_at_any_moment_loses_no_measurement(measured, tmp_path) -> None:
    write_suite(tmp_path)
    process = start(tmp_path, "run", "small.toml", *SEED, "--slots", "2", *MEASURES)
    wait_until(lambda: recorded(tmp_path) >= 2, "some epochs")
    process.kill()
    process.communicate()
    wait_until(lambda: not workers(tmp_path), "the workers to end with their parent")
    run(tmp_path, "resume", "--slots", "2", *MEASURES)
    assert curves(tmp_path) == curves(measured)
    assert query(tmp_path, ANGLES) == query(measured, ANGLES)
    assert query(tmp_path, QUALITIES) == query(measured, QUALITIES)
