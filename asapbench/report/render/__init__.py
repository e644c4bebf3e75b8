"""Renderers: Table -> text. Each escapes for its own format what the table holds as plain text."""

from __future__ import annotations

from enum import StrEnum

from asapbench.report.table import Table


class Format(StrEnum):
    """What a report can be written as."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


def render(table: Table, form: Format, *, width: int = 100, color: bool = False) -> str:
    """The table as text that ends with a newline. `width` and `color` concern the terminal format only."""
    match form:
        case Format.TERMINAL:
            from asapbench.report.render.terminal import render_terminal

            return render_terminal(table, width=width, color=color)
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
