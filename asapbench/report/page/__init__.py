"""The page: all results of a database as one HTML file that opens without a network.

`content` reads, `tables`, `charts`, `speed`, `cells` and `environments` make what is shown, `document` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import asapbench
from asapbench.report.page.cells import CellRow, counts, rows
from asapbench.report.page.charts import charts
from asapbench.report.page.command import database_name, portable_options
from asapbench.report.page.content import Content, read
from asapbench.report.page.document import document
from asapbench.report.page.environments import environments
from asapbench.report.page.speed import pace_table, paces
from asapbench.report.page.tables import certificate_table, paper_tables, suite_tables
from asapbench.report.quantity import USUAL, Numbers
from asapbench.store.records import MEASURED_URL


def page(
    url: str,
    *,
    suites: Sequence[str] = (),
    filters: Sequence[str] = (),
    numbers: Numbers = USUAL,
    script: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """The whole page as HTML text: of these suites, by name or file, or of all; cells that pass the filters.

    `script` is that of a server that shows the page, which may then reach this server. `say` takes what the reader of
    the page may lack: the suite files that cannot be read here.
    Raises StoreError without a database, AsapbenchError where it holds nothing of a suite or nothing at all, and
    SuiteError for a filter that no cell passes or a setting that was not swept.
    """
    content = read(url, suites=suites, filters=filters, numbers=numbers)
    ran_on, of_cells = environments(content)
    option = portable_options(url)
    found = rows(content, of_cells, option=option)
    for text in _unreadable(content, found):
        say(text)
    shown, measured = charts(content, spread=numbers.spread), paces(content)
    values = {
        "heading": _heading(content),
        "database": "the measured results that come with asapbench" if url == MEASURED_URL else database_name(url),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": asapbench.__version__,
        "counts": counts(found),
        "trained": _time(sum(epoch.seconds for one in content.trained for epoch in one.epochs)),
        "hardware": list(dict.fromkeys(one.hardware for one in ran_on)),
        "suite_tables": suite_tables(content, option=option, numbers=numbers),
        "paper_tables": paper_tables(content, option=option, numbers=numbers),
        "charts": shown,
        "pace_table": pace_table(measured) if measured else None,
        "certificate_table": certificate_table(content.certificates),
        "cells": found,
        "badly": [row for row in found if row.ended_badly],
        "environments": ran_on,
        "suite_files": [chosen for chosen in content.suites if chosen.text],
    }
    data = {
        "suites": [chosen.suite.title for chosen in content.suites],
        "charts": [chart.to_json() for chart in shown],
    }
    return document(values, data=data, script=script)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _unreadable(content: Content, found: Sequence[CellRow]) -> Iterator[str]:
    """Why commands need the database: for each suite whose file cannot be read, one line."""
    for chosen in content.suites:
        if chosen.suite.file is None:
            number = sum(row.needs_database and chosen.suite.name in row.suites for row in found)
            reasons = [note.text for note in chosen.suite.notes] or ["The suite file of the run is not recorded."]
            yield f"{chosen.suite.name}: {' '.join(reasons)} Commands that need this database: {number}."


def _heading(content: Content) -> str:
    titles = [chosen.suite.title for chosen in content.suites]
    return titles[0] if len(titles) == 1 else f"Results of {len(titles)} suites" if titles else "Results"
