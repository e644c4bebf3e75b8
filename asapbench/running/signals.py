"""Signals that stop a run."""

from __future__ import annotations

import signal
import types
from collections.abc import Iterator
from contextlib import contextmanager

from asapbench.running.runner import Runner
from asapbench.store.store import Store


@contextmanager
def stopped_by_signals(runner: Runner, store: Store) -> Iterator[None]:
    """While the context is open: Ctrl-C, SIGTERM, a closed terminal (except under nohup) and SIGUSR1 (Slurm's)
    stop `runner` cleanly; a second signal ends it at once.
    """
    received = 0

    def stop(_number: int, _frame: types.FrameType | None) -> None:
        nonlocal received
        received += 1
        runner.request_stop("signal")
        if received > 1:
            store.give_up()

    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)  # started by nohup: a closed terminal does not stop it
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
