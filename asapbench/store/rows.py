"""Rows looked at as they are read: SQLite keeps whatever it is given, and a database may come from anybody."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import RowMapping

T = TypeVar("T")

MEND = "restore the database from a copy, or name another with --db"

_LARGE = 1e100
"""No number that is measured or chosen is larger, infinity included; a loss alone has no bound."""


class ForeignRowError(Exception):
    """A row that asapbench cannot have written; what is wrong with it, as the end of a sentence about the database."""


def checked(kind: type[T], row: Mapping[str, Any] | RowMapping) -> T:
    """`row` as a `kind`, a dataclass whose fields have its names. Raises ForeignRowError."""
    for name, value in row.items():
        if isinstance(value, float) and abs(value) >= _LARGE and not name.endswith("_loss"):
            raise _foreign(name, f"{value} is no number that could be measured")
    try:
        found: T = _adapter(cast("Hashable", kind)).validate_python(dict(row))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise _foreign(".".join(map(str, fault["loc"])), fault["msg"]) from error
    return found


def number(name: str, value: object) -> float:
    """What column `name` holds as a number. Raises ForeignRowError."""
    if isinstance(value, int | float) and abs(value) < _LARGE:
        return value
    raise _foreign(name, f"{value!r} is no number that could be measured")


def from_json(name: str, text: str) -> Any:
    """What column `name` holds as JSON. Raises ForeignRowError."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise _foreign(name, str(error)) from error


def _foreign(name: str, fault: str) -> ForeignRowError:
    return ForeignRowError(f"holds a row that asapbench did not write ({name}: {fault}): {MEND}")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
