"""LaTeX: a table environment, in ASCII, that needs no package."""

from __future__ import annotations

import re

from asapbench.escape import visible
from asapbench.report.render.tabulated import tabulated
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
    body = tabulated(table, "latex_raw", field=_field, title=escape, header=lambda text: rf"\textbf{{{escape(text)}}}")
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape(_caption(table))}}}", body]
    small = [escape(table.summary)] if table.summary else []
    small += [line for note in table.notes for line in _note(note)]
    if small:
        lines += ["", r"\smallskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright"]
        lines += [" \\\\\n".join(small), r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    r"""`text` so that LaTeX prints it unchanged.

    >>> escape("5 % of $x_1$")
    '5 \\% of \\$x\\_1\\$'
    """
    escaped = "".join(_SPECIAL.get(character, character) for character in visible(text))
    # Two hyphens would be set as a dash, two quotes as one, `?` and a quote as a Spanish question mark.
    escaped = re.sub(r"([-'`])(?=\1)|([?!])(?=`)", r"\g<0>{}", escaped)
    quoted = re.sub(r'(^|[\s(])"', r"\1``", escaped).replace('"', "''")
    return latex_signs(quoted)


def _caption(table: Table) -> str:
    """Title and caption. LaTeX starts them with its own number, so the paper's number follows the title."""
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
