"""A cell as columns: everything that tells it from other cells, under the names that `--only` and `--set` take.

`settings` is the whole cell; `varying` and `field_text` say in a few words what a list of cells does not share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from asapbench.suite.cell import CHOICES, Cell, plain, title
from asapbench.suite.options import Value

_NAMED = ("dataset", "model", "rule", "seed")


def settings(cell: Cell) -> dict[str, Value]:
    """Every setting of the cell: `dataset`, `dataset.OPTION`, ..., `lr`, `batch_size`, ..., `seed`."""
    found: dict[str, Value] = {}
    for field in fields(cell):
        value = getattr(cell, field.name)
        if field.name in CHOICES:
            found[field.name] = value.name
            found |= {f"{field.name}.{option}": chosen for option, chosen in value.options}
        else:
            found[field.name] = value
    return found


def varying(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The fields in which cells of the same data set, model and rule differ, the seed aside."""
    candidates = [field.name for field in fields(Cell) if field.name not in _NAMED]
    same: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        same.setdefault((cell.dataset, cell.model, cell.rule), []).append(cell)
    return tuple(n for n in candidates if any(len({getattr(c, n) for c in group}) > 1 for group in same.values()))


def field_text(cell: Cell, name: str) -> str:
    """`ASAP(k=4)` or `lr 0.03`: what the cell has in field `name`. Different values have different texts."""
    value = getattr(cell, name)
    return title(name, value) if name in CHOICES else f"{name} {plain(value)}"
