"""A module run as a process that does not outlive its parent: `python -m asapbench.worker.orphan PARENT MODULE ...`.

A worker detects its parent's end by its standard input. A worker that was suspended, or hangs in a library that lets
no other thread run, does not. On Linux the kernel therefore kills it, from before MODULE is imported, which may take
seconds. On other systems the closed input must suffice.

Linux binds this to the *thread* that started the process: that thread must run as long as the process.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Let the kernel kill this process when `parent` ends. Ends at once if `parent` has ended already."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    module = sys.argv[2]
    del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
