"""Renderers: Table -> text. Each escapes for its own format what the table holds as plain text."""

from __future__ import annotations

from enum import StrEnum

from asapbench.escape import encodable
from asapbench.report.table import Table, with_texts


class Format(StrEnum):
    """What a report can be written as."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


def render(table: Table, form: Format, *, width: int = 100, color: bool = False, encoding: str = "utf-8") -> str:
    """The table as text that ends with a newline, and that `encoding` holds.

    `width` and `color` concern the terminal format only. What the encoding lacks is written in ASCII before the table
    is laid out and escaped; LaTeX and JSON are ASCII whatever the encoding is.
    """
    if form not in (Format.LATEX, Format.JSON):
        table = with_texts(table, lambda text: encodable(text, encoding))
    match form:
        case Format.TERMINAL:
            from asapbench.report.render.terminal import render_terminal

            return render_terminal(table, width=width, color=color, encoding=encoding)
        case Format.MARKDOWN:
            from asapbench.report.render.markdown import render_markdown

            return render_markdown(table)
        case Format.LATEX:
            from asapbench.report.render.latex import render_latex

            return render_latex(table)
        case Format.CSV:
            from asapbench.report.render.data import render_csv

            return render_csv(table)
        case Format.JSON:
            from asapbench.report.render.data import render_json

            return render_json(table)
