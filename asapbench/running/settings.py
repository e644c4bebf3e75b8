"""`RunSettings`: where cells are trained, and when a run retries, gives up or stops. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from asapbench.errors import SuiteError
from asapbench.machine.slots import Count
from asapbench.setting import Setting


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Handed on whole from the command line to the runner. Raises SuiteError for settings that contradict each other.

    `files` None: beside a SQLite database. `slots`: in all on the CPU, on each GPU; None: what the device has.
    """

    data: Annotated[
        Path | None, Setting(metavar="DIR", help="Where the data sets are. [default: $ASAPBENCH_DATA, else ./data]")
    ] = None
    files: Annotated[
        Path | None,
        Setting(
            metavar="DIR",
            envvar="ASAPBENCH_FILES",
            help="Where checkpoints, weights and logs are. [default: beside a SQLite database, else "
            "results/NAME.files]",
        ),
    ] = None
    executor: Annotated[
        Literal["local", "ray", "slurm"],
        Setting(help="Where cells train: on this machine, on the nodes of a Ray cluster, or in one job of Slurm."),
    ] = "local"
    address: Annotated[
        str | None,
        Setting(
            metavar="HOST:PORT",
            help="The Ray cluster; local: start one. [default: $RAY_ADDRESS, else one running here, else local]",
        ),
    ] = None
    slurm: Annotated[
        list[str] | None,
        Setting(metavar="OPTION=VALUE", help="An option of sbatch, as in time=12:00:00. Repeatable.", of_one_run=True),
    ] = None
    slots: Annotated[
        Count,
        Setting(
            metavar="N|auto",
            help="Cells that train at a time: on the CPU in all, on GPUs on each; auto: as many as memory allows.",
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        Setting(
            metavar="TIME", help="Stop cleanly after 90s, 15m, 2h or 1:30:00. Continue with `resume`.", of_one_run=True
        ),
    ] = None
    retries: Annotated[int, Setting(min=0, metavar="N", help="Retry a failed cell up to N times.")] = 1
    max_failures: Annotated[
        int | None, Setting(min=1, metavar="N", help="Stop the run cleanly when N cells have failed for good.")
    ] = None
    fail_fast: Annotated[bool, Setting(help="The same as --max-failures 1.")] = False
    hang_seconds: Annotated[
        float,
        Setting(
            name="--hang-after", metavar="TIME", help="Kill a worker that is silent for this long, and retry its cell."
        ),
    ] = 600.0
    csv_log: Annotated[
        Path | None, Setting(metavar="FILE.csv", help="Also append each epoch to this file, as the run proceeds.")
    ] = None
    tensorboard: Annotated[Path | None, Setting(metavar="DIR", help="Also log each epoch for TensorBoard.")] = None
    wandb: Annotated[
        str | None, Setting(metavar="PROJECT", help="Also log each epoch to a project of Weights & Biases.")
    ] = None
    mlflow: Annotated[
        str | None,
        Setting(metavar="URI", help="Also log each epoch to MLflow, as in http://HOST:5000 or sqlite:///mlflow.db."),
    ] = None

    def __post_init__(self) -> None:
        if self.address is not None and self.executor != "ray":
            raise SuiteError(f"--address {self.address}: belongs to --executor ray")
        if self.slurm and self.executor != "slurm":
            raise SuiteError(f"--slurm {self.slurm[0]}: belongs to --executor slurm")

    @property
    def failure_limit(self) -> int | None:
        """How many cells may fail for good before the run stops; None: any number."""
        return 1 if self.fail_fast else self.max_failures
