"""`asapbench bench` as a user calls it."""

from __future__ import annotations

import csv
import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import environment, run, start, write_suite

QUICK = ("--only", "rule=asap", "--rounds", "2", "--batches", "2", "--device", "cpu")


def test_it_measures_without_data_or_database_and_leaves_nothing(tmp_path: Path) -> None:
    suite = write_suite(tmp_path)
    said = run(tmp_path, "bench", str(suite), *QUICK, "--slots", "2")
    for word in ("ASAP", "2 at once", "eager loop", "samples/s", "random images", "n = 2 rounds"):
        assert word in said
    assert list(tmp_path.iterdir()) == [suite]


@pytest.mark.slow
def test_samples_a_second_times_seconds_an_epoch_are_its_samples(tmp_path: Path) -> None:
    suite = write_suite(tmp_path)
    run(tmp_path, "bench", str(suite), *QUICK, "--peak-tflops", "1", "--format", "csv", "--out", "speed.csv")
    numbers = list(csv.DictReader(io.StringIO((tmp_path / "speed.csv").read_text())))
    for loop in ("", "eager loop, "):
        value = {n["variant"].removeprefix(f"{loop}batch 32, float32, "): n["measured"] for n in numbers}
        assert abs(float(value["samples a second"]) * float(value["seconds an epoch"]) - 1280) < 1e-6
        assert 0 < float(value["fraction of the arithmetic floor"]) < 1
        assert value["fraction of the bandwidth floor"] == ""


@pytest.mark.slow
def test_ctrl_c_prints_what_was_measured(tmp_path: Path) -> None:
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's job in the background is started: deaf to it
    try:
        process = start(tmp_path, "bench", str(write_suite(tmp_path)), "--rounds", "1000", "--device", "cpu")
    finally:
        signal.signal(signal.SIGINT, heard)
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith("[1/2] ")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 3, output
    assert "Stopped before the end" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_the_command_itself_imports_no_torch(tmp_path: Path) -> None:
    arguments = ["asapbench", "bench", str(write_suite(tmp_path)), *QUICK, "--no-eager"]
    code = f"import sys; sys.argv = {arguments}; import asapbench.cli; asapbench.cli.app(standalone_mode=False)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert done.stdout.endswith("False\n")
