"""Output that cannot be written ends no work; a command that only prints says so in one line."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import DB, environment, query, wait_until

from asapbench.streams import Output

ASAPBENCH = f"{sys.executable} -m asapbench"
RUN = (
    f"{ASAPBENCH} run quickstart --only model=resnet10 --only rule=bp --seeds 0 --set model.width=1 --set epochs=2"
    " --set dataset.train_size=64"
)
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


def shell(folder: Path, line: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False,
        **more,
    )  # fmt: skip


def trained(folder: Path) -> bool:
    return query(folder, "SELECT state, epochs_done FROM attempt") == [("done", 2)]


@pytest.mark.faults
@pytest.mark.parametrize(
    "output",
    [
        pytest.param(">/dev/full 2>&1", marks=FULL, id="a full disk"),
        pytest.param(">&- 2>&-", id="closed"),
        pytest.param("<&- >&- 2>&-", id="all closed"),
        pytest.param("| head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", id="a reader that has gone away"),
    ],
)
def test_a_run_ends_as_its_training_does(tmp_path: Path, output: str) -> None:
    done = shell(tmp_path, f"{RUN} {output}")
    assert (done.returncode, done.stderr) == (0, "")
    assert trained(tmp_path)


@pytest.mark.faults
def test_a_run_whose_cell_fails_says_so_by_its_status_alone(tmp_path: Path) -> None:
    done = shell(tmp_path, f"{RUN} --time-limit 0.01s >&- 2>&-")
    assert done.returncode == 3


@pytest.mark.faults
def test_a_run_outlives_its_terminal_where_the_hang_up_is_ignored(tmp_path: Path) -> None:
    if not shutil.which("setsid"):
        pytest.skip("no setsid here")
    ours, theirs = pty.openpty()
    line = f"trap '' HUP; exec {RUN.replace('epochs=2', 'epochs=60')}"
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", "sh", "-c", line],
        cwd=tmp_path, env=environment() | {"TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""

    def draws() -> bool:
        nonlocal shown
        if select.select([ours], [], [], 0)[0]:
            shown += os.read(ours, 65536)
        return re.search(rb"[1-9]\d*/60", shown) is not None  # the table is drawn twice a second: not each epoch

    try:
        wait_until(draws, "the first epoch on the terminal")
        os.close(ours)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
    assert query(tmp_path, "SELECT state, epochs_done FROM attempt") == [("done", 60)]


@FULL
@pytest.mark.parametrize(
    "command",
    ["catalog", "--help", "--version", "data list", "run quickstart --dry-run"],
)
def test_a_command_that_only_prints_names_the_fault_and_fails(tmp_path: Path, command: str) -> None:
    done = shell(tmp_path, f"{ASAPBENCH} {command} >/dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output cannot be written to (No space left on device)")
    assert len(done.stderr.splitlines()) == 1


def test_a_command_that_writes_its_result_to_a_file_needs_no_standard_output(tmp_path: Path) -> None:
    done = shell(tmp_path, f"{ASAPBENCH} analyze memory --out m.md >&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "m.md").read_text()


@FULL
def test_what_was_merged_and_exported_does_not_depend_on_what_was_printed(tmp_path: Path) -> None:
    from asapbench.store import Store

    (tmp_path / DB).parent.mkdir()
    Store.open(str(tmp_path / DB)).close()
    for command in ("export out.sqlite", "merge out.sqlite", "clean"):
        done = shell(tmp_path, f"{ASAPBENCH} {command} >/dev/full 2>&1")
        assert done.returncode == 0, command


def test_no_file_takes_the_place_of_a_closed_standard_stream(tmp_path: Path) -> None:
    code = (
        "import os, sys; from asapbench.streams import steady_streams\n"
        "with steady_streams():\n"
        "    print('lost'); descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "    sys.exit(descriptor <= 2)"
    )
    done = shell(tmp_path, f'{sys.executable} -c "{code}" file <&- >&- 2>&-')
    assert done.returncode == 0


def test_a_descriptor_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    code = (
        "import os; from asapbench.streams import steady_streams; os.set_blocking(1, False)\n"
        "with steady_streams(): print('x' * 1_000_000)"
    )
    done = shell(tmp_path, f'{sys.executable} -c "{code}" | (sleep 0.5; wc -c)')
    assert (int(done.stdout), done.stderr) == (1_000_001, "")


def test_the_first_fault_is_kept_and_later_output_is_written_again() -> None:
    reading, writing = os.pipe()
    output = Output(writing)
    os.close(reading)
    assert output.write(b"lost") == 4
    assert isinstance(output.lost, BrokenPipeError)
    reading, again = os.pipe()
    os.dup2(again, writing)
    assert output.write(b"kept") == 4
    assert os.read(reading, 10) == b"kept"
    for descriptor in (reading, again, writing):
        os.close(descriptor)
