"""A module run as a process that does not outlive its parent: `python -m asapbench.worker.orphan PARENT MODULE`.

A worker hears of its parent's end from its standard input, if it hears at all: one that was stopped, or hangs in a
library that lets no other thread run, does not. On Linux the kernel is asked to kill it then, before MODULE is
imported, which may take seconds. Elsewhere the closed input has to do.

Linux binds this to the *thread* that started the process: that thread must live as long as the process may.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Asks the kernel to kill this process when `parent` ends. Ends at once where that has happened by now."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    runpy.run_module(sys.argv[2], run_name="__main__", alter_sys=True)
