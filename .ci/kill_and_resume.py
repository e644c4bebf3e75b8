"""Kills a run of the quickstart suite with SIGKILL, resumes it, and compares its bits with an undisturbed run."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable

RUN = ["asapbench", "run", "quickstart", "--seeds", "0", "--only", "model=resnet10", "--set", "epochs=3"]
DATABASE = "results/asapbench.sqlite"
CURVES = """
SELECT cell_id, epoch, train_loss, train_accuracy, test_loss, test_accuracy
FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id ORDER BY 1, 2
"""
CELLS, EPOCHS = 5, 3


def curves(path: str) -> list[tuple[object, ...]]:
    """Every epoch of every cell; the database must be whole."""
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return database.execute(CURVES).fetchall()


def epochs(path: str) -> int:
    """How many epochs are recorded; none before the database has its tables."""
    try:
        return len(curves(path))
    except sqlite3.OperationalError:
        return 0


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Polls, for two minutes at most."""
    deadline = time.monotonic() + 120
    while not happened():
        if time.monotonic() > deadline:
            sys.exit(f"waited 120 s for {what}")
        time.sleep(0.05)


def main() -> None:
    """Exits with an error where a bit differs."""
    whole = [*RUN, "--db", "sqlite:///whole.sqlite"]
    subprocess.run(whole, check=True)
    again = subprocess.run(whole, check=True, capture_output=True, text=True)
    assert "nothing to train" in again.stdout, again.stdout

    killed = subprocess.Popen([*RUN, "--checkpoint-every", "0.2s"])
    wait_until(lambda: epochs(DATABASE) >= EPOCHS + 1, "the run that is to be killed")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = epochs(DATABASE)
    assert before < CELLS * EPOCHS, "the run had ended before it was killed"
    print(f"killed after {before} of {CELLS * EPOCHS} epochs", flush=True)

    subprocess.run(["asapbench", "resume"], check=True)
    expected, found = curves("whole.sqlite"), curves(DATABASE)
    assert found == expected, f"{len(found)} epochs after the kill differ from {len(expected)} of an undisturbed run"
    print(f"{len(found)} epochs after the kill, the same bits as those of an undisturbed run")


if __name__ == "__main__":
    main()
