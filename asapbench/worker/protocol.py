"""What runner and worker say to each other: one JSON object a line, commands one way, events the other."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from asapbench.metrics import EpochMetrics, LayerRow
from asapbench.store.records import EndState
from asapbench.training.settings import TrainingSettings


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Train(_Message):
    """Train one cell with `settings`: those of the worker's slot.

    `directory` takes its checkpoints, `previous` may hold those of earlier attempts. `weights` is where the final
    weights are kept, None where they are not. `code` is a folder for compiled code, which the worker's parent removes.
    """

    kind: Literal["train"] = "train"
    attempt: str
    cell: dict[str, Any]
    directory: str
    previous: list[str]
    data: str
    settings: TrainingSettings
    weights: str | None
    code: str | None = None


class Stop(_Message):
    """Stop the cell after the step under way, with a checkpoint.

    With `attempt` that cell alone, if it is still in training; without, for good: the worker gets no more cells.
    """

    kind: Literal["stop"] = "stop"
    attempt: str | None = None


Command = Annotated[Train | Stop, Field(discriminator="kind")]
COMMAND: TypeAdapter[Train | Stop] = TypeAdapter(Command)


class Ready(_Message):
    """The worker has started."""

    kind: Literal["ready"] = "ready"
    versions: dict[str, str]
    hardware: dict[str, Any]


class Warned(_Message):
    """Something a user should know."""

    kind: Literal["warned"] = "warned"
    attempt: str
    message: str


class Resumed(_Message):
    """The cell has started, after the epochs of `history`: the database inserts those that it lacks."""

    kind: Literal["resumed"] = "resumed"
    attempt: str
    history: list[EpochMetrics]
    batch: int
    bit_exact: bool


class Progressed(_Message):
    """A sign of life from the training loop; `accuracy` over the epoch so far, `rate` in examples a second.

    After the last of `batches` the cell is evaluated.
    """

    kind: Literal["progressed"] = "progressed"
    attempt: str
    epoch: int
    batch: int
    batches: int
    accuracy: float
    rate: float


class Alive(_Message):
    """A sign of life where there is nothing else to say, as in a long evaluation."""

    kind: Literal["alive"] = "alive"
    attempt: str


class FinishedEpoch(_Message):
    """An epoch that a durable checkpoint holds; training may be some epochs further."""

    kind: Literal["epoch"] = "epoch"
    attempt: str
    metrics: EpochMetrics


class Aligned(_Message):
    """Measurements of layers that a durable checkpoint holds: the database inserts those that it lacks."""

    kind: Literal["aligned"] = "aligned"
    attempt: str
    rows: list[LayerRow]


class Ended(_Message):
    """The attempt's end; `error` is a whole traceback where it failed. `lasting`: another try would fail the same."""

    kind: Literal["ended"] = "ended"
    attempt: str
    state: EndState
    error: str | None = None
    lasting: bool = False
    bit_exact: bool = True
    weights_digest: str | None = None


AnyEvent = Ready | Warned | Resumed | Progressed | Alive | FinishedEpoch | Aligned | Ended
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="kind")])
