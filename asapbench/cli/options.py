"""Options that several commands share, and how times and lists are read."""

from __future__ import annotations

import functools
import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperOption

from asapbench.cli.text import say
from asapbench.errors import SuiteError
from asapbench.report.render import Format
from asapbench.store.records import MEASURED_URL, UNFINISHED, State
from asapbench.suite.options import there_are

if TYPE_CHECKING:
    from asapbench.machine.slots import Count


class Command(TyperCommand):
    """A command that refuses an option given twice, except for lists, which add up, and `--measured` with `--db`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As usual; a repeated option that takes one value is a usage error, and so are two databases."""
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for parameter, times in () if ctx.resilient_parsing else Counter(given).items():
            if times > 1 and isinstance(parameter, TyperOption) and not parameter.multiple:
                ctx.fail(f"{'/'.join(parameter.opts + parameter.secondary_opts)} is given {times} times: give it once.")
        if {"db", "measured"} <= {parameter.name for parameter in given}:
            ctx.fail("--measured reads the results that come with asapbench, --db others: give one of them.")
        return super().parse_args(ctx, args)


class CatalogCommand(Command):
    """A command that loads installed plug-ins."""

    def invoke(self, ctx: Any) -> Any:
        """As usual, with the plug-ins of installed distributions; one that is broken is a warning."""
        from asapbench.suite.plugins import load_installed

        for fault in load_installed():
            say(f"warning: {fault}", err=True)
        return super().invoke(ctx)


def extended(
    command: Callable[..., None],
    added: Mapping[str, Sequence[inspect.Parameter]],
    use: Callable[[dict[str, Any]], None],
) -> Callable[..., None]:
    """`command` with further options: `added` by the parameter whose place they take; without such, at the end.

    `use` takes the values of the options out of all values given, before the command gets what is left.
    """
    # typer reads signatures: this one has the command's own parameters, and those of the options.
    types = get_type_hints(command, include_extras=True)
    groups = {
        name: [parameter.replace(annotation=types[name], kind=inspect.Parameter.KEYWORD_ONLY)]
        for name, parameter in inspect.signature(command).parameters.items()
    }
    parameters = [parameter for group in {**groups, **added}.values() for parameter in group]

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        use(values)
        command(**values)

    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def with_plugins(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the option `--plugin`, which loads a plug-in before the command runs."""

    def load(values: dict[str, Any]) -> None:
        if named := values.pop("plugin"):
            from asapbench.suite.plugins import load_all

            load_all(named)

    plugin = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Plugins)
    return extended(command, {"plugin": [plugin]}, load)


def with_measured(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the option `--measured` behind `--db`: it reads the measured results that come with asapbench."""

    def choose(values: dict[str, Any]) -> None:
        if values.pop("measured"):
            values["db"] = MEASURED_URL

    db = inspect.signature(command).parameters["db"]
    db = db.replace(annotation=get_type_hints(command, include_extras=True)["db"], kind=inspect.Parameter.KEYWORD_ONLY)
    measured = inspect.Parameter("measured", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Measured)
    return extended(command, {"db": [db, measured]}, choose)


_Measured = Annotated[
    bool, typer.Option("--measured", help="Read the measured results that come with asapbench, not --db.")
]
_Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin", metavar="FILE|FOLDER|MODULE", help="Load a plug-in: more rules, models, data... Repeatable."
    ),
]
Db = Annotated[str, typer.Option("--db", metavar="URL", envvar="ASAPBENCH_DB", help="The results database.")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="KEY=VALUE[,VALUE]", help="Only these cells, as in rule=bp,asap. Repeatable."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change cells, as in epochs=1 or rule.k=4. Repeatable."),
]
SetPlace = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Where your own data are, as in dataset.path=PATH. Repeatable.",
    ),
]
Seeds = Annotated[
    list[str] | None,
    typer.Option("--seeds", metavar="SEEDS", help="Seeds instead of the suite's: 0,1 or 0-4. Repeatable."),
]
Form = Annotated[
    Format | None,
    typer.Option("--format", help="Format of the table. [default: by the ending of --out, else terminal]"),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write to this file: .txt, .md, .html, .tex, .csv, .json; a figure also to .png, .svg, .pdf; -: print.",
    ),
]
OnlyState = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STATE[,STATE]",
        help="Only cells that are pending, interrupted, failed or out_of_memory. Repeatable.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would run, with its time and disk space; run nothing.")
]


_NUMBER = r"\d{1,10}(?:\.\d{1,400})?"  # any time that is allowed, in digits that tell it from every other float
_LONGEST = 1e5 * 86_400.0
_TO_THE_INCH = {"in": 1.0, "cm": 2.54, "mm": 25.4, "pt": 72.27}
_NARROWEST, _WIDEST = 1.5, 50.0
_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}


def seconds(text: str, option: str) -> float:
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


def time_text(seconds: float | None) -> str | None:
    """A time in the largest unit of which it is a whole number: `10m`; `seconds` reads the same float back."""
    if seconds is None:
        return None
    unit = next((name for name, size in _UNITS.items() if seconds % size == 0), "s")
    return f"{format(Decimal(repr(seconds / _UNITS[unit])).normalize(), 'f')}{unit}"


def inches(text: str, option: str) -> float:
    """Inches of `3.3in`, `84mm`, `8.4cm` or `240pt`, a point as in LaTeX. Raises SuiteError.

    >>> inches("5.08cm", "--width"), inches("144.54pt", "--width")
    (2.0, 2.0)
    """
    found = re.fullmatch(rf"({_NUMBER})\s*(in|cm|mm|pt)", text.strip().lower())
    if found is None:
        raise SuiteError(f"{option} {text}: write a length with its unit, as in 3.3in, 84mm, 8.4cm or 240pt")
    length = float(found[1]) / _TO_THE_INCH[found[2]]
    if not _NARROWEST <= length <= _WIDEST:
        raise SuiteError(f"{option} {text}: must be from {_NARROWEST:g} to {_WIDEST:g} inches")
    return length


def slot_count(text: str) -> Count:
    """The number of `--slots 4`, or auto. Raises SuiteError."""
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
            raise SuiteError(f'--only-state {text}: no run takes cells that are "{word}"{there_are(UNFINISHED)}')
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
