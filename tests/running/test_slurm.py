"""A run as a job of Slurm: what sbatch is given, and that a job whose time is over is queued again and continues.

There is no Slurm here: `sbatch` and `srun` are stand-ins that keep what they are given, and the queue is submitit's own
local one, which starts a job again as Slurm does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from small_runs import curves, environment, query, recorded, run, wait_until, workers, write_suite

from asapbench.errors import SuiteError, WorkerError
from asapbench.running.slurm import submit, without_slurm

needs_submitit = pytest.mark.skipif(
    find_spec("submitit") is None, reason="submitit is not installed: the extra `slurm`"
)

PLUGIN = Path(__file__).parents[1] / "plugins" / "my_rules.py"
PLUGIN_SUITE = """
[suite]
name = "small"

[[grid]]
dataset = { name = "digits", train_size = 64 }
model = { name = "tower", width = 1 }
rule = { name = "asfa", k = 1 }
lr = 1e-3
batch_size = 32
"""
JOB = """
import sys, submitit
from asapbench.running.slurm import Job
queue = submitit.LocalExecutor("jobs")
queue.update_parameters(timeout_min=60, stderr_to_stdout=True)
job = queue.submit(Job(sys.argv[1:]))
job.wait()
print(job.stdout())
"""


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs called sbatch and srun; gives the file that sbatch keeps its script in."""
    programs, kept = tmp_path / "bin", tmp_path / "script"
    programs.mkdir()
    for name, text in (("sbatch", f'cp "$1" {kept}; echo Submitted batch job 4711'), ("srun", "exit 1")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return kept


@needs_submitit
def test_a_folder_for_the_jobs_files_that_cannot_be_made_is_one_error(sbatch, tmp_path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(WorkerError, match=r"results/slurm cannot be written .*start from another folder"):
        submit(["status"], options=["time=1:00"], folder=tmp_path / "results" / "slurm")


@needs_submitit
def test_the_job_gets_notice_of_its_end_in_time_and_takes_sbatchs_options(sbatch, tmp_path) -> None:
    write_suite(tmp_path)
    options = ("--slurm", "time=12:00:00", "--slurm=cpus-per-task=8", "--slurm", "partition=gpu")
    said = run(tmp_path, "run", "small.toml", "--executor", "slurm", *options)
    assert said.startswith("Slurm job 4711; what it prints: ")
    lines = sbatch.read_text().splitlines()
    for flag in ("time=12:00:00", "cpus-per-task=8", "partition=gpu", "signal=USR1@90", "requeue", "open-mode=append"):
        assert f"#SBATCH --{flag}" in lines
    assert sum(line.startswith("#SBATCH --time=") for line in lines) == 1
    assert "export SUBMITIT_PREEMPT_SIGNAL=USR1" in lines
    (command,) = (line for line in lines if line.startswith("srun "))
    assert "--cpus-per-task=8" in command
    assert not (tmp_path / "results" / "asapbench.sqlite").exists(), "nothing is trained where the job is submitted"


@needs_submitit
def test_the_job_trains_the_suite_with_its_plug_in(sbatch, tmp_path) -> None:
    shutil.copy(PLUGIN, tmp_path)
    write_suite(tmp_path, PLUGIN_SUITE)
    # Like Slurm, sbatch returns before the job starts. srun runs the command that follows its options.
    job = "env SLURM_JOB_ID=4711 SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0"
    (sbatch.parent / "bin" / "sbatch").write_text(
        f'#!/bin/sh\n{job} SLURM_JOB_NODELIST=here bash "$1" > job.txt 2>&1 &\necho Submitted batch job 4711\n'
    )
    (sbatch.parent / "bin" / "srun").write_text(
        '#!/bin/sh\nfor one; do case "$one" in */python*) exec "$@";; esac; shift; done\n'
    )
    arguments = ("small.toml", "--plugin", "my_rules.py", "--set", "epochs=1", "--executor", "slurm")
    run(tmp_path, "run", *arguments, "--slurm", "time=1:00:00")
    done = "SELECT count(*) FROM attempt WHERE state = 'done'"
    wait_until(lambda: recorded(tmp_path) >= 1 and query(tmp_path, done) == [(1,)], "the end of the cell")


@needs_submitit
@pytest.mark.faults
def test_a_job_whose_time_is_over_is_queued_again_and_resumes_to_the_same_bits(undisturbed, tmp_path) -> None:
    write_suite(tmp_path)
    arguments = ("run", "small.toml", "--slots", "2", "--csv-log", "log.csv")
    waiting = subprocess.Popen(
        [sys.executable, "-c", JOB, *arguments],
        cwd=tmp_path,
        env=environment() | {"SUBMITIT_PREEMPT_SIGNAL": "USR1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    (job,) = (each for each in psutil.Process(waiting.pid).children(recursive=True) if _is_the_job(each))
    job.send_signal(signal.SIGUSR1)
    output, _ = waiting.communicate(timeout=300)
    assert "Stopped (signal)" in output
    assert "Ended: " in output
    assert curves(tmp_path) == undisturbed[1]
    assert query(tmp_path, "SELECT count(*) FROM attempt WHERE state = 'done'") == [(4,)]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + 12
    assert query(tmp_path, "SELECT count(*) FROM attempt WHERE state = 'interrupted'")[0][0] >= 1
    assert not workers(tmp_path)


def _is_the_job(process: psutil.Process) -> bool:
    return "submitit.core._submit" in process.cmdline()


@pytest.mark.parametrize("option", ["time", "=1", "Time=1", "time=", "time=1\n#SBATCH --uid=0", "a b=1"])
def test_an_option_that_is_none_of_sbatch_is_one_error(option: str, tmp_path) -> None:
    with pytest.raises(SuiteError, match="--slurm partition=gpu"):
        submit(["run", "quickstart"], options=[option], folder=tmp_path)


def test_what_cannot_be_meant_is_one_error(tmp_path) -> None:
    write_suite(tmp_path)
    for command, says in (
        (("run", "small.toml", "--executor", "slurm"), "--slurm time=12:00:00"),
        (("run", "small.toml", "--slurm", "time=1"), "belongs to --executor slurm"),
        (("run", "small.toml", "--address", "here:1"), "belongs to --executor ray"),
        (("rerun", "small", "--executor", "slurm"), "is for run and resume"),
    ):
        assert says in run(tmp_path, *command, status=2)


@needs_submitit
def test_without_slurm_that_is_one_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write_suite(tmp_path)
    said = run(tmp_path, "run", "small.toml", "--executor", "slurm", "--slurm", "time=60", status=2)
    assert "Slurm does not take the job" in said


def test_the_job_runs_the_same_command_on_its_own_machine() -> None:
    given = ["run", "a.toml", "--executor=slurm", "--slurm", "time=60", "--set", "epochs=1", "--slurm=mem=1G"]
    assert without_slurm(given) == ["run", "a.toml", "--set", "epochs=1"]
    assert without_slurm(["resume", "--executor", "slurm", "--threads", "2"]) == ["resume", "--threads", "2"]
