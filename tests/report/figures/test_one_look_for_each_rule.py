"""Every rule has one colour, marker and dashes in all figures, whatever else a figure shows."""

import itertools
import subprocess
import sys

import pytest

from asapbench.report.figures.looks import PALETTE, hexadecimal, look, looks, matplotlib_line, plotly_line
from asapbench.suite.catalog import RULES
from asapbench.suite.entries import Look, RuleEntry

SHIPPED = [entry.choose() for entry in RULES.values()]


def added(monkeypatch: pytest.MonkeyPatch, *entries: RuleEntry) -> None:
    for entry in entries:
        monkeypatch.setitem(RULES, entry.name, entry)


def test_no_two_rules_of_the_catalog_have_the_same_line_even_without_markers_or_without_dashes() -> None:
    found = looks((rule, "") for rule in SHIPPED)
    assert len({(one.color, one.dash) for one in found}) == len(SHIPPED)
    assert len({(one.color, one.marker) for one in found}) == len(SHIPPED)


def test_the_rules_of_the_printed_tables_differ_in_colour_alone() -> None:
    for names in (("bp", "kp", "fa", "dfa", "asap"), ("bp", "asap", "local_errors", "predsim", "phsic")):
        assert len({look(RULES[name].choose()).color for name in names}) == 5


def test_a_look_does_not_depend_on_what_else_a_figure_shows() -> None:
    alone = [look(rule) for rule in SHIPPED]
    assert looks((rule, "") for rule in reversed(SHIPPED)) == alone[::-1]
    deep = RULES["asap"].choose({"k": 4})
    assert looks([*((rule, "") for rule in SHIPPED), (deep, "")])[-1] == look(deep)


def test_plug_ins_get_free_looks_that_do_not_depend_on_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [RuleEntry(f"mine{number}", "Mine", "a test") for number in range(40)]
    added(monkeypatch, *mine)
    found = looks((entry.choose(), "") for entry in RULES.values())
    assert len(set(found)) == len(RULES)
    assert found[: len(SHIPPED)] == [look(rule) for rule in SHIPPED]
    for entry in mine:
        monkeypatch.delitem(RULES, entry.name)
    added(monkeypatch, *mine[::-1])
    assert dict(zip(RULES, looks((entry.choose(), "") for entry in RULES.values()), strict=True)) == dict(
        zip([*list(RULES)[: len(SHIPPED)], *(one.name for one in mine)], found, strict=True)
    )


def test_a_plug_in_may_declare_its_look_but_not_take_that_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    own, taken = Look("ink", "star", "dotted"), look(RULES["bp"].choose())
    added(monkeypatch, RuleEntry("own", "O", "", look=own), RuleEntry("taken", "T", "", look=taken))
    assert look(RULES["own"].choose()) == own
    assert look(RULES["bp"].choose()) == taken != look(RULES["taken"].choose())


def test_options_keep_the_colour_and_differ_from_every_other_line() -> None:
    variants = [RULES["asap"].choose({"k": k}) for k in (2, 3, 4, 6, 8)]
    found = looks((rule, "") for rule in (*SHIPPED, *variants))
    assert {one.color for one in found[len(SHIPPED) :]} == {"vermillion"}
    assert len({one._replace(marker="circle") for one in found}) == len(SHIPPED) + len(variants) - 1


def test_learning_rates_of_one_rule_are_told_apart_in_its_colour() -> None:
    fa = RULES["fa"].choose()
    found = looks((fa, f"lr {rate}") for rate in (0.1, 0.03, 0.01, 0.003))
    assert found[0] == look(fa)
    assert {one.color for one in found} == {"blue"}
    assert len({one._replace(marker="circle") for one in found}) == 4


@pytest.mark.parametrize("dark", [False, True])
def test_colours_stand_out_from_the_background(dark: bool) -> None:
    def luminance(color: str) -> float:
        parts = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
        linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    background = luminance("#111111" if dark else "#FFFFFF")
    for color, tone in itertools.product(PALETTE, (0, 1)):
        low, high = sorted((luminance(hexadecimal(Look(color, "circle", tone=tone), dark=dark)), background))
        assert (high + 0.05) / (low + 0.05) > 2.1, (color, tone)


def test_matplotlib_and_plotly_draw_the_same_colour_and_know_every_name() -> None:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    for rule in SHIPPED:
        (line,) = axes.plot([0, 1], [0, 1], **matplotlib_line(look(rule)))
        trace = go.Scatter(x=[0, 1], y=[0, 1], **plotly_line(look(rule)))
        assert line.get_color() == trace.line.color == trace.marker.color


def test_looks_need_neither_torch_nor_matplotlib_nor_plotly() -> None:
    code = "import sys, asapbench.report.figures.looks, asapbench.report.figures.style; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "matplotlib", "plotly"} & set(found)
