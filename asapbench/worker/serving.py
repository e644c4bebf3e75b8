"""The start of a process that serves commands: one JSON object a line on standard input, answers on standard output."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import IO

import torch

from asapbench.errors import PluginError
from asapbench.suite import plugins
from asapbench.training.optimizer import leave_compiler_out


def start_serving(receive: Callable[[str], None]) -> IO[str]:
    """Call `receive` with each line of standard input, from a thread; return the stream for answers.

    What libraries print goes to standard error from now on. The process ends when its parent closes standard input.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides what it means
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_listen, args=(receive,), daemon=True).start()
    torch.set_num_interop_threads(1)
    leave_compiler_out()
    try:
        plugins.load_installed()
        plugins.load_all(sys.argv[1:])
    except PluginError as error:  # changed since the run began, or not on this node
        sys.exit(f"error: {error}")
    return answers


def _listen(receive: Callable[[str], None]) -> None:
    for line in sys.stdin:
        receive(line)
    # The parent is gone or has no more work. A half-written checkpoint is no loss: the one before it stands.
    os._exit(0)
