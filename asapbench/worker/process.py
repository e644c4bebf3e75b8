"""Worker processes on this machine: start, commands, events and end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from pydantic import ValidationError

import asapbench
from asapbench.machine.memory import KernelKills
from asapbench.machine.slots import Slot
from asapbench.suite import plugins
from asapbench.worker import orphan
from asapbench.worker.protocol import EVENT, Command, Train
from asapbench.worker.supervision import Cause, Inbox, WorkerEvent

_TAIL_BYTES = 8_000
_PACKAGES = Path(asapbench.__file__).resolve().parent.parent


class WorkerProcess:
    """One process on one slot. A thread puts its events into `inbox`."""

    def __init__(self, slot: Slot, *, log: Path, inbox: Inbox, kills: KernelKills | None = None) -> None:
        self.slot, self.log, self._inbox, self._kills = slot, log, inbox, kills or KernelKills()
        self.ready = False
        self._code: tempfile.TemporaryDirectory[str] | None = None
        with _opened(log) as stderr:
            self._process = start("asapbench.worker.main", slot, stderr=stderr)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, command: Command) -> None:
        """Send a command; no error if the worker is gone, since its end arrives in the inbox."""
        assert self._process.stdin is not None
        if isinstance(command, Train) and command.settings.compiled:
            command = command.model_copy(update={"code": self._folder_for_code()})
        try:
            self._process.stdin.write(command.model_dump_json() + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """End an idle worker by closing its standard input; kill it if it runs on for five seconds. Waits 30 s for a
        killed one: a process that reads a file of a dead server cannot end.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30)

    def cause_of_end(self) -> Cause:
        """What ended the process: its own exit status or a signal, perhaps from the kernel's out-of-memory killer."""
        code = self._process.wait()
        if code >= 0:
            return Cause(f"the worker (pid {self.pid}) ended with exit status {code}")
        killed = f"the worker (pid {self.pid}) was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL and self._kills.attribute_one():
            return Cause(f"{killed} of the kernel's out-of-memory killer", "out_of_memory")
        return Cause(killed, "killed")

    def log_tail(self) -> str:
        """The end of what the worker and its libraries printed."""
        return tail(self.log)

    def _folder_for_code(self) -> str | None:
        """A folder of this worker, removed with it: no other worker finds what a killed one left half-written."""
        if self._code is None:
            with contextlib.suppress(OSError):  # the worker reports that it has none
                self._code = tempfile.TemporaryDirectory(prefix="asapbench-", ignore_cleanup_errors=True)
        return None if self._code is None else self._code.name

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            with self._process.stdout as lines:
                for line in lines:
                    self._receive(line)
        finally:
            if self._code is not None:
                self._code.cleanup()
            self._inbox.put(WorkerEvent(self, None))

    def _receive(self, line: str) -> None:
        try:
            event = EVENT.validate_json(line)
        except ValidationError:
            # Cut by the worker's death, or printed by a library before the worker took its output over.
            with _opened(self.log) as log, contextlib.suppress(OSError):  # a full disk costs the line, not the cell
                log.write(line.encode(errors="replace"))
        else:
            self._inbox.put(WorkerEvent(self, event))


def start(module: str, slot: Slot, *, stderr: IO[bytes]) -> subprocess.Popen[str]:
    """A process on `slot` that runs `module` with the plug-ins of this one, with pipes to talk to it by lines."""
    # A process group of its own: Ctrl-C in the terminal reaches this process alone, which then decides.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", orphan.__name__, str(os.getpid()), module, *plugins.sources()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=os.environ | _import_path() | slot.environment(),
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def _opened(log: Path) -> IO[bytes]:
    """The log, or the null device if the log can no longer be opened: a cell trains without one."""
    try:
        return log.open("ab", buffering=0)
    except OSError:
        return open(os.devnull, "ab", buffering=0)


def tail(log: Path) -> str:
    """The end of a worker's log; empty if there is none yet."""
    content = log.read_bytes()[-_TAIL_BYTES:] if log.exists() else b""
    return content.decode("utf-8", "replace")


def _import_path() -> dict[str, str]:
    """Variables by which the worker imports this very package, and nothing of its current folder (-P)."""
    if _PACKAGES.name in ("site-packages", "dist-packages"):
        return {}
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": str(_PACKAGES) if not before else f"{_PACKAGES}{os.pathsep}{before}"}
