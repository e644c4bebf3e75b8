"""What tells cells apart that are shown together: the fields that their labels leave out.

A label has the choices with their options, and the seed (`Cell.label`); numbers in it are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asapbench.suite.cell import ALWAYS, UNLESS_DEFAULT, Cell, plain

_UNLABELLED = tuple(name for name in (*ALWAYS, *UNLESS_DEFAULT) if name != "seed")


def distinguishing_fields(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Fields that labels leave out and that differ among `cells`, as in `batch_size`."""
    return tuple(name for name in _UNLABELLED if len({getattr(cell, name) for cell in cells}) > 1)


def distinctions(cells: Iterable[Cell]) -> dict[str, str]:
    """By identity, what a label needs so that no two of `cells` look the same: `lr 0.1, epochs 2`, or nothing."""
    groups: dict[str, list[Cell]] = {}
    for cell in {cell.id: cell for cell in cells}.values():
        groups.setdefault(cell.label, []).append(cell)
    found = {}
    for alike in groups.values():
        names = distinguishing_fields(alike)
        for cell in alike:
            found[cell.id] = ", ".join(f"{name} {plain(getattr(cell, name))}" for name in names)
    return found


def distinct_labels(cells: Iterable[Cell]) -> dict[str, str]:
    """By identity, the label of each cell with its distinction."""
    wanted = {cell.id: cell for cell in cells}
    needed = distinctions(wanted.values())
    return {cell_id: f"{cell.label}, {needed[cell_id]}".removesuffix(", ") for cell_id, cell in wanted.items()}
