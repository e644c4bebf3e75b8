"""Tables in Markdown, and how options are written in them."""

from __future__ import annotations

from collections.abc import Iterable

from asapbench.suite.options import Option, Value


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(field).replace("|", r"\|") for field in line) + " |" for line in lines)


def values(option: Option) -> str:
    """What an option may be."""
    if option.choices:
        return ", ".join(map(code, option.choices))
    limits = [f"{option.minimum:g} or more"] if option.minimum is not None else []
    if option.above is not None:
        limits.append(f"above {option.above:g}")
    if option.below is not None:
        limits.append(f"below {option.below:g}")
    return ", ".join(limits)


def code(value: Value) -> str:
    """A value as TOML writes it."""
    shown = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    return f"`{shown}`"
