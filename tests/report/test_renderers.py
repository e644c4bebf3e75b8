import csv
import io
import json
import re
from dataclasses import replace

import pytest
from made_up import result, shipped_cell
from rich.cells import cell_len

from asapbench.report.paper import accuracy_table
from asapbench.report.render import Format, render
from asapbench.report.table import Column, Field, Group, Note, Number, Row, Table, numeric

RESULTS = [result(shipped_cell("mnist", "alexnet", "bp", seed=seed), 99.123456 + seed / 7) for seed in range(3)]
RESULTS.append(result(shipped_cell("svhn", "alexnet", "fa"), state="diverged"))
TABLE = accuracy_table(1, RESULTS)
NASTY = 'a|b_c%d$e#f&g{h}i~j^k\\l<m>n*o`p[q]r"s\x1b[31mt\nu\r\u202ev\x07'


def nasty() -> Table:
    number = Number(
        dataset=NASTY, model="=SUM(A1)", rule="bp", variant=NASTY, measured=1.0, metric="best", unit="percent"
    )
    row = Row((Field("[46]", indent=1), Field(NASTY, ("a",))))
    notes = (Note(NASTY, commands=(NASTY,), mark="a"), Note("[48] *not* known"))
    columns = (Column(NASTY, "left"), Column("BP"))
    return Table(NASTY, NASTY, columns, (Group(NASTY, (row,)),), notes, (number,), NASTY)


def test_csv_reads_back_one_unrounded_number_per_row() -> None:
    rows = list(csv.DictReader(io.StringIO(render(TABLE, Format.CSV))))
    assert len(rows) == 70
    first = next(row for row in rows if row["dataset"] == "mnist" and row["rule"] == "bp")
    source = TABLE.numbers[0]
    assert (float(first["measured"]), float(first["sd"]), int(first["n"])) == (source.measured, source.sd, 3)
    assert (first["metric"], first["unit"], first["published"]) == ("best", "percent", "99.59")
    missing = next(row for row in rows if row["dataset"] == "cifar10")
    assert (missing["measured"], missing["difference"], missing["n"]) == ("", "", "0")
    diverged = next(row for row in rows if row["dataset"] == "svhn" and row["rule"] == "fa")
    assert diverged["diverged"] == "1"


def test_json_reads_back_with_metric_unit_and_null_for_missing() -> None:
    content = json.loads(render(TABLE, Format.JSON))
    assert (content["metric"], content["unit"], content["spread"]) == ("best", "percent", "sample standard deviation")
    assert content["numbers"][0]["measured"] == TABLE.numbers[0].measured
    assert content["numbers"][-1]["measured"] is None
    assert content["notes"][-1]["commands"]


@pytest.mark.parametrize("table", [TABLE, nasty()], ids=["table 1", "nasty"])
def test_every_markdown_row_has_as_many_columns_as_the_table(table: Table) -> None:
    lines = [line for line in render(table, Format.MARKDOWN).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + sum(1 + len(group.rows) for group in table.groups)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(table.columns) + 1}


@pytest.mark.parametrize("table", [TABLE, nasty()], ids=["table 1", "nasty"])
def test_every_latex_row_has_as_many_columns_as_the_table(table: Table) -> None:
    text = render(table, Format.LATEX)
    body = text[text.index(r"\begin{tabular}") : text.index(r"\end{tabular}")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\") and not line.startswith(r"\multicolumn")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(table.columns) - 1}


def test_latex_specials_are_escaped() -> None:
    text = render(nasty(), Format.LATEX)
    assert r"a\textbar{}b\_c\%d\$e\#f\&g\{h\}i\textasciitilde{}j\textasciicircum{}k\textbackslash{}l" in text
    assert not re.search(r"\\\\\s*[\[*]", text)


def test_latex_captions_leave_the_numbering_to_latex_and_have_a_label() -> None:
    text = render(TABLE, Format.LATEX)
    assert r"\caption{Table" not in text
    assert "(Table 1 of the paper)" in text
    assert r"\label{tab:table-1}" in text
    assert r"\label{tab:mine}" in render(TABLE, Format.LATEX, label="tab:mine")


def test_what_the_author_needs_to_know_is_a_comment_in_latex() -> None:
    text = render(TABLE, Format.LATEX)
    printed = [line for line in text.splitlines() if not line.startswith("%")]
    assert "%   asapbench run mnist" in text
    assert not [line for line in printed if "asapbench" in line]
    assert r"\textsuperscript{a} 1 diverged of 1" in text


def test_latex_leaves_differences_out_with_their_part_of_the_caption() -> None:
    text = render(TABLE, Format.LATEX)
    assert "published" in text
    assert not re.search(r"^[^%]*difference", text, re.MULTILINE)


def test_the_best_is_bold_in_latex_and_markdown() -> None:
    row = Row((Field("ASAP"), numeric("{:.2f} ± {:.2f}", 97.0, 0.5, emphasis="strong")))
    table = Table("t", "", (Column("", "left"), Column("acc")), (Group("", (row,)),), (), ())
    assert r"\textbf{97.00} $\pm$ 0.50" in render(table, Format.LATEX)
    assert "**97.00 ± 0.50**" in render(table, Format.MARKDOWN)


@pytest.mark.parametrize("form", Format)
def test_no_format_lets_a_control_character_through(form: Format) -> None:
    text = render(nasty(), form)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_csv_has_no_formula_for_a_spreadsheet() -> None:
    row = next(csv.DictReader(io.StringIO(render(nasty(), Format.CSV))))
    assert row["model"] == "'=SUM(A1)"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = render(TABLE, Format.TERMINAL, width=width).splitlines()
    assert max(cell_len(line) for line in lines if "asapbench" not in line) <= width
    assert all(line == line.rstrip() for line in lines)


def test_eighty_columns_hold_every_rule_side_by_side() -> None:
    assert re.search(r"^Model +BP +KP +FA +DFA +ASAP", render(TABLE, Format.TERMINAL, width=80), re.MULTILINE)


def test_a_narrow_terminal_shows_every_number_in_further_panels() -> None:
    narrow = render(TABLE, Format.TERMINAL, width=40)
    for row in (row for group in TABLE.groups for row in group.rows):
        for field in row.fields:
            assert field.text.replace(" ± ", "±") in narrow


def test_a_narrow_terminal_shows_no_titles_without_rows() -> None:
    columns = Column("name", "left"), Column("first number"), Column("second number")
    rows = [Row((Field(name), Field("1" * (name != "b")), Field("2" * (name == "b")))) for name in "ab"]
    table = replace(
        TABLE,
        columns=(*columns, Column("nothing")),
        groups=tuple(Group(f"group {row.fields[0].text}", (Row((*row.fields, Field(""))),)) for row in rows),
    )
    first, _, second = render(table, Format.TERMINAL, width=20).partition("second number")
    assert ("group a" in first, "group b" in first) == (True, False)
    assert ("group a" in second, "group b" in second) == (False, True)
    assert "nothing" not in second


def test_commands_are_never_broken() -> None:
    text = render(TABLE, Format.TERMINAL, width=40)
    for note in TABLE.notes:
        for command in note.commands:
            assert f"    {command}\n" in text


def test_colour_needs_a_request() -> None:
    assert "\x1b[" not in render(TABLE, Format.TERMINAL)
    assert "\x1b[1m" in render(TABLE, Format.TERMINAL, color=True)


def test_a_terminal_without_unicode_shows_ascii_and_no_wider_line() -> None:
    text = render(TABLE, Format.TERMINAL, width=80, encoding="ascii")
    text.encode("ascii")
    assert "99.27+/-0.14" in text.replace(" ", "")
    assert max(cell_len(line) for line in text.splitlines() if "asapbench" not in line) <= 80


def test_the_columns_stay_aligned_where_signs_are_replaced() -> None:
    lines = render(TABLE, Format.TERMINAL, encoding="ascii").splitlines()
    rows = [line for line in lines if line.startswith(("AlexNet", "ResNet"))]
    assert len({len(row) for row in rows if row.rstrip()[-1] == "-"}) == 1
