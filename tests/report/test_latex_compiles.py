"""Every shipped table and figure title, and any text, compiles with a plain LaTeX without packages."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from made_up import result
from test_renderers import nasty

from asapbench.analysis.shortcut import ANGLE
from asapbench.metrics import Alignment, EpochMetrics, Measurement
from asapbench.report.figures.alignment import weight_alignment
from asapbench.report.figures.by_epoch import Recorded
from asapbench.report.figures.curves import learning_curves
from asapbench.report.figures.matching import dimension_matching
from asapbench.report.figures.memory import figure11
from asapbench.report.figures.shortcut import shortcut_effect_figure
from asapbench.report.figures.theorem import theorem_check
from asapbench.report.forward_alignment import forward_alignment_table
from asapbench.report.paper import ACCURACIES, accuracy_table, table3
from asapbench.report.quantity import Quantity
from asapbench.report.render import Format, render
from asapbench.report.render.latex import escape
from asapbench.report.suite import suite_table
from asapbench.report.table import Column, Field, Group, Note, Row, Table
from asapbench.signs import _FRACTIONS, _SIGNS
from asapbench.suite.load import load, shipped

CELL = load("quickstart").cells[0]
TITLES = (
    "Größe ≤ 10⁻³, α sweep",
    "λ → 0: ½·|E|² ≥ x₁",
    "中文 и кириллица, ǖ, 😀, e\u0301",
    "".join((*_SIGNS, *_FRACTIONS)),
    "10‑3, ①2, 5⅗3, 中5",
    "a--b ``c''",
)


@cache
def shipped_tables() -> tuple[Table, ...]:
    return tuple(_shipped_tables())


def _shipped_tables() -> Iterator[Table]:
    yield from (accuracy_table(number, []) for number in ACCURACIES)
    yield from (table3(), forward_alignment_table([]), dimension_matching([]).table, figure11().table)
    yield theorem_check((4, 3, 2), count=1).table
    yield shortcut_effect_figure([(CELL, [Measurement("layer", ANGLE, 10.0, None, 8)])]).table
    trained = Recorded(result(CELL, 90.0), [EpochMetrics(1, 1.0, 0.5, 1.0, 0.5, None, None, 0.1, 1.0, 100.0, None)])
    yield learning_curves([trained], quantity=Quantity.ACCURACY, heading="Learning curves").table
    cell = load("forward_alignment").cells[-1]
    yield weight_alignment([Recorded(result(cell, 90.0), [Alignment(0, "layer", "weights", 90.0)])], [cell]).table
    for suite in map(load, shipped()):
        yield suite_table(suite.name, suite.cells, [], heading=suite.title, file=suite)


def titled(text: str) -> Table:
    group = Group(text, (Row((Field(text, ("a",)), Field("-1.5", ("a", "b")))),))
    columns, notes = (Column(text, "left"), Column("BP")), (Note(text, (text,), "a"),)
    return Table(text, text, columns, (group,), notes, ())


def test_latex_is_ascii_whatever_the_text_is() -> None:
    for table in (*shipped_tables(), *map(titled, TITLES)):
        render(table, Format.LATEX).encode("ascii")


def test_a_sign_is_set_as_itself_and_what_is_not_known_as_its_escape() -> None:
    assert escape("Größe ≤ 10⁻³, α") == r"Gr\"{o}\ss{}e $\leq$ 10$^{-3}$, $\alpha$"
    assert escape("中5") == r"\textless{}U+4E2D\textgreater{}5"
    assert escape("-‑‐") == "-{-}{-}", "no two hyphens are set as a dash"
    assert escape("--set a-b") == "-{}-set a-b"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex here: nothing can be compiled")
def test_every_shipped_title_and_any_text_compiles(tmp_path: Path) -> None:
    tables = [*shipped_tables(), nasty(), *map(titled, TITLES)]
    body = "\\clearpage\n".join(render(table, Format.LATEX) for table in tables)
    (tmp_path / "t.tex").write_text(f"\\documentclass{{article}}\\begin{{document}}\n{body}\\end{{document}}\n")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert found.returncode == 0, re.findall(r"^!.*|^l\.\d.*", found.stdout, re.MULTILINE)
    assert "Missing character" not in found.stdout
