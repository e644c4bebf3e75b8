"""LaTeX, in ASCII: a float with booktabs, its footnotes below it; or the tabular alone, without title and caption.

`latex_form` chooses how the table fits its page. What a note tells the author, such as the commands that train what is
missing, is a comment: only the notes of marks are printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from asapbench.escape import encodable, visible
from asapbench.report.render.latex_form import SIZE, Form, fitting
from asapbench.report.render.latex_width import points
from asapbench.report.table import DIFFERENCE, Field, Note, Table, pieces
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


def render_latex(table: Table, *, inches: float | None = None, label: str | None = None) -> str:
    r"""The table, at most `inches` wide; by default as wide as one column of an article, or else as both.

    `label` is the text of `\label`, by default made of the table's name.
    """
    form = fitting(table, inches)
    lines = [r"\footnotesize", rf"\setlength{{\tabcolsep}}{{{form.separation:g}pt}}%"]
    lines += [rf"\renewcommand{{\arraystretch}}{{{form.stretch:g}}}%"] if form.stretch != 1 else []
    for number, places in enumerate(form.places):
        lines += [*(["", r"\medskip"] if number else []), *_tabular(form, places)]
    if marked := [_footnote(note) for note in table.notes if note.mark]:
        lines += ["", r"\smallskip", r"\begin{minipage}{\linewidth}\scriptsize\raggedright"]
        lines += [" \\\\\n".join(marked), r"\end{minipage}"]
    if form.table.title:
        name = "table*" if form.is_wide else "table"
        head = [rf"\begin{{{name}}}", r"\centering", rf"\caption{{{escape(_caption(form.table))}}}"]
        lines = [*head, rf"\label{{{label or _label(table)}}}", r"\smallskip", *lines, rf"\end{{{name}}}"]
    else:
        lines = ["{%", *lines, "}"]
    return "\n".join([*_comments(table), *lines]) + "\n"


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
    return f"{title}. {table.described()}"


def _label(table: Table) -> str:
    words = re.findall(r"[a-z0-9]+", (table.name or table.title).lower())
    return "tab:" + "-".join(words[:8])


def _comments(table: Table) -> Iterator[str]:
    """What the author needs to know, line by line."""
    yield r"% Needs \usepackage{booktabs} in the preamble."
    if any(row.fields[0].text == DIFFERENCE for group in table.groups for row in group.rows):
        yield "% Without the differences, measured minus published; the other formats have them."
    for note in table.notes:
        if not note.mark:
            yield from (f"% {_ascii(text)}" for text in (note.text, *(f"  {command}" for command in note.commands)))
    if table.summary:
        yield f"% {_ascii(table.summary)}"


def _ascii(text: str) -> str:
    return encodable(visible(text), "ascii")


def _footnote(note: Note) -> str:
    return rf"\textsuperscript{{{escape(note.mark or '')}}} {escape(note.text)}"


def _tabular(form: Form, places: Sequence[int]) -> Iterator[str]:
    """The columns at `places`, the first of which names the rows. A row that is empty in these is left out."""
    stub = "l" if form.stub is None else f"p{{{form.stub:.1f}pt}}"
    aligned = map(form.align, places[1:])
    yield rf"\begin{{tabular}}{{@{{}}{stub}{''.join(aligned)}@{{}}}}"
    yield r"\toprule"
    titles = [form.titles[place] for place in places]
    below = {place: form.align(place) if form.is_stacked else None for place in places}
    height = max(map(len, titles))
    for line in zip(*([""] * (height - len(title)) + title for title in titles), strict=True):
        yield _row(map(escape, line))
    for group in form.table.groups:
        rows = [row for row in group.rows if any(row.fields[place].text for place in places[1:])]
        if rows:
            yield r"\midrule"
        if rows and group.header:
            yield rf"\multicolumn{{{len(places)}}}{_across(form, places, group.header)}{escape(group.header)}}} \\"
        for row in rows:
            names = _name(row.fields[0], is_broken=form.stub is not None)
            yield _row([names, *(_field(row.fields[place], below=below[place]) for place in places[1:])])
    yield r"\bottomrule"
    yield r"\end{tabular}%"


def _across(form: Form, places: Sequence[int], header: str) -> str:
    """The column that a group's header takes, and how it starts: in lines only where it is too long for one."""
    width = form.width(places)
    if points(header, size=SIZE) <= width:
        return r"{@{}l@{}}{\itshape "
    return rf"{{@{{}}p{{{width:.1f}pt}}@{{}}}}{{\raggedright\itshape "


def _row(cells: Iterator[str] | Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _name(field: Field, *, is_broken: bool) -> str:
    """The name of a row; `is_broken` where it may take several lines."""
    if not is_broken:
        return _field(field)
    first, *others = pieces(field.text) or [""]
    further = (("" if piece[0] == " " else r"\allowbreak{}") + escape(piece) for piece in others)
    return r"\raggedright\hangindent=1em " + _field(field, escape(first) + "".join(further))


def _field(field: Field, text: str = "", *, below: str | None = None) -> str:
    """A field. `below` aligns the two lines of a mean and its spread, which are one cell: a row's name may be tall."""
    mean, space, spread = field.text.partition(" ") if field.is_spread else (field.text, "", "")
    text = text or _signed(mean)
    if field.emphasis == "strong":
        text = rf"\textbf{{{text}}}"
    marks = rf"\textsuperscript{{{escape(','.join(field.marks))}}}" if field.marks else ""
    if spread and below:
        return rf"\begin{{tabular}}[t]{{@{{}}{below}@{{}}}}{text}{marks}\\\scriptsize {escape(spread)}\end{{tabular}}"
    small = r"\scriptsize " if field.emphasis == "faint" else ""
    return small + r"\quad " * field.indent + text + space + escape(spread) + marks


def _signed(text: str) -> str:
    """Escaped, with a minus sign before a number, and a dash for what is missing."""
    if text == "-":
        return "--"
    return f"$-${escape(text[1:])}" if re.match(r"-\d", text) else escape(text)
