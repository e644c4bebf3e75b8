"""`asapbench run` as a job of Slurm, through submitit: the whole run in one job, with the job's cores or GPUs as slots.

Shortly before the job's time is over Slurm sends SIGUSR1: the run stops cleanly, with a checkpoint of each cell, and
the job is queued again. It then continues from there, by the same command.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asapbench.errors import SuiteError, WorkerError, install_extra

_SIGNAL = "USR1"
_NOTICE_SECONDS = 90
"""Slurm signals a job so long before its end: enough for a step of training and a checkpoint."""
_TIMES = 1000
"""A job whose time is over is queued again up to so many times."""


@dataclass(frozen=True)
class Submitted:
    """A job: its number in Slurm, and the file of its output."""

    number: str
    log: Path


class Job:
    """The job's content: `asapbench ARGUMENTS` in a child process. submitit calls the object, and `checkpoint` on the
    signal.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Run to the end; the job's exit status is that of the run."""
        # Its own session: only submitit gets the signal; a second one would end the run at once.
        self._process = subprocess.Popen([sys.executable, "-m", "asapbench", *self._arguments], start_new_session=True)
        if status := self._process.wait():
            raise SystemExit(status)

    def checkpoint(self) -> Any:
        """Stop the run cleanly; return what to run when the job starts again."""
        from submitit.helpers import DelayedSubmission

        assert self._process is not None
        self._process.terminate()
        # This runs inside a signal handler, over `wait` above, whose lock another `wait` would wait for.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Job(self._arguments))


def submit(arguments: Sequence[str], *, options: Sequence[str], folder: Path) -> Submitted:
    """Submit `asapbench ARGUMENTS` to Slurm with sbatch's `options`, as in time=12:00:00. Its files are in `folder`.

    Raises SuiteError for an invalid option, WorkerError if Slurm is missing or refuses the job.
    """
    given: dict[str, str] = {}
    for name, value in map(_option, options):
        if name in given:
            raise SuiteError(f"--slurm {name}=...: {name} is given twice: give it once")
        given[name] = value
    if "time" not in given:
        raise SuiteError("--executor slurm: say how long the job may take, as in --slurm time=12:00:00")
    if importlib.util.find_spec("submitit") is None:
        raise WorkerError(f"--executor slurm needs submitit: {install_extra('slurm')}")
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = _SIGNAL
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        executor = SlurmExecutor(folder, max_num_timeout=_TIMES)
        executor.update_parameters(
            job_name="asapbench",
            signal_delay_s=_NOTICE_SECONDS,
            stderr_to_stdout=True,
            setup=[f"export SUBMITIT_PREEMPT_SIGNAL={_SIGNAL}"],
            # srun does not take this one over from sbatch.
            srun_args=[f"--{name}={value}" for name, value in given.items() if name == "cpus-per-task"],
            additional_parameters={"requeue": True} | given,
        )
        job = executor.submit(Job(arguments))
    except OSError as error:
        raise WorkerError(
            f"{error.filename or folder} cannot be written ({error.strerror or error}): change its rights, or start "
            "from another folder"
        ) from error
    except (RuntimeError, FailedJobError, FailedSubmissionError) as error:
        raise WorkerError(f"Slurm does not take the job: {' '.join(str(error).split())}") from error
    return Submitted(str(job.job_id), Path(job.paths.stdout))


def without_slurm(arguments: Sequence[str]) -> list[str]:
    """The command line to run in the job: without the options for Slurm."""
    kept, words = [], iter(arguments)
    for word in words:
        name, _, value = word.partition("=")
        if name not in ("--executor", "--slurm"):
            kept.append(word)
        elif not value:
            next(words, None)
    return kept


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[a-z][a-z-]{0,40}", name) or not value.isprintable() or not value:
        raise SuiteError(f"--slurm {text}: write a long option of sbatch and its value, as in --slurm partition=gpu")
    return name, value
