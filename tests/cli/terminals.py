"""A command in a terminal of its own: what it prints, byte for byte."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asapbench

_SILENT_SECONDS = 120


@dataclass
class Terminal:
    """A running command whose standard streams are a terminal of `width` columns. `text` is what was read so far."""

    process: subprocess.Popen[bytes]
    side: int
    text: str = field(default="")

    def read(self) -> bool:
        """Reads what there is, waiting for some; False at the end."""
        if not select.select([self.side], [], [], _SILENT_SECONDS)[0]:
            self.process.kill()
            raise AssertionError(f"nothing was printed for {_SILENT_SECONDS} s:\n{self.text}")
        try:
            found = os.read(self.side, 65536)
        except OSError:  # Linux's end of a terminal
            found = b""
        self.text += found.decode(errors="replace").replace("\r\n", "\n")
        return bool(found)

    def read_until(self, wanted: str) -> None:
        """Reads until the text contains `wanted`."""
        while wanted not in self.text:
            assert self.read(), f"{wanted!r} was not printed:\n{self.text}"

    def end(self) -> int:
        """Reads to the end; the exit status."""
        while self.read():
            pass
        os.close(self.side)
        return self.process.wait(30)


def start(
    folder: Path,
    arguments: Sequence[str],
    *,
    term: str = "xterm-256color",
    width: int = 80,
    env: Mapping[str, str] = {},
) -> Terminal:
    """`asapbench ARGUMENTS` in `folder`, in a new terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ASAPBENCH", "COLUMNS", "NO_COLOR"))
    }
    packages = str(Path(asapbench.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "asapbench", *arguments],
        cwd=folder,
        env=kept | {"TERM": term, "PYTHONPATH": packages} | dict(env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return Terminal(process, ours)


def printed(folder: Path, *arguments: str, term: str = "xterm-256color", width: int = 80, **env: str) -> str:
    """What `asapbench ARGUMENTS` prints in a terminal."""
    terminal = start(folder, arguments, term=term, width=width, env=env)
    terminal.end()
    return terminal.text
