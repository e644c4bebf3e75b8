"""Checks rows as they are read: SQLite stores values of any type, and a database may come from another person."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import RowMapping

T = TypeVar("T")
RowT = TypeVar("RowT", bound=NamedTuple)

RESTORE_IT = "restore the database from a copy, or name another with --db"

_LARGE = 1e100
"""No number that is measured or chosen is larger; infinity is not valid either. Only a loss has no bound."""

_TOGETHER = 10_000
"""So many rows are checked together: quicker than one by one, in little memory."""


class UntrustedRowError(Exception):
    """A row that asapbench cannot have written. The message completes a sentence that starts with the database."""


def checked(kind: type[T], row: Mapping[str, Any] | RowMapping) -> T:
    """`row` as a `kind`, a dataclass or a named tuple whose fields have its names. Raises UntrustedRowError."""
    for name, value in row.items():
        if _is_too_large(name, value):
            raise untrusted(name, f"{value} is not a number that could be measured")
    try:
        found: T = _adapter(cast("Hashable", kind)).validate_python(dict(row))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise untrusted(".".join(map(str, fault["loc"])), fault["msg"]) from error
    return found


def checked_all(kind: type[RowT], rows: Iterable[Sequence[Any]]) -> list[RowT]:
    """As `checked`, many rows at a time, whose values are in the order of the fields of the named tuple `kind`."""
    left, found = iter(rows), list[RowT]()
    while part := list(islice(left, _TOGETHER)):
        found += _checked_together(kind, part)
    return found


def _checked_together(kind: type[RowT], rows: Sequence[Sequence[Any]]) -> list[RowT]:
    """Column by column, and into tuples: half the time of dataclasses made of one row after the other."""
    columns = list(zip(*rows, strict=True))
    try:
        if any(map(_has_too_large, kind._fields, columns)):
            raise ValueError
        return list(map(kind, *_columns_adapter(kind).validate_python(columns)))
    except ValueError:
        return [checked(kind, dict(zip(kind._fields, row, strict=True))) for row in rows]  # raises, with the reason


def _has_too_large(name: str, column: Sequence[Any]) -> bool:
    return float in set(map(type, column)) and any(_is_too_large(name, value) for value in column)


def _is_too_large(name: str, value: object) -> bool:
    return isinstance(value, float) and abs(value) >= _LARGE and not name.endswith("_loss")


def number(name: str, value: object) -> float:
    """The value of column `name` as a number. Raises UntrustedRowError."""
    if isinstance(value, int | float) and abs(value) < _LARGE:
        return value
    raise untrusted(name, f"{value!r} is not a number that could be measured")


def from_json(name: str, text: str) -> Any:
    """The value of column `name` as JSON. Raises UntrustedRowError."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise untrusted(name, str(error)) from error


def storable(text: str | None) -> str | None:
    """`text` as every database accepts it: PostgreSQL rejects NUL, and both reject half a surrogate pair."""
    if text is None:
        return None
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "backslashreplace").decode("utf-8")


def untrusted(name: str, fault: str) -> UntrustedRowError:
    """The error about a value of column `name`."""
    return UntrustedRowError(f"holds a row that asapbench did not write ({name}: {fault}): {RESTORE_IT}")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@cache
def _columns_adapter(kind: type[NamedTuple]) -> TypeAdapter[Any]:
    hints = get_type_hints(kind, include_extras=True)
    lists = tuple(list[hints[name]] for name in kind._fields)  # type: ignore[valid-type]
    return TypeAdapter(cast("Any", tuple[lists]))  # type: ignore[valid-type]
