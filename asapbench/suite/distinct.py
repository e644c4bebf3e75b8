"""What tells cells apart that are shown together: the fields that their labels leave out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asapbench.suite.cell import ALWAYS, CHOICES, UNLESS_DEFAULT, Cell
from asapbench.suite.options import Choice, Value

_UNLABELLED = tuple(name for name in (*ALWAYS, *UNLESS_DEFAULT) if name != "seed")
"""Fields that no label has; a label has the choices with their options, and the seed."""


def distinguishing_fields(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Fields that labels leave out and that differ among `cells`, as in `batch_size`.

    Options too, as in `optimizer.beta1`, where cells of one label differ in them: a label rounds numbers.
    """
    found = [name for name in _UNLABELLED if len({getattr(cell, name) for cell in cells}) > 1]
    for alike in _by_label(cells):
        for kind in CHOICES:
            options = [dict(_choice(cell, kind).options) for cell in alike]
            found += [f"{kind}.{name}" for name in options[0] if len({o.get(name) for o in options}) > 1]
    return tuple(dict.fromkeys(found))


def distinctions(cells: Iterable[Cell]) -> dict[str, str]:
    """By identity, what a label needs so that no two of `cells` look the same: `lr 0.1, epochs 2`, or nothing."""
    found = {}
    for alike in _by_label({cell.id: cell for cell in cells}.values()):
        names = distinguishing_fields(alike)
        for cell in alike:
            found[cell.id] = ", ".join(f"{name} {field_text(cell, name)}" for name in names)
    return found


def distinct_labels(cells: Iterable[Cell]) -> dict[str, str]:
    """By identity, the label of each cell with its distinction."""
    wanted = {cell.id: cell for cell in cells}
    needed = distinctions(wanted.values())
    return {cell_id: f"{cell.label}, {needed[cell_id]}".removesuffix(", ") for cell_id, cell in wanted.items()}


def field_text(cell: Cell, name: str) -> str:
    """The value of a field or option as text that no other value has; "" where the choice lacks the option."""
    kind, _, option = name.partition(".")
    value = dict(_choice(cell, kind).options).get(option, "") if option else getattr(cell, name)
    return value_text(value)


def value_text(value: Value) -> str:
    """`0.03`, `1e-05`, `true`, `cosine`: a number in full where six digits are not all of it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def _by_label(cells: Iterable[Cell]) -> list[list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.label, []).append(cell)
    return list(groups.values())


def _choice(cell: Cell, kind: str) -> Choice:
    choice = getattr(cell, kind)
    assert isinstance(choice, Choice)
    return choice
