"""The rows of a table for the renderers that use tabulate."""

from __future__ import annotations

from collections.abc import Callable

from asapbench.report.table import Field, Table


def tabulated(
    table: Table, form: str, *, title: Callable[[str], str], header: Callable[[str], str], field: Callable[[Field], str]
) -> str:
    """The rows of a table in tabulate's format `form`, each group below its header; the functions escape."""
    from tabulate import tabulate

    rows = []
    for group in table.groups:
        if group.header:
            rows.append([header(group.header), *("" for _ in table.columns[1:])])
        rows += [list(map(field, row.fields)) for row in group.rows]
    return tabulate(
        rows,
        headers=[title(column.title) for column in table.columns],
        tablefmt=form,
        colalign=[column.align for column in table.columns],
        disable_numparse=True,
    )
