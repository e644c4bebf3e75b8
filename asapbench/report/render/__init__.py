"""Renderers: Table -> text. A table holds plain text, and each renderer escapes it for its own format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial

from asapbench.escape import encodable
from asapbench.report.table import Table, with_texts


class Format(StrEnum):
    """The formats of a report."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    LATEX = "latex"
    HTML = "html"
    CSV = "csv"
    JSON = "json"


def render(
    table: Table,
    form: Format,
    *,
    width: int | None = 100,
    color: bool = False,
    encoding: str = "utf-8",
    inches: float | None = None,
    label: str | None = None,
) -> str:
    """The table as text that ends with a newline and that `encoding` can encode.

    `width` (None: every row is one line) and `color` are for the terminal format alone, `inches` and `label` for LaTeX.
    Characters that the encoding lacks are replaced by ASCII before the table is laid out and escaped; LaTeX and JSON
    are ASCII with any encoding.

    >>> from asapbench.report.paper import accuracy_table
    >>> render(accuracy_table(1, []), Format.MARKDOWN).splitlines()[0]
    '**Table 1. Test accuracy of BP, KP, FA, DFA and ASAP (k=2)**'
    """
    if form is Format.TERMINAL and width is None:
        from asapbench.report.render.terminal import render_uncut

        return encodable(render_uncut(table), encoding)
    if form is Format.CSV and table.records:
        from asapbench.report.render.data import render_csv

        return encodable(render_csv(table), encoding)
    if form not in (Format.CSV, Format.JSON):
        table = replace(table, numbers=())  # what is laid out is in the rows
    if form not in (Format.LATEX, Format.JSON):
        table = with_texts(table, lambda text: encodable(text, encoding))
    if form is Format.TERMINAL:
        from asapbench.report.render.terminal import render_terminal

        assert width is not None
        return render_terminal(table, width=width, color=color, encoding=encoding)
    from asapbench.report.render import data, html, latex, markdown

    renderers: dict[Format, Callable[[Table], str]] = {
        Format.MARKDOWN: markdown.render_markdown,
        Format.LATEX: partial(latex.render_latex, inches=inches, label=label),
        Format.HTML: html.render_html,
        Format.CSV: data.render_csv,
        Format.JSON: data.render_json,
    }
    return renderers[form](table)
