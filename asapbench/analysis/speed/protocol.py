"""Messages between `bench` and its processes: one JSON object a line, commands one way, answers the other."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from asapbench.training.settings import TrainingSettings


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Prepare(_Message):
    """Build one loop of one cell and warm it up. `settings` are the trainer's, `data` None: random images."""

    kind: Literal["prepare"] = "prepare"
    loop: Literal["own", "eager"]
    cell: dict[str, Any]
    settings: TrainingSettings
    directory: str
    data: str | None
    code: str
    loader_workers: int


class Measure(_Message):
    """Train for `steps` steps, or until `seconds` have passed; whole steps, at least one."""

    kind: Literal["measure"] = "measure"
    steps: int | None
    seconds: float


class Count(_Message):
    """Count the floating-point operations of a step. Sent last: counting takes memory."""

    kind: Literal["count"] = "count"


Command = Prepare | Measure | Count
COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="kind")])


class Prepared(_Message):
    """Warm; `device` is the hardware's name."""

    kind: Literal["prepared"] = "prepared"
    device: str


class Measured(_Message):
    """The result of `Measure`."""

    kind: Literal["measured"] = "measured"
    examples: int
    seconds: float
    peak_bytes: int | None


class Counted(_Message):
    """Floating-point operations of a step, by example."""

    kind: Literal["counted"] = "counted"
    operations: float


class Failed(_Message):
    """The command failed: `error` is a line."""

    kind: Literal["failed"] = "failed"
    error: str


Answer = Prepared | Measured | Counted | Failed
ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])
