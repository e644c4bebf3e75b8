"""LaTeX: a table environment, in ASCII, that needs no package."""

from __future__ import annotations

import re

from tabulate import tabulate

from asapbench.escape import visible
from asapbench.report.table import Field, Note, Table, bracketed
from asapbench.signs import latex_signs

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # After a line break these would be read as its argument.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}


def render_latex(table: Table) -> str:
    """The table with its caption, the notes below it in small print."""
    rows = []
    for group in table.groups:
        rows.append([rf"\textbf{{{escape(group.header)}}}", *("" for _ in table.columns[1:])])
        rows += [[_field(field) for field in row.fields] for row in group.rows]
    body = tabulate(
        rows,
        headers=[escape(column.title) for column in table.columns],
        tablefmt="latex_raw",
        colalign=[column.align for column in table.columns],
        disable_numparse=True,
    )
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape(_caption(table))}}}", body]
    small = [escape(table.summary)] if table.summary else []
    small += [line for note in table.notes for line in _note(note)]
    if small:
        lines += ["", r"\smallskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright"]
        lines += [" \\\\\n".join(small), r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """`text` so that LaTeX sets it as it is."""
    escaped = "".join(_SPECIAL.get(character, character) for character in visible(text))
    # Two hyphens would be set as a dash, two quotes as one, `?` and a quote as a Spanish question mark.
    escaped = re.sub(r"([-'`])(?=\1)|([?!])(?=`)", r"\g<0>{}", escaped)
    quoted = re.sub(r'(^|[\s(])"', r"\1``", escaped).replace('"', "''")
    return latex_signs(quoted)


def _caption(table: Table) -> str:
    """LaTeX puts a number of its own in front of it: the paper's follows the title."""
    title = re.sub(r"^((?:Table|Figure) [\w.]*\w)\. (.*)$", r"\2 (\1 of the paper)", table.title)
    return f"{title}. {table.caption}"


def _field(field: Field) -> str:
    text = escape(field.text)
    if field.text[:1] == "-" and field.text[1:2].isdigit():
        text = f"$-${text[1:]}"
    return r"\quad " * field.indent + text + _raised(bracketed(field.marks))


def _raised(mark: str) -> str:
    return rf"\textsuperscript{{{escape(mark)}}}" if mark else ""


def _note(note: Note) -> list[str]:
    mark = f"{_raised(bracketed(note.mark))} " if note.mark else ""
    commands = (rf"\quad\texttt{{{escape(command)}}}" for command in note.commands)
    return [f"{mark}{escape(note.text)}", *commands]
