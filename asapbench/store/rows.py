"""Checks rows as they are read: SQLite stores values of any type, and a database may come from another person."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from itertools import islice
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import RowMapping

T = TypeVar("T")

RESTORE_IT = "restore the database from a copy, or name another with --db"

_LARGE = 1e100
"""No number that is measured or chosen is larger; infinity is not valid either. Only a loss has no bound."""

_TOGETHER = 10_000
"""So many rows are checked together: quicker than one by one, in little memory."""


class UntrustedRowError(Exception):
    """A row that asapbench cannot have written. The message completes a sentence that starts with the database."""


def checked(kind: type[T], row: Mapping[str, Any] | RowMapping) -> T:
    """`row` as a `kind`, a dataclass whose fields have its names. Raises UntrustedRowError."""
    for name, value in row.items():
        if isinstance(value, float) and abs(value) >= _LARGE and not name.endswith("_loss"):
            raise untrusted(name, f"{value} is not a number that could be measured")
    try:
        found: T = _adapter(cast("Hashable", kind)).validate_python(dict(row))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise untrusted(".".join(map(str, fault["loc"])), fault["msg"]) from error
    return found


def checked_all(kind: type[T], rows: Iterable[Sequence[Any]]) -> list[T]:
    """As `checked`, many rows at a time, whose values are in the order of the fields of the dataclass `kind`."""
    left, found = iter(rows), list[T]()
    while part := list(islice(left, _TOGETHER)):
        found += _checked_together(kind, part)
    return found


def _checked_together(kind: type[T], rows: Sequence[Sequence[Any]]) -> list[T]:
    names = [field.name for field in fields(cast("Any", kind))]
    values = [dict(zip(names, row, strict=True)) for row in rows]
    try:
        found: list[T] = _adapter(cast("Hashable", list[kind])).validate_python(values)  # type: ignore[valid-type]
    except ValidationError:
        return [checked(kind, row) for row in values]  # raises, with the reason
    for name in names:
        if name.endswith("_loss"):
            continue
        for row in values:
            if isinstance(row[name], float) and abs(row[name]) >= _LARGE:
                checked(kind, row)
    return found


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
