"""GitHub-flavoured Markdown."""

from __future__ import annotations

import re

from asapbench.escape import visible
from asapbench.report.table import Field, Note, Table, bracketed


def render_markdown(table: Table) -> str:
    """Title, caption, a pipe table, and the notes as a list."""
    heading = [f"**{escape(table.title)}**", escape(table.described())] if table.title else []
    parts = [*heading, _pipes(table), escape(table.summary)]
    parts.append("\n".join(_note(note) for note in table.notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    r"""`text` so that Markdown shows it unchanged, in a table too.

    >>> print(escape("a|b *c*"))
    a\|b \*c\*
    """
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)


def _pipes(table: Table) -> str:
    """The rows, each group below its header."""
    from tabulate import tabulate

    rows = []
    for group in table.groups:
        if group.header:
            rows.append([f"**{escape(group.header)}**", *("" for _ in table.columns[1:])])
        rows += [list(map(_field, row.fields)) for row in group.rows]
    return tabulate(
        rows,
        headers=[escape(column.title) for column in table.columns],
        tablefmt="pipe",
        colalign=[column.align for column in table.columns],
        disable_numparse=True,
    )


def _field(field: Field) -> str:
    text = f"**{escape(field.text)}**" if field.emphasis == "strong" and field.text else escape(field.text)
    return "&nbsp;&nbsp;" * field.indent + text + _raised(bracketed(field.marks))


def _raised(mark: str) -> str:
    return f"<sup>{escape(mark)}</sup>" if mark else ""


def _note(note: Note) -> str:
    mark = f"{_raised(bracketed(note.mark))} " if note.mark else ""
    # Inside a code span nothing needs escaping but the backtick itself.
    commands = "".join(f"\n  - `{visible(command).replace('`', chr(39))}`" for command in note.commands)
    return f"- {mark}{escape(note.text)}{commands}"
