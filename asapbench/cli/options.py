"""Options that several commands share, and how durations and lists are written."""

from __future__ import annotations

import functools
import inspect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer
from typer.core import TyperCommand, TyperOption

from asapbench.errors import SuiteError
from asapbench.report.render import Format
from asapbench.store.records import UNFINISHED, State

if TYPE_CHECKING:
    from asapbench.machine.slots import Count


class Command(TyperCommand):
    """A command that refuses an option given twice, where the parser would forget the first value; lists add up."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As usual; a repeated option that takes one value is a usage error."""
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for parameter, times in () if ctx.resilient_parsing else Counter(given).items():
            if times > 1 and isinstance(parameter, TyperOption) and not parameter.multiple:
                ctx.fail(f"{'/'.join(parameter.opts + parameter.secondary_opts)} is given {times} times: give it once.")
        return super().parse_args(ctx, args)


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
    list[str] | None,
    typer.Option("--seeds", metavar="SEEDS", help="Seeds instead of the suite's: 0,1 or 0-4. Repeatable."),
]
Form = Annotated[
    Format | None,
    typer.Option("--format", help="What the table is written as. [default: as --out's name ends, else terminal]"),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write to this file, whole or not at all: .txt, .md, .tex, .csv, .json; .png, .svg, .pdf: a figure's "
        "picture; -: print.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Where the data sets are. [default: $ASAPBENCH_DATA, else ./data]"),
]
FilesDir = Annotated[
    Path | None,
    typer.Option(
        "--files",
        metavar="DIR",
        envvar="ASAPBENCH_FILES",
        help="Where checkpoints, weights and logs are. [default: beside a SQLite database, else results/NAME.files]",
    ),
]
Device = Annotated[str, typer.Option(help="auto (all GPUs, else CPU cores), cpu, cuda, cuda:N or mps.")]
Slots = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto",
        help="Cells at a time: on the CPU in all, on GPUs on each; auto: as many as have room in memory.",
    ),
]
OnlyState = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STATE[,STATE]",
        help="Only cells that are pending, interrupted, failed or out_of_memory. Repeatable.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run, how long and how much disk; run nothing.")]


Threads = Annotated[int, typer.Option(help="CPU threads of each cell. Other counts change the last bits.")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic/--fast", help="On a GPU: kernels that repeat bit for bit, or the fastest.")
]

Compiled = Annotated[
    bool, typer.Option("--compile", help="Train on torch.compile's kernels. They change the last bits.")
]
CudaGraphs = Annotated[
    bool, typer.Option("--cuda-graphs", help="On an NVIDIA GPU: start all of a pass's kernels at once.")
]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How to train: what `run`, `resume` and `rerun` have in common. Each field is an option of theirs."""

    data: Data = None
    files: FilesDir = None
    executor: Annotated[
        Literal["local", "ray", "slurm"],
        typer.Option(help="Where cells train: here, on the nodes of a Ray cluster, or all of this in a job of Slurm."),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The Ray cluster; local: start one. [default: $RAY_ADDRESS, else one running here, else local]",
        ),
    ] = None
    slurm: Annotated[
        list[str] | None,
        typer.Option("--slurm", metavar="OPTION=VALUE", help="sbatch's own, as in time=12:00:00. Repeatable."),
    ] = None
    device: Device = "auto"
    slots: Slots = None
    threads: Threads = 1
    time_limit: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop cleanly after 90s, 15m, 2h or 1:30:00; then `resume`.")
    ] = None
    checkpoint_every: Annotated[
        str,
        typer.Option(
            metavar="TIME|auto",
            help="Write a checkpoint this often; auto: after each epoch, where that takes at most a tenth of the time, "
            "and every 2 minutes.",
        ),
    ] = "auto"
    keep_weights: Annotated[bool, typer.Option("--keep-weights", help="Keep the final weights of each cell.")] = False
    alignment: Annotated[
        bool,
        typer.Option("--alignment", help="Measure each epoch's angles: W to B, and the update to backpropagation's."),
    ] = False
    retries: Annotated[
        int, typer.Option(min=0, metavar="N", help="Try a cell that failed again so often before it is given up.")
    ] = 1
    max_failures: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop the run cleanly when so many cells were given up.")
    ] = None
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="The same as --max-failures 1.")] = False
    hang_after: Annotated[
        str, typer.Option(metavar="TIME", help="Kill a worker that has said nothing for so long; its cell goes on.")
    ] = "10m"
    deterministic: Deterministic = True
    compiled: Compiled = False
    cuda_graphs: CudaGraphs = False


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with an option for each field of `Training` in place of its parameter `training`."""
    # typer reads signatures: this one is the command's own parameters, then the shared ones.
    types = get_type_hints(command, include_extras=True) | get_type_hints(Training, include_extras=True)
    own = {name: p.default for name, p in inspect.signature(command).parameters.items() if name != "training"}
    defaults = own | {field.name: field.default for field in fields(Training)}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[name])
        for name, default in defaults.items()
    ]

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        training = Training(**{field.name: values.pop(field.name) for field in fields(Training)})
        command(**values, training=training)

    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {name: types[name] for name in defaults}
    return with_options


_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_LONGEST = 1e5 * 86_400.0
_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}


def seconds(text: str, *, option: str) -> float:
    """Seconds of `90`, `90s`, `15m`, `1h30m`, `2d` or `1:30:00`. Raises SuiteError."""
    written = text.strip().lower()
    clock = re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,2}):(\d{2})", written)
    if clock:
        total = 3600.0 * int(clock[1] or 0) + 60.0 * int(clock[2]) + int(clock[3])
    elif re.fullmatch(rf"(?:{_NUMBER}\s*[dhms]\s*)*(?:{_NUMBER})?", written):
        parts = re.findall(rf"({_NUMBER})\s*([dhms]?)", written)
        total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    else:
        raise SuiteError(f"{option} {text}: write a time as 90s, 15m, 2h, 1h30m or 1:30:00")
    if not 0 < total < _LONGEST:
        raise SuiteError(f"{option} {text}: must be longer than nothing and less than {_LONGEST / 86_400:.0f} days")
    return total


def slot_count(text: str | None) -> Count:
    """The number of `--slots 4`, or auto. Raises SuiteError."""
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not re.fullmatch(r"\d{1,6}", text):
        raise SuiteError(f"--slots {text}: write a number of cells, or auto")
    return int(text)


def joined(parts: Sequence[str]) -> str:
    """What a repeated option lists, as if given once: `0` and `5-6` as `0,5-6`."""
    return ",".join(parts)


def states(parts: Sequence[str] | None) -> tuple[State, ...]:
    """The states of `--only-state failed,interrupted`; none where it is not given. Raises SuiteError."""
    if parts is None:
        return ()
    wanted = names(text := joined(parts), option="--only-state")
    for word in wanted:
        if word not in UNFINISHED:
            listed = ", ".join(UNFINISHED)
            raise SuiteError(f'--only-state {text}: no run takes cells that are "{word}" (there are: {listed})')
    return tuple(state for state in UNFINISHED if state in wanted)


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
