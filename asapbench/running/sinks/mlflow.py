"""`--mlflow URI`: MLflow runs, one for each series, in the experiment "asapbench" or $MLFLOW_EXPERIMENT_NAME.

MLflow chooses the ids of its runs: a run is found again by its tag `asapbench.series`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asapbench.errors import SinkError
from asapbench.metrics import EpochMetrics
from asapbench.running.sinks.sink import Series, check_folder, require, scalars
from asapbench.store.records import without_passwords_of

_TAG = "asapbench.series"
_STEPS = "test/accuracy"
"""The metric whose steps say which epochs a run has."""
_STATES = {"done": "FINISHED", "interrupted": "KILLED"}
"""MLflow's word for how an attempt ended; every other end is FAILED, its own word is in the tag `asapbench.state`."""
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Without these, a server that is away is noticed after minutes. Variables that the user has set stay."""


_TIMEOUTS = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "mssql": "timeout"}
"""What the drivers of a database call the seconds that a connection may take."""
_CONNECT_SECONDS = 10


class MLflow:
    """The tracking server or store `uri`, as in http://HOST:5000 or sqlite:///mlflow.db."""

    def __init__(self, uri: str) -> None:
        self.check(uri)
        self._runs: dict[str, str] = {}
        with _said_in_one_line(uri):
            self._client, found = _experiment(uri)
            self._experiment = found or self._client.create_experiment(_name())

    @staticmethod
    def check(uri: str) -> None:
        """Raises SinkError where MLflow is not installed, or the server or store cannot be used."""
        require("mlflow", option="--mlflow", install="pip install mlflow")
        for name, value in _QUICK.items():
            os.environ.setdefault(name, value)
        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.WARNING)  # they report each migration of a new store
        scheme = uri.partition(":")[0].partition("+")[0] if ":" in uri else "file"
        with _said_in_one_line(uri):
            if scheme in _TIMEOUTS:
                _connect(uri, _TIMEOUTS[scheme])
            elif scheme == "sqlite":
                path = uri.removeprefix("sqlite:///")
                check_folder(Path(path).parent, f"--mlflow {uri}")
            elif scheme == "file":
                check_folder(Path(uri.removeprefix("file:").removeprefix("//")), f"--mlflow {uri}")
            else:
                _experiment(uri)

    def open(self, series: Series) -> int:
        """The last step of the series' run."""
        run = self._found(series)
        if run is None:
            return 0
        self._runs[series.id] = run
        return max((metric.step for metric in self._client.get_metric_history(run, _STEPS)), default=0)

    def epoch(self, series: Series, metrics: EpochMetrics) -> None:
        """Log the epoch in one call."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = [Metric(name, value, now, metrics.epoch) for name, value in scalars(metrics).items()]
        self._client.log_batch(self._run(series), metrics=values)

    def ended(self, series: Series, state: str) -> None:
        """Set the run's status."""
        if (run := self._runs.pop(series.id, None)) is not None:
            self._client.set_tag(run, "asapbench.state", state)
            self._client.set_terminated(run, status=_STATES.get(state, "FAILED"))

    def close(self) -> None:
        """Nothing is open: each call reaches the server."""

    def _run(self, series: Series) -> str:
        """The run of an open series: continued, or created with the settings as parameters."""
        from mlflow.entities import Param

        if (run := self._runs.get(series.id)) is None:
            tags = {_TAG: series.id, "asapbench.cell": series.cell.id, "asapbench.group": series.group}
            run = self._client.create_run(self._experiment, run_name=series.name, tags=tags).info.run_id
            self._client.log_batch(run, params=[Param(n, str(v)) for n, v in series.settings().items()])
            self._runs[series.id] = run
        elif self._client.get_run(run).info.status != "RUNNING":
            self._client.update_run(run, status="RUNNING")
        return run

    def _found(self, series: Series) -> str | None:
        found: Any = self._client.search_runs([self._experiment], f"tags.`{_TAG}` = '{series.id}'", max_results=1)
        return found[0].info.run_id if found else None


def _name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", "asapbench")


def _experiment(uri: str) -> tuple[Any, str | None]:
    """A client, and the id of the experiment if there is one."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(_name())
    return client, found.experiment_id if found else None


def _connect(uri: str, timeout: str) -> None:
    """Connect to a database once: MLflow tries for minutes, with a warning each time."""
    from sqlalchemy import NullPool, create_engine

    with create_engine(uri, connect_args={timeout: _CONNECT_SECONDS}, poolclass=NullPool).connect():
        pass


@contextmanager
def _said_in_one_line(uri: str) -> Iterator[None]:
    """SinkError, without a password, for what MLflow and SQLAlchemy raise."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise SinkError(without_passwords_of(uri, f"--mlflow {uri} cannot be used: {reason}")) from error
