"""In a narrow LaTeX table each spread is directly below its mean, also where a name takes several lines."""

import re

from asapbench.report.render import Format, render
from asapbench.report.render.latex_form import fitting
from asapbench.report.table import Column, Field, Group, Row, Table, numeric

NAME = "ResNet-10, SGD(momentum=0.5, weight_decay=0.001), lr 0.1"
VALUES = ((95.54, 0.79), (34.12, 14.77), (52.51, 4.53), (70.19, 0.25))
TABLE = Table(
    "Accuracy",
    "Accuracy.",
    (Column("Model", "left"), *(Column(title) for title in ("BP", "ASAP", "FA", "KP"))),
    (Group("Digits", (Row((Field(NAME), *(numeric("{:.2f} ± {:.2f}", *value) for value in VALUES))),)),),
    (),
    (),
)


def test_a_mean_and_its_spread_are_one_cell_beside_a_broken_name() -> None:
    form = fitting(TABLE, 3.05)
    assert form.stub is not None, "the name is broken into lines"
    (row,) = re.findall(r"^\\raggedright.*$", render(TABLE, Format.LATEX, inches=3.05), re.MULTILINE)
    _, *fields = row.removesuffix(r" \\").split(" & ")
    cell = r"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{}\\\scriptsize $\pm$ {}\end{{tabular}}"
    assert fields == [cell.format(mean, spread) for mean, spread in VALUES]
