"""`--wandb PROJECT`: runs of Weights & Biases, one for each series, with the series' id as the run's.

wandb's own variables apply: WANDB_MODE=offline writes to ./wandb (or $WANDB_DIR), for `wandb sync` to send later;
WANDB_ENTITY, WANDB_BASE_URL and WANDB_API_KEY name the account and the server.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asapbench.errors import SinkError
from asapbench.metrics import EpochMetrics
from asapbench.running.sinks.sink import Series, require, scalars

_FINISH_SECONDS = 60.0
"""How long the end of a run may wait for its upload. wandb keeps what was not sent for `wandb sync`."""
_BLOCK, _HEADER, _WHOLE, _LAST = 32_768, struct.Struct("<IHB"), 1, 4
"""The framing of wandb's local logs: https://github.com/google/leveldb/blob/main/doc/log_format.md, after 7 bytes."""


class WeightsAndBiases:
    """The project `project`."""

    def __init__(self, project: str) -> None:
        self.check(project)
        self._project = project
        self._runs: dict[str, Any] = {}
        self._is_offline = _is_offline()

    @staticmethod
    def check(project: str) -> None:
        """Raises SinkError where wandb is not installed, or is online without a login."""
        require("wandb", option="--wandb", install="pip install wandb")
        os.environ.setdefault("WANDB_SILENT", "true")  # the run's own lines say what matters
        import wandb

        try:
            if not (_is_offline() or wandb.login(prompt=False, verify=False)):
                raise wandb.errors.UsageError("no API key is configured")
        except (wandb.errors.Error, TypeError) as error:
            raise SinkError(
                f"--wandb {project} cannot be used ({error}): run `wandb login`, or set WANDB_MODE=offline"
            ) from error

    def open(self, series: Series) -> int:
        """The last step that is in a log on this machine or, when wandb is online, on the server."""
        here = max(map(_last_step, _logs(series.id)), default=0)
        if self._is_offline:
            return here
        return max(here, int(self._run(series).starting_step) - 1)

    def epoch(self, series: Series, metrics: EpochMetrics) -> None:
        """Log the epoch as one step."""
        self._run(series).log(scalars(metrics), step=metrics.epoch)

    def ended(self, series: Series, state: str) -> None:
        """End the run; wandb shows ends other than `done` as failed."""
        if (run := self._runs.pop(series.id, None)) is not None:
            run.summary["state"] = state
            run.finish(exit_code=int(state != "done"))

    def close(self) -> None:
        """End the runs of series that have not ended."""
        for run in self._runs.values():
            run.finish(exit_code=1)

    def _run(self, series: Series) -> Any:
        import wandb

        if series.id not in self._runs:
            self._runs[series.id] = wandb.init(
                project=self._project,
                id=series.id,
                name=series.name,
                group=series.group,
                config=series.settings(),
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off", finish_timeout=_FINISH_SECONDS),
            )
        return self._runs[series.id]


def _is_offline() -> bool:
    import wandb

    return wandb.setup().settings.mode in ("offline", "dryrun", "disabled")


def _logs(run: str) -> list[Path]:
    """The logs of wandb of a run on this machine: a run that was resumed has several."""
    folder = Path(os.environ.get("WANDB_DIR") or ".") / "wandb"
    return sorted(folder.glob(f"*run-*-{run}/run-{run}.wandb"))


def _last_step(log: Path) -> int:
    from wandb.proto.wandb_internal_pb2 import Record

    steps = [0]
    for content in _records(log.read_bytes()):
        record = Record.FromString(content)
        if record.HasField("history"):
            steps.append(record.history.step.num)
    return max(steps)


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a log, as far as they are whole."""
    position, record = 7, b""
    while position + _HEADER.size <= len(content):
        room = _BLOCK - position % _BLOCK
        if room < _HEADER.size:
            position += room
            continue
        _, length, kind = _HEADER.unpack_from(content, position)
        start = position + _HEADER.size
        position = start + length
        if position > len(content):
            return
        record += content[start:position]
        if kind in (_WHOLE, _LAST):
            yield record
            record = b""
