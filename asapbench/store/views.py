"""The view `result`, for users: a row for each cell, with a column for each option that a recorded cell has.

A view has fixed columns, and plug-ins bring options of their own. So a writer that records a cell with a new option
defines the view again; columns are only added. Names are those of `--only` and of CSV exports: `rule.k`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, inspect, select

from asapbench.store.schema import cell as cells
from asapbench.suite.cell import CHOICES

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST = 400
"""Columns of options: far from the limits of SQLite (2,000) and PostgreSQL (1,664)."""

_COLUMNS = ("dataset", "model", "rule", "lr", "epochs", "batch_size", "seed")
"""Settings that are columns of the table `cell`."""

_RESULT = """
CREATE {replacing} VIEW result AS
SELECT
    c.label AS cell, c.dataset, c.model, c.rule, c.lr, c.seed,
    CASE WHEN d.discarded THEN 'discarded' ELSE COALESCE(a.state, 'pending') END AS state,
    COALESCE(a.epochs_done, 0) AS epochs_done, c.epochs,
    ROUND(CAST(100.0 * a.last_test_accuracy AS NUMERIC), 2) AS last_test_percent,
    ROUND(CAST(100.0 * a.best_test_accuracy AS NUMERIC), 2) AS best_test_percent,
    a.best_test_epoch,
    ROUND(CAST(100.0 * a.best_val_test_accuracy AS NUMERIC), 2) AS best_val_test_percent,
    a.best_val_epoch,
    a.number AS attempt, a.device, a.started_at, a.ended_at,
    c.batch_size, c.revision, c.id AS cell_id, c.group_id, a.id AS attempt_id, a.lineage,
    SUBSTR(c.id, 1, 10) AS short_id, CASE WHEN d.discarded THEN d.reason END AS discard_reason{options}
FROM cell AS c
LEFT JOIN attempt AS a ON a.cell_id = c.id AND NOT a.superseded AND NOT EXISTS (
    SELECT 1 FROM attempt AS newer
    WHERE newer.cell_id = a.cell_id AND NOT newer.superseded AND newer.number > a.number
)
LEFT JOIN discard AS d ON d.cell_id = c.id AND NOT EXISTS (
    SELECT 1 FROM discard AS later
    WHERE later.cell_id = d.cell_id
    AND (later.decided_at > d.decided_at OR (later.decided_at = d.decided_at AND later.id > d.id))
)
"""


def make(connection: Connection) -> None:
    """Defines the view for all recorded cells, where the database was created or upgraded."""
    configs = connection.execute(select(cells.c.config), execution_options={"yield_per": 1_000}).scalars()
    _define(connection, sorted(options_of(configs))[:_MOST])


def extend(connection: Connection, configs: Iterable[str]) -> None:
    """Adds a column to the view for each option of new cells that has none yet.

    PostgreSQL lets only the view's owner change it: for another user it stays as it is, until the owner records cells.
    """
    columns = [column["name"] for column in inspect(connection).get_columns("result")]
    known = columns[columns.index("discard_reason") + 1 :]
    if not (new := sorted(options_of(configs) - set(known))):
        return
    if connection.dialect.name == "postgresql" and not _owns(connection):
        return
    _define(connection, [*known, *new][:_MOST])


def options_of(configs: Iterable[str]) -> set[str]:
    """The names of the settings in stored configurations that have no column in the table `cell`.

    >>> sorted(options_of(['{"lr": 0.1, "augment": "none", "rule": {"name": "asap", "k": 4}, "schedule": "cosine"}']))
    ['augment', 'rule.k', 'schedule']
    """
    return {name for config in configs for name in _options(config)} - set(_COLUMNS)


def _options(config: str) -> Iterator[str]:
    try:
        content = json.loads(config)
    except (ValueError, RecursionError):  # readers of the cell say so
        return
    for field, value in content.items() if isinstance(content, dict) else ():
        if field == "places" or not _NAME.fullmatch(field):
            continue
        yield field
        if isinstance(value, dict):
            yield from (f"{field}.{option}" for option in value if option != "name" and _NAME.fullmatch(option))


def _define(connection: Connection, options: Sequence[str]) -> None:
    """Defines the view with a column for each of these options."""
    on_sqlite = connection.dialect.name == "sqlite"
    expression = _of_sqlite if on_sqlite else _of_postgresql
    columns = "".join(f',\n    {expression(option)} AS "{option}"' for option in options)
    if on_sqlite:
        connection.exec_driver_sql("DROP VIEW IF EXISTS result")
    # PostgreSQL's view is replaced, which keeps the rights that were granted on it.
    connection.exec_driver_sql(_RESULT.format(replacing="" if on_sqlite else "OR REPLACE", options=columns))


def _of_sqlite(option: str) -> str:
    value = f"json_extract(c.config, '$.{option}')"
    # A choice without options may be its name alone.
    return f"COALESCE(json_extract(c.config, '$.{option}.name'), {value})" if option in CHOICES else value


def _of_postgresql(option: str) -> str:
    """A value of type jsonb, which Python reads as the number, text or truth value that it is."""
    path = "".join(f" -> '{part}'" for part in option.split("."))
    value = f"(c.config::jsonb{path})"
    return f"COALESCE({value} -> 'name', {value})" if option in CHOICES else value


def _owns(connection: Connection) -> bool:
    query = "SELECT pg_has_role(viewowner, 'USAGE') FROM pg_views WHERE viewname = 'result'"
    return bool(connection.exec_driver_sql(f"{query} AND schemaname = current_schema()").scalar())
