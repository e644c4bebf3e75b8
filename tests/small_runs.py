"""A small suite that trains long enough to be caught in the middle, and `asapbench` as a process of its own."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, TypeVar

import pytest
from filelock import FileLock

SUITE = """\
[suite]
name = "small"

[defaults]
dataset = { name = "digits", train_size = 1280 }
epochs = 3
batch_size = 32
seeds = [0, 1]

[[grid]]
model = { name = "resnet10", width = 2 }
lr = { bp = 3e-2, asap = 1e-2 }
"""
T = TypeVar("T")
DB = "results/asapbench.sqlite"
CURVES = """
SELECT cell_id, epoch, train_loss, train_accuracy, test_loss, test_accuracy, lr
FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id ORDER BY 1, 2
"""


def write_suite(folder: Path, text: str = SUITE) -> Path:
    path = folder / "small.toml"
    path.write_text(text)
    return path


def without_privileges() -> list[str]:
    """The command that takes from root the right to write to every file; none for an ordinary user."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write to every file, and setpriv is not installed")
    dropped = "-dac_override,-dac_read_search,-fowner"
    return ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("ASAPBENCH", "COLUMNS"))}


def start(
    folder: Path, *arguments: str, program: Sequence[str] = ("-m", "asapbench"), output: IO[str] | None = None
) -> subprocess.Popen[str]:
    """`asapbench ARGUMENTS` in `folder`, not waited for; it prints into a pipe, or into `output`."""
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, *arguments: str, status: int = 0, traceback: bool = False) -> str:
    """What `asapbench ARGUMENTS` prints; it must end with `status`."""
    process = start(folder, *arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, f"exit status {process.returncode}:\n{output}"
    assert ("Traceback" in output) is traceback, output
    return output


def run_with(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`asapbench ARGUMENTS` whose Python processes first execute `code`, as a site customisation would."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(code)
    return subprocess.run(
        [sys.executable, "-m", "asapbench", *arguments],
        cwd=folder,
        env=environment() | {"PYTHONPATH": os.pathsep.join([str(folder / "site"), *sys.path])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, which `make` fills for the first test process that asks. All processes read the same one."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def _train(folder: Path) -> None:
    write_suite(folder)
    run(folder, "run", "small.toml", "--slots", "2", "--keep-weights")


def undisturbed_run(factory: pytest.TempPathFactory) -> Path:
    """A folder in which nothing disturbed the small suite, its weights kept: trained once, a copy for each process."""
    trained = made_once(factory, "trained", _train)
    copy = factory.mktemp("undisturbed")
    shutil.copytree(trained, copy, dirs_exist_ok=True)
    with closing(sqlite3.connect(copy / DB)) as database, database:
        database.execute("UPDATE attempt SET weights_path = replace(weights_path, ?, ?)", (str(trained), str(copy)))
    return copy


def query(folder: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{folder / DB}?mode=ro", uri=True)) as database:
        return database.execute(sql).fetchall()


def curves(folder: Path) -> list[tuple]:
    """Every epoch of every cell."""
    return query(folder, CURVES)


def recorded(folder: Path) -> int:
    """Epochs recorded so far; 0 before there is a database."""
    try:
        return len(curves(folder))
    except sqlite3.OperationalError:
        return 0


def wait_until(happened: Callable[[], T], what: str, seconds: float = 120) -> T:
    """What `happened` returned when it was true."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)
    return found


def workers(folder: Path) -> list[int]:
    """Worker processes whose log lies in `folder`."""
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = process.info["cmdline"] or []
        if "asapbench.worker.main" in line:
            try:
                if any(str(folder) in str(file.path) for file in process.open_files()):
                    found.append(process.info["pid"])
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
    return found
