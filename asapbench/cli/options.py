"""Options that several commands share, and how durations and lists are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from asapbench.errors import SuiteError
from asapbench.report.render import Format

Db = Annotated[str, typer.Option("--db", metavar="URL", envvar="ASAPBENCH_DB", help="The results database.")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="KEY=VALUE[,VALUE]", help="Only such cells, as in rule=bp,asap. Repeatable."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change cells, as in epochs=1 or rule.k=4. Repeatable."),
]
Seeds = Annotated[
    str | None, typer.Option("--seeds", metavar="SEEDS", help="Seeds instead of the suite's: 0,1 or 0-4.")
]
Form = Annotated[Format, typer.Option("--format", help="What the table is written as.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write to this file, whole or not at all; .png, .svg or .pdf: a figure's picture."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Where the data sets are. [default: $ASAPBENCH_DATA, else ./data]"),
]
Device = Annotated[str, typer.Option(help="auto (all GPUs, else CPU cores), cpu, cuda, cuda:N or mps.")]
Slots = Annotated[int | None, typer.Option(help="Cells at a time: on the CPU in all, on GPUs on each.")]
Threads = Annotated[int, typer.Option(help="CPU threads of each cell. Other counts change the last bits.")]
Executor = Annotated[
    Literal["local", "ray"], typer.Option(help="Where cells train: on this machine, or on the nodes of a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster; local: start one. [default: $RAY_ADDRESS, else one running here, else local]",
    ),
]
TimeLimit = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stop cleanly after 90s, 15m, 2h or 1:30:00; then `resume`.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run, how long and how much disk; run nothing.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop the run at the first cell that fails.")]
KeepWeights = Annotated[bool, typer.Option("--keep-weights", help="Keep the final weights of each cell.")]
Alignment = Annotated[
    bool, typer.Option("--alignment", help="Measure each epoch's angles: W to B, and the update to backpropagation's.")
]
CheckpointEvery = Annotated[
    str, typer.Option(metavar="TIME", help="Write a checkpoint inside an epoch this often, and after each epoch.")
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic/--fast", help="On a GPU: kernels that repeat bit for bit, or the fastest.")
]

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}


def seconds(text: str, *, option: str) -> float:
    """Seconds of `90`, `90s`, `15m`, `1h30m`, `2d` or `1:30:00`. Raises SuiteError."""
    clock = re.fullmatch(r"(?:(\d+):)?(\d{1,2}):(\d{2})", text.strip())
    if clock:
        return 3600.0 * int(clock[1] or 0) + 60.0 * int(clock[2]) + int(clock[3])
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([dhms]?)", text.strip().lower())
    if not parts or not re.fullmatch(r"(?:\d+(?:\.\d+)?\s*[dhms]?\s*)+", text.strip().lower()):
        raise SuiteError(f"{option} {text}: write a time as 90s, 15m, 2h, 1h30m or 1:30:00")
    total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if total <= 0:
        raise SuiteError(f"{option} {text}: must be longer than nothing")
    return total


def names(text: str, *, option: str) -> tuple[str, ...]:
    """The words of `alexnet,resnet18`. Raises SuiteError where there is none."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise SuiteError(f"{option} {text}: no name; write {option} NAME[,NAME]")
    return found


def whole_numbers(text: str, *, option: str) -> tuple[int, ...]:
    """The numbers of `2,4`, each at least 1. Raises SuiteError."""
    words = text.split(",")
    if not all(re.fullmatch(r"\s*0*[1-9]\d{0,8}\s*", word) for word in words):
        raise SuiteError(f"{option} {text}: write whole numbers from 1 on, as in {option} 2,4")
    return tuple(int(word) for word in words)
