"""Any text compiles with booktabs alone, and each table of the paper fits one column of an article."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
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
from asapbench.report.published import printed_table
from asapbench.report.quantity import Quantity
from asapbench.report.render import Format, render
from asapbench.report.render.latex import escape
from asapbench.report.render.latex_form import fitting
from asapbench.report.suite import suite_table
from asapbench.report.table import Column, Field, Group, Note, Row, Table
from asapbench.signs import _FRACTIONS, _SIGNS
from asapbench.suite.load import load, shipped

needs_tex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="there is no pdflatex here: nothing can be compiled"
)

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


def compiled(folder: Path, body: str, *, options: str = "") -> str:
    """What LaTeX says of the document, and TeX's own output in `folder`/t.pdf."""
    preamble = rf"\documentclass{options}{{article}}\usepackage{{booktabs}}"
    (folder / "t.tex").write_text(f"{preamble}\\begin{{document}}\n{body}\\end{{document}}\n")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert found.returncode == 0, re.findall(r"^!.*|^l\.\d.*", found.stdout, re.MULTILINE)
    assert "Missing character" not in found.stdout
    return found.stdout


@needs_tex
def test_every_shipped_title_and_any_text_compiles(tmp_path: Path) -> None:
    tables = [*shipped_tables(), nasty(), *map(titled, TITLES)]
    compiled(tmp_path, "\\clearpage\n".join(render(table, Format.LATEX) for table in tables))


def measured(table: int) -> Table:
    """A table of the paper with three seeds of every cell."""
    printed = [one for one in printed_table(table).numbers if one.reference]
    seeds = [(one, seed) for one in printed for seed in range(3)]
    found = [result(one.reference.cell.with_seed(seed), one.value - seed / 7) for one, seed in seeds if one.reference]
    return accuracy_table(table, found)


@cache
def of_the_paper() -> dict[str, Table]:
    cells = [cell.with_seed(seed) for cell in load("forward_alignment").cells for seed in range(3)]
    readings = forward_alignment_table([result(cell, 90.0 + cell.seed / 7) for cell in cells])
    return {**{str(number): measured(number) for number in ACCURACIES}, "3": table3(), "A.2": readings}


@needs_tex
@pytest.mark.slow
@pytest.mark.parametrize("name", ["1", "2", "3", "4", "5", "A.2"])
@pytest.mark.parametrize("options", ["[twocolumn]", "[twocolumn,a4paper]"])
def test_each_table_of_the_paper_fits_one_column_of_an_article(name: str, options: str, tmp_path: Path) -> None:
    text = render(of_the_paper()[name], Format.LATEX)
    assert r"\begin{table}" in text
    said = compiled(tmp_path, text, options=options)
    assert "Overfull" not in said
    assert "Float too large" not in said


@needs_tex
@pytest.mark.slow
@pytest.mark.parametrize("name", ["1", "2", "3", "4", "5", "A.2"])
def test_the_width_that_is_foretold_is_that_of_tex(name: str, tmp_path: Path) -> None:
    form = fitting(of_the_paper()[name])
    text = render(replace(of_the_paper()[name], title="", notes=()), Format.LATEX)
    said = compiled(tmp_path, rf"\setbox0=\hbox{{{text}}}\typeout{{WIDE=\the\wd0}}")
    wide = float(re.findall(r"WIDE=([\d.]+)pt", said)[0])
    assert wide <= 3.3 * 72.27
    assert wide == pytest.approx(form.width(form.places[0]), rel=0.06)


@needs_tex
@pytest.mark.slow
def test_a_width_is_kept_whatever_the_table(tmp_path: Path) -> None:
    wide = [suite_table(suite.name, suite.cells, [], file=suite) for suite in map(load, ("feedback", "local", "cpu"))]
    for inches in (2.5, 3.3, 5.5):
        bodies = [render(table, Format.LATEX, inches=inches) for table in wide]
        page = rf"\textwidth={inches}in\hsize=\textwidth\columnwidth=\textwidth\linewidth=\textwidth "
        said = compiled(tmp_path, page + "\\clearpage\n".join(bodies))
        assert "Overfull" not in re.sub(r"Overfull .hbox .* in paragraph at lines[^\n]*\n.*texttt", "", said)
