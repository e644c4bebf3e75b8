"""HTML: a table with its caption, its footnotes as links, and its notes below it; alone, or as a part of a page.

Jinja2 fills the templates and escapes each text once, where it is written: a name from a database is never markup.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from asapbench.escape import printable
from asapbench.report.table import Field, Table

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render_html(table: Table, *, drawing: str = "") -> str:
    """A document of its own that needs no other file and no network; `drawing` is the picture of a figure, as SVG.

    >>> from asapbench.report.paper import accuracy_table
    >>> render_html(accuracy_table(1, [])).splitlines()[0]
    '<!doctype html>'
    """
    from markupsafe import Markup

    drawn = Markup(drawing[drawing.find("<svg") :]) if drawing else ""
    return environment().get_template("table_alone.html").render(table=table, drawn=drawn) + "\n"


def table_part(table: Table, *, id: str, level: int = 3) -> Markup:
    """The table as a part of a page. `id` starts every id in it, `level` is that of its heading."""
    from markupsafe import Markup

    return Markup(environment().get_template("table.html").render(table=table, id=id, level=level))


@cache
def environment() -> Environment:
    """The templates of reports. They show control characters as escapes, and a minus sign before a number."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("asapbench.report"),
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = _number
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return made


def _harmless(value: object) -> object:
    """Text without characters that could move or reverse what is around it; other values as they are."""
    return printable(value) if type(value) is str else value


def _number(field: Field) -> str:
    return re.sub(r"^-(?=\d)", "\N{MINUS SIGN}", field.text)
