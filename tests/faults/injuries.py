"""The faults of a campaign: each is done to the running `asapbench` of a suite, and may end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from small_runs import query, wait_until, workers

if TYPE_CHECKING:
    from campaign import Campaign

Injury = Callable[["Campaign"], None]
INJURIES: dict[str, Injury] = {}
SMALL_DISK = 64_000_000
"""Bytes: a file system larger than this is not filled."""


def injury(kind: str) -> Callable[[Injury], Injury]:
    def named(do: Injury) -> Injury:
        INJURIES[kind] = do
        return do

    return named


@injury("SIGKILL to a worker")
def kill_a_worker(campaign: Campaign) -> None:
    for pid in _some_worker(campaign):
        signal_to(pid, signal.SIGKILL)


@injury("SIGKILL to the run")
def kill_the_run(campaign: Campaign) -> None:
    campaign.process.kill()
    campaign.wait_for_end(campaign.process, "a killed run to end")


@injury("SIGKILL to all at once")
def kill_everything(campaign: Campaign) -> None:
    for pid in [*workers(campaign.folder), campaign.process.pid]:
        signal_to(pid, signal.SIGKILL)
    campaign.wait_for_end(campaign.process, "a killed run to end")


@injury("SIGTERM once")
def terminate(campaign: Campaign) -> None:
    campaign.process.terminate()
    campaign.wait_for_end(campaign.process, "the run to end after SIGTERM")


@injury("Ctrl-C once")
def interrupt(campaign: Campaign) -> None:
    campaign.process.send_signal(signal.SIGINT)
    campaign.wait_for_end(campaign.process, "the run to end after Ctrl-C")


@injury("SIGTERM twice")
def terminate_twice(campaign: Campaign) -> None:
    campaign.process.terminate()
    time.sleep(campaign.chance.uniform(0.0, 0.5))
    campaign.process.terminate()
    campaign.wait_for_end(campaign.process, "the run to end after SIGTERM twice")


@injury("Ctrl-C twice")
def interrupt_twice(campaign: Campaign) -> None:
    campaign.process.send_signal(signal.SIGINT)
    time.sleep(campaign.chance.uniform(0.0, 0.5))
    campaign.process.send_signal(signal.SIGINT)
    campaign.wait_for_end(campaign.process, "the run to end after Ctrl-C twice")


@injury("a worker sleeps and wakes")
def let_a_worker_sleep(campaign: Campaign) -> None:
    for pid in _some_worker(campaign):
        signal_to(pid, signal.SIGSTOP)
        time.sleep(campaign.chance.uniform(0.5, 3.0))
        signal_to(pid, signal.SIGCONT)


@injury("a worker hangs")
def hang_a_worker(campaign: Campaign) -> None:
    """The run must notice by itself, and end it."""
    for pid in _some_worker(campaign):
        signal_to(pid, signal.SIGSTOP)
        wait_until(
            lambda pid=pid: pid not in workers(campaign.folder) or not campaign.alive(), "a hung worker's end", 300
        )
        if not campaign.alive():
            signal_to(pid, signal.SIGCONT)


@injury("a worker hangs, then the run is killed")
def hang_a_worker_and_kill_the_run(campaign: Campaign) -> None:
    """Nobody is left to notice that it hangs. One that begins to hang before its own code runs is nobody's fault."""
    for pid in _some_worker(campaign):
        wait_until(lambda pid=pid: _has_loaded_torch(pid) or not campaign.alive(), "a worker that is under way")
        signal_to(pid, signal.SIGSTOP)
        time.sleep(campaign.chance.uniform(0.0, 1.0))
    kill_the_run(campaign)


@injury("the run sleeps past its lease and wakes")
def sleep_past_the_lease(campaign: Campaign) -> None:
    """Another run takes its cells over; sometimes its workers sleep too, sometimes they train on unheard."""
    sleepers = [campaign.process.pid, *campaign.chance.choice(([], workers(campaign.folder)))]
    for pid in sleepers:
        signal_to(pid, signal.SIGSTOP)
    other = campaign.launch("run", "small.toml")
    _wait_until_it_trains(campaign, other)
    time.sleep(campaign.chance.uniform(0.0, 2.0))
    for pid in sleepers:
        signal_to(pid, signal.SIGCONT)
    time.sleep(campaign.chance.uniform(0.0, 2.0))
    other.send_signal(campaign.chance.choice((signal.SIGKILL, signal.SIGTERM)))
    campaign.wait_for_end(other, "the second run to end")


@injury("two runs, one killed")
def run_a_second_and_kill_one(campaign: Campaign) -> None:
    other = campaign.launch("run", "small.toml")
    time.sleep(campaign.chance.uniform(0.0, 6.0))
    victim, survivor = campaign.chance.sample((campaign.process, other), 2)
    victim.kill()
    campaign.wait_for_end(victim, "a killed run to end")
    campaign.process = survivor


@injury("a checkpoint cut short")
def truncate_a_checkpoint(campaign: Campaign) -> None:
    _damage_a_checkpoint(campaign, lambda content: content[: campaign.chance.randrange(len(content))])


@injury("a checkpoint zeroed")
def zero_a_checkpoint(campaign: Campaign) -> None:
    _damage_a_checkpoint(campaign, lambda content: bytes(len(content)))


@injury("a bit of a checkpoint flipped")
def flip_a_bit_of_a_checkpoint(campaign: Campaign) -> None:
    def flipped(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[campaign.chance.randrange(len(changed))] ^= 1 << campaign.chance.randrange(8)
        return bytes(changed)

    _damage_a_checkpoint(campaign, flipped)


@injury("the database locked for a while")
def lock_the_database(campaign: Campaign) -> None:
    wait_until(lambda: campaign.database.exists() or not campaign.alive(), "a database")
    with closing(sqlite3.connect(campaign.database, timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(campaign.chance.uniform(0.5, 4.0))
        other.execute("ROLLBACK")


@injury("the disk full for a while")
def fill_the_disk(campaign: Campaign) -> None:
    filler = fill(campaign.root)
    time.sleep(campaign.chance.uniform(0.5, 4.0))
    filler.unlink()


def fill(disk: Path) -> Path:
    """A file that leaves no room beside it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # which is what is wanted: it is full
        while True:
            file.write(bytes(4096))
    return filler


def possible(root: Path) -> list[str]:
    """The kinds that can be done to suites below `root`: only a small disk is filled."""
    small = shutil.disk_usage(root).total <= SMALL_DISK
    return [kind for kind, do in INJURIES.items() if small or do is not fill_the_disk]


def _some_worker(campaign: Campaign) -> list[int]:
    """One of the workers; none where the run ends first."""
    wait_until(lambda: workers(campaign.folder) or not campaign.alive(), "a worker")
    found = workers(campaign.folder)
    return campaign.chance.sample(found, min(1, len(found)))


def _has_loaded_torch(pid: int) -> bool:
    """Or started to; or ended by itself."""
    import psutil

    try:
        return any("libtorch" in library.path for library in psutil.Process(pid).memory_maps())
    except psutil.NoSuchProcess:
        return True


def signal_to(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself in the meantime
        os.kill(pid, number)


def _wait_until_it_trains(campaign: Campaign, process: subprocess.Popen[str]) -> None:
    """Or until it has ended, because there was nothing left for it or the sleeper holds the database's lock."""

    def trains() -> bool:
        try:
            return query(campaign.folder, f"SELECT 1 FROM attempt WHERE pid = {process.pid}") != []
        except sqlite3.OperationalError:
            return False  # no database yet

    wait_until(lambda: process.poll() is not None or trains(), "a take-over", 300)


def _damage_a_checkpoint(campaign: Campaign, damaged: Callable[[bytes], bytes]) -> None:
    """Kills everything, and damages the newest checkpoint of one of the attempts that were running."""
    wait_until(lambda: any(campaign.folder.rglob("*.checkpoint")) or not campaign.alive(), "a checkpoint")
    kill_everything(campaign)
    wait_until(lambda: not workers(campaign.folder), "killed workers to end")
    found = sorted(campaign.folder.rglob("*.checkpoint"), key=lambda path: path.stat().st_mtime)
    for path in campaign.chance.sample(found[-2:], min(1, len(found))):
        path.write_bytes(damaged(path.read_bytes()))
