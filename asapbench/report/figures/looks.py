"""The colour, marker and dashes of every rule: the same in all figures, of matplotlib and of the page. Without both.

A rule's entry declares its look; a plug-in that declares none gets one by its name. Variants of a rule (its options,
or a learning rate beside another) keep the rule's colour in another tone, with dashes and marker of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Final, get_args

from asapbench.suite.catalog import RULES
from asapbench.suite.cell import name
from asapbench.suite.entries import Color, Dash, Look, Marker
from asapbench.suite.options import Choice

PALETTE: Final[Mapping[Color, str]] = {
    "ink": "#000000",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
}
"""The colours of Okabe and Ito, which colour-blind readers can distinguish; without yellow, too faint on white."""

_INK_ON_DARK = "#F2F2F2"

_GREY = 0x80
"""Towards which the tones of ink go: black has no darker tone, white no lighter one."""

_TONES = {False: ((0x00, 0.0), (0x00, 0.4), (0xFF, 0.4)), True: ((0xFF, 0.0), (0xFF, 0.4), (0x00, 0.35))}
"""For a light and a dark background, what each tone mixes with its colour: black (0) or white (255), and how much."""

_MARKERS: Mapping[Marker, tuple[str, str]] = {
    "circle": ("o", "circle"),
    "square": ("s", "square"),
    "diamond": ("D", "diamond"),
    "triangle-up": ("^", "triangle-up"),
    "triangle-down": ("v", "triangle-down"),
    "cross": ("X", "x"),
    "plus": ("P", "cross"),
    "star": ("*", "star"),
    "pentagon": ("p", "pentagon"),
    "hexagon": ("h", "hexagon"),
}
"""What matplotlib and plotly call a marker."""

_DASHES: Mapping[Dash, tuple[str, str]] = {
    "solid": ("-", "solid"),
    "dashed": ("--", "dash"),
    "dash-dot": ("-.", "dashdot"),
    "dotted": (":", "dot"),
}
"""What matplotlib and plotly call dashes."""

_ALL = tuple(Look(*parts) for parts in product(PALETTE, get_args(Marker), get_args(Dash)))


def look(rule: Choice) -> Look:
    """The look of a rule with its options.

    >>> look(RULES["asap"].choose())
    Look(color='vermillion', marker='square', dash='solid', tone=0)
    """
    return looks([(rule, "")])[0]


def looks(lines: Iterable[tuple[Choice, str]]) -> list[Look]:
    """The look of each line: its rule, and what else distinguishes it from other lines of the same rule, or nothing.

    The first line of a rule has the rule's look. The others, and rules with changed options, have another tone, and
    dashes that no other line here has in that tone as long as there are some left.

    >>> fa = RULES["fa"].choose()
    >>> [(one.color, one.tone) for one in looks([(fa, "lr 0.1"), (fa, "lr 0.03"), (fa, "lr 0.1")])]
    [('blue', 0), ('blue', 2), ('blue', 0)]
    """
    lines = list(lines)
    wanted = dict.fromkeys(lines)
    first: dict[Choice, str] = {}
    for rule, beside in wanted:
        first.setdefault(rule, beside)
    own = _own_looks()
    found: dict[tuple[Choice, str], Look] = {}
    # In the order of their names, so that the order of the lines changes nothing.
    for rule, beside in sorted(wanted, key=lambda line: (line[1] != first[line[0]], name("rule", line[0]), line[1])):
        variant = name("rule", rule), "" if beside == first[rule] else beside
        of_rule = own[rule.name]
        found[rule, beside] = (
            of_rule if variant == (rule.name, "") else _variant(of_rule, variant, {*own.values(), *found.values()})
        )
    return [found[line] for line in lines]


def _own_looks() -> dict[str, Look]:
    """By name, the look of every rule of the catalog with its default options: no two are alike."""
    found: dict[str, Look] = {}
    undeclared = []
    for entry in RULES.values():
        if entry.look is None or entry.look in found.values():
            undeclared.append(entry.name)
        else:
            found[entry.name] = entry.look
    for rule in sorted(undeclared):
        lines = {(one.color, one.dash) for one in found.values()}
        free = [one for one in _ALL if (one.color, one.dash) not in lines]
        found[rule] = _chosen(rule, free or [one for one in _ALL if one not in found.values()])
    return found


def _variant(own: Look, variant: tuple[str, str], taken: set[Look]) -> Look:
    """A look in the colour of `own` that is not `taken`; if possible, also with no taken pair of tone and dashes."""
    every = [Look(own.color, one.marker, one.dash, tone) for tone in (1, 2) for one in _ALL if one.color == own.color]
    lines = {one._replace(marker=own.marker) for one in taken}
    free = [one for one in every if one._replace(marker=own.marker) not in lines]
    return _chosen(" ".join(variant), free or [one for one in every if one not in taken] or every)


def _chosen(key: str, among: Sequence[Look]) -> Look:
    """One of the looks by `key`: the same whatever else is among them, unless the look itself is missing."""
    return min(among, key=lambda one: hashlib.sha256(f"{key} {tuple(one)}".encode()).digest())


def hexadecimal(look: Look, *, dark: bool = False) -> str:
    """The colour as `#0072B2`, on a light or a `dark` background.

    >>> hexadecimal(Look("blue", "circle")), hexadecimal(Look("blue", "circle", tone=1))
    ('#0072B2', '#00446B')
    """
    color = _INK_ON_DARK if dark and look.color == "ink" else PALETTE[look.color]
    towards, share = (_GREY, 0.5 * look.tone) if look.color == "ink" else _TONES[dark][look.tone]
    parts = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(part + share * (towards - part)):02X}" for part in parts)


def shades(look: Look, count: int) -> list[str]:
    """The colour and lighter ones, `count` in all, for bars of one rule that differ in an option.

    >>> shades(Look("vermillion", "square"), 2)
    ['#D55E00', '#E49659']
    """
    parts = [int(PALETTE[look.color][place : place + 2], 16) for place in (1, 3, 5)]
    steps = (0.7 * step / max(count, 2) for step in range(count))
    return ["#" + "".join(f"{round(part + step * (255 - part)):02X}" for part in parts) for step in steps]


def matplotlib_line(look: Look) -> dict[str, Any]:
    """Keyword arguments of `Axes.plot`.

    >>> matplotlib_line(look(RULES["bp"].choose()))
    {'color': '#000000', 'marker': 'o', 'linestyle': '-'}
    """
    return {"color": hexadecimal(look), "marker": _MARKERS[look.marker][0], "linestyle": _DASHES[look.dash][0]}


def plotly_line(look: Look, *, dark: bool = False) -> dict[str, Any]:
    """The properties `line` and `marker` of a plotly trace.

    >>> plotly_line(look(RULES["asap"].choose()))
    {'line': {'color': '#D55E00', 'dash': 'solid'}, 'marker': {'color': '#D55E00', 'symbol': 'square'}}
    """
    color = hexadecimal(look, dark=dark)
    symbol, dash = _MARKERS[look.marker][1], _DASHES[look.dash][1]
    return {"line": {"color": color, "dash": dash}, "marker": {"color": color, "symbol": symbol}}
