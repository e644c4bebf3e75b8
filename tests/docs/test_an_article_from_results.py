"""The article of examples/paper is made by the commands in its first lines, and the page on papers says what holds."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documentation import DOCS, ROOT, blocks

from asapbench.report.layout import with_digits
from asapbench.report.table import Column, Number, Table

ARTICLE = ROOT / "examples" / "paper" / "article.tex"
COMMANDS = [line[1:].strip() for line in ARTICLE.read_text(encoding="utf-8").splitlines() if line.startswith("%   ")]
SHORT = " --only rule=bp,asap --seeds 0-2 --set epochs=2"
"""In place of the whole quickstart."""


def test_the_page_has_the_commands_of_the_article() -> None:
    (first, *_) = blocks(DOCS / "paper.md", "sh")
    assert [line.partition("#")[0].strip() for line in first.splitlines()][1:] == COMMANDS


def test_the_article_counts_no_seeds_which_the_table_does() -> None:
    text = ARTICLE.read_text(encoding="utf-8")
    assert re.findall(r"\S+ seeds", text) == ["the seeds"]
    assert re.search(r"the seeds of\s+Table~\\ref\{tab:quickstart\}", text)


def test_the_page_says_what_digits_do_not_round() -> None:
    (digits,) = re.findall(
        r"^- \*\*Digits\.\*\*.*(?:\n  .*)*", (DOCS / "paper.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    name = {"dataset": "Digits", "model": "ResNet-10", "rule": "BP", "metric": "accuracy", "unit": "percent"}
    number = Number(**name, measured=94.93412, sd=0.11609, n=2, samples=(94.85203, 95.01621))  # type: ignore[arg-type]
    table = Table("", "", (Column("Rule"),), (), (), (number,))
    (rounded,) = with_digits(table, 1).numbers
    assert (rounded.measured, rounded.sd) == (94.9, 0.1)
    assert rounded.samples == number.samples
    assert "`samples`" in digits


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex here: nothing can be compiled")
def test_the_commands_make_a_pdf_of_one_page_without_a_warning(tmp_path: Path) -> None:
    shutil.copy(ARTICLE, tmp_path)
    said = ""
    for command in COMMANDS:
        program, *words = shlex.split(command + SHORT * command.startswith("asapbench run"))
        start = [sys.executable, "-m", "asapbench"] if program == "asapbench" else [program, "-interaction=batchmode"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([*start, *words], cwd=tmp_path, check=True, capture_output=True, env=environment)
    said = (tmp_path / "article.log").read_text(encoding="utf-8", errors="replace")
    assert re.search(r"Output written on article\.pdf \(1 page", said)
    assert not re.findall(r"Overfull|undefined|LaTeX Warning", said)
    assert r"\textbf" in (tmp_path / "quickstart.tex").read_text(encoding="ascii")
