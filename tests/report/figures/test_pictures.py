"""Pictures as files: valid, repeatable to the byte, without a date, whole or not at all; and what is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from figure_commands import report
from PIL import Image

from asapbench.errors import AsapbenchError
from asapbench.report.figures import FIGURES
from asapbench.report.figures.picture import SUFFIXES, Illustration, picture
from asapbench.report.figures.style import COLORS, canvas, line_style, literal, styled
from asapbench.report.table import Table

DRAWN_HERE = """
import sys
from asapbench.report.figures import paper_figure
from asapbench.report.figures.picture import picture
for suffix in sys.argv[1:]:
    sys.stdout.buffer.write(picture(paper_figure(11, url=""), suffix))
"""


def drawn(*suffixes: str) -> bytes:
    """Figure 11 in these formats, drawn by a process of its own that has no display."""
    environment = os.environ | {"MPLBACKEND": "TkAgg"}
    environment.pop("DISPLAY", None)
    command = [sys.executable, "-c", DRAWN_HERE, *suffixes]
    return subprocess.run(command, capture_output=True, check=True, env=environment).stdout


def test_the_same_numbers_give_the_same_bytes_in_every_process() -> None:
    first, second = drawn(*SUFFIXES), drawn(*SUFFIXES)
    assert first == second
    assert not re.search(rb"20\d\d-\d\d-\d\d|CreationDate|dc:date", first)


def test_each_file_has_the_format_of_its_name(tmp_path: Path) -> None:
    for suffix in ("png", "svg", "pdf"):
        report("--figure", "11", "--out", str(tmp_path / f"figure.{suffix}"))
    image = Image.open(tmp_path / "figure.png")
    image.load()
    assert image.width >= 1200
    assert ElementTree.parse(tmp_path / "figure.svg").getroot().tag.endswith("}svg")
    document = (tmp_path / "figure.pdf").read_bytes()
    assert document.startswith(b"%PDF-")
    assert document.rstrip().endswith(b"%%EOF")
    assert {path.name for path in tmp_path.iterdir()} == {"figure.png", "figure.svg", "figure.pdf"}


def test_the_ending_of_the_name_decides_whatever_its_case(tmp_path: Path) -> None:
    report("--figure", "11", "--out", str(tmp_path / "figure.PNG"))
    assert (tmp_path / "figure.PNG").read_bytes().startswith(b"\x89PNG")
    report("--figure", "11", "--format", "markdown", "--out", str(tmp_path / "figure.md"))
    assert (tmp_path / "figure.md").read_text().startswith("**Figure 11.")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--figure", "7"), f"there is no such figure; available: {', '.join(map(str, FIGURES))}"),
        (("--figure", "11", "--table", "1"), "only one of --table, --figure"),
        (("--figure", "11", "--allow-deviations"), "goes with --table or --figure 9, not with --figure"),
        (("--figure", "11", "--format", "csv", "--out", "x.png"), "leave one of them out"),
        (("--figure", "11", "--out", "nowhere/x.png"), "there is no directory nowhere"),
        (
            ("--table", "3", "--out", "x.svg"),
            "this report is a table, not a picture; end the name in .tex, of which LaTeX makes a PDF, or in .txt, .md",
        ),
    ],
)
def test_what_cannot_be_drawn_is_an_error_with_the_reason(
    words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AsapbenchError, match=says):
        report(*words)
    assert list(tmp_path.iterdir()) == []


def illustration(title: str) -> Illustration:
    empty = Table("", "", (), (), (), ())
    return Illustration(empty, lambda sheet: canvas(title, title, sheet=sheet)[0])


@pytest.mark.parametrize("name", ["$x^2$", "$", "a $ b $ c", r"\frac", "x\x1b[31m\n", "日本 \U0001f600", "%$#_^{}&<>"])
def test_any_name_can_be_drawn(name: str) -> None:
    assert picture(illustration(name), ".svg").startswith(b"<?xml")


def test_a_name_with_dollars_is_no_formula() -> None:
    from matplotlib.cbook import is_math_text

    with styled():
        assert is_math_text("$x$ and $y$")
        assert not is_math_text(literal("$x$ and $y$"))


def test_the_matplotlib_settings_of_the_user_have_no_effect_and_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    before = picture(illustration("title"), ".png")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30.0)
    assert picture(illustration("title"), ".png") == before
    assert matplotlib.rcParams["font.size"] == 30.0


def test_drawing_never_loads_pyplot() -> None:
    code = DRAWN_HERE.replace("sys.stdout.buffer.write", "len") + "\nprint('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, ".png"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_lines_are_distinguished_without_colour_too() -> None:
    styles = [line_style(number) for number in range(28)]
    assert len({(style["marker"], style["linestyle"]) for style in styles}) == 28
    assert len({style["color"] for style in styles}) == len(COLORS)


def test_folded_text_has_only_the_line_breaks_of_the_folding() -> None:
    from asapbench.report.figures.style import folded, inches_wide, styled

    with styled():
        made = folded("words " * 30 + "and a\nbreak for $5", 2.0)
        lines = made.split("\n")
        assert len(lines) > 5
        assert all(inches_wide(line) <= 2.0 for line in lines)
    assert " ".join(lines).endswith(r"and a\nbreak for \$5")
