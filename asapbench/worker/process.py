"""Worker processes on this machine: how one is started, sent commands, read and ended."""

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
from asapbench.worker import orphan
from asapbench.worker.protocol import EVENT, Command, Train
from asapbench.worker.supervision import Cause, Inbox, WorkerEvent

_TAIL_BYTES = 8_000
_PACKAGES = Path(asapbench.__file__).resolve().parent.parent


class WorkerProcess:
    """One process on one slot. What it says arrives in `inbox`, from a thread of its own."""

    def __init__(self, slot: Slot, *, log: Path, inbox: Inbox, kills: KernelKills | None = None) -> None:
        self.slot, self.log, self._inbox, self._kills = slot, log, inbox, kills or KernelKills()
        self.ready = False
        self._code: tempfile.TemporaryDirectory[str] | None = None
        with _opened(log) as stderr:
            self._process = start("asapbench.worker.main", slot, stderr=stderr)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def send(self, command: Command) -> None:
        """Sends a command. To a worker that is gone it says nothing: its end arrives in the inbox."""
        assert self._process.stdin is not None
        if isinstance(command, Train) and command.compiled:
            command = command.model_copy(update={"code": self._folder_for_code()})
        try:
            self._process.stdin.write(command.model_dump_json() + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()

    def close(self) -> None:
        """Lets an idle worker go: standard input closes and it ends. Kills one that does not within five seconds, and
        does not wait for ever for one that even then does not end, as in the middle of a dead server's file.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone already, which is what was wanted
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30)

    def cause_of_end(self) -> Cause:
        """What ended the process: its own exit status or a signal, which may have been the kernel's, for memory."""
        code = self._process.wait()
        if code >= 0:
            return Cause(f"the worker (pid {self.pid}) ended with exit status {code}")
        killed = f"the worker (pid {self.pid}) was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL and self._kills.one_more():
            return Cause(f"{killed}: the kernel's, because the machine's memory had run out", "out_of_memory")
        return Cause(killed, "killed")

    def log_tail(self) -> str:
        """The end of what the worker and its libraries printed."""
        return tail(self.log)

    def _folder_for_code(self) -> str | None:
        """Of this worker alone, and gone with it: what a killed one left half-written is found by nobody."""
        if self._code is None:
            with contextlib.suppress(OSError):  # the worker says that it has none
                self._code = tempfile.TemporaryDirectory(prefix="asapbench-", ignore_cleanup_errors=True)
        return None if self._code is None else self._code.name

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            with self._process.stdout as lines:
                for line in lines:
                    self._hear(line)
        finally:
            if self._code is not None:
                self._code.cleanup()
            self._inbox.put(WorkerEvent(self, None))

    def _hear(self, line: str) -> None:
        try:
            event = EVENT.validate_json(line)
        except ValidationError:
            # Cut by the worker's death, or printed by a library before the worker took its output over.
            with _opened(self.log) as log, contextlib.suppress(OSError):  # a full disk costs the line, not the cell
                log.write(line.encode(errors="replace"))
        else:
            self._inbox.put(WorkerEvent(self, event))


def start(module: str, slot: Slot, *, stderr: IO[bytes]) -> subprocess.Popen[str]:
    """A process on `slot` that runs `module`, with pipes to talk to it by lines."""
    # A process group of its own: Ctrl-C in the terminal reaches this process alone, which then decides.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", orphan.__name__, str(os.getpid()), module],
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
    """The log, or the null device where the log can no longer be opened: a cell trains without one."""
    try:
        return log.open("ab", buffering=0)
    except OSError:
        return open(os.devnull, "ab", buffering=0)


def tail(log: Path) -> str:
    """The end of a worker's log; nothing where there is none yet."""
    content = log.read_bytes()[-_TAIL_BYTES:] if log.exists() else b""
    return content.decode("utf-8", "replace")


def _import_path() -> dict[str, str]:
    """The worker runs this very package, and nothing of the folder it is started in (-P), wherever that is."""
    if _PACKAGES.name in ("site-packages", "dist-packages"):
        return {}
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": str(_PACKAGES) if not before else f"{_PACKAGES}{os.pathsep}{before}"}
