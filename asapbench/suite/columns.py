"""A cell as columns: everything that distinguishes it from other cells, by the names that `--only` and `--set` take.

`settings` is the whole cell. The other functions name the settings in which cells that are shown together differ, so
that no two of them look the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asapbench.suite.catalog import DEFAULTS
from asapbench.suite.cell import CHOICES, FIELDS, Cell, name, plain, title
from asapbench.suite.options import Choice, Value

KINDS = ("dataset", "model", "rule")
"""What cells are compared by: configurations with the same three differ in their settings alone."""

_NAMED = (*KINDS, "seed")


def settings(cell: Cell) -> dict[str, Value]:
    """Every setting of the cell: `dataset`, `dataset.OPTION`, ..., `lr`, `batch_size`, ..., `seed`."""
    found: dict[str, Value] = {}
    for field in FIELDS:
        value = getattr(cell, field)
        if field in CHOICES:
            found[field] = value.name
            found |= {f"{field}.{option}": chosen for option, chosen in value.options}
        else:
            found[field] = value
    return found


def differing(cells: Iterable[Cell]) -> tuple[str, ...]:
    """The fields besides data set, model, rule and seed that have several values among `cells`, as in `batch_size`."""
    cells = list(cells)
    candidates = (field for field in FIELDS if field not in _NAMED)
    return tuple(field for field in candidates if len({getattr(cell, field) for cell in cells}) > 1)


def varying(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The fields of `differing` that have several values among cells of the same data set, model and rule."""
    same: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        same.setdefault((cell.dataset, cell.model, cell.rule), []).append(cell)
    found = {name for alike in same.values() for name in differing(alike)}
    return tuple(name for name in differing(cells) if name in found)


def varying_on_each(cells: Iterable[Cell]) -> dict[tuple[Choice, Choice], tuple[str, ...]]:
    """By data set and model, the fields of `varying`: a sweep on one network says nothing of the cells of another."""
    on: dict[tuple[Choice, Choice], list[Cell]] = {}
    for cell in cells:
        on.setdefault((cell.dataset, cell.model), []).append(cell)
    return {place: varying(members) for place, members in on.items()}


def field_text(cell: Cell, field: str) -> str:
    """`ASAP(k=4)` or `lr 0.03`: what the cell has in a field. Different values have different texts."""
    if field in CHOICES and field != "schedule":
        return title(field, getattr(cell, field))
    return f"{field} {field_value(cell, field)}"


def field_value(cell: Cell, field: str) -> str:
    """`asap(k=4)` or `0.03`: what the cell has in a field, as in a suite file."""
    value = getattr(cell, field)
    return name(field, value) if field in CHOICES else plain(value)


def distinctions(cells: Iterable[Cell]) -> dict[str, str]:
    """By identity, what a label needs in addition so that no two of `cells` look the same: `lr 0.1`, or nothing.

    A label has the choices with their options, and the seed; numbers in it are exact.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in {cell.id: cell for cell in cells}.values():
        groups.setdefault(cell.label, []).append(cell)
    found = {}
    for alike in groups.values():
        names = differing(alike)
        for cell in alike:
            found[cell.id] = ", ".join(field_text(cell, name) for name in names)
    return found


def distinct_labels(cells: Iterable[Cell]) -> dict[str, str]:
    """By identity, the label of each cell with its distinction."""
    wanted = {cell.id: cell for cell in cells}
    needed = distinctions(wanted.values())
    return {cell_id: f"{cell.label}, {needed[cell_id]}".removesuffix(", ") for cell_id, cell in wanted.items()}


_LABELLED = ("dataset", "model", "rule", "optimizer")


class Labels:
    """Short labels of cells that are shown together: `shared` is what the labels of all have, for a heading.

    A label has the choices that differ, the seed, and what distinguishes the cell from others of its label.

    >>> from asapbench.suite.load import load
    >>> cells = [cell for cell in load("quickstart").cells if cell.model.name == "resnet10"]
    >>> labels = Labels(cells)
    >>> labels.shared, labels.of(cells[0])
    ('Digits ResNet-10(width=8)', 'BP seed 0')
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        known = {cell.id: cell for cell in cells}
        self._distinctions = distinctions(known.values())
        alike = [kind for kind in _LABELLED if len({getattr(cell, kind) for cell in known.values()}) == 1]
        self._shared = alike if len(known) > 1 else []
        first = next(iter(known.values()), None)
        self.shared = "" if first is None else " ".join(self._titles(first, self._shared))

    def of(self, cell: Cell) -> str:
        """The label of one of the cells, or of another one."""
        return self._joined(cell, self._own(cell, _LABELLED))

    def rule_first(self, cell: Cell) -> str:
        """As `of`, with data set and model at the end, which a narrow column cuts."""
        rest = " ".join(self._own(cell, _LABELLED[:2]))
        return f"{self._joined(cell, self._own(cell, _LABELLED[2:]))}, {rest}".removesuffix(", ")

    def _joined(self, cell: Cell, parts: Sequence[str]) -> str:
        named = " ".join([*parts, f"seed {cell.seed}"])
        return f"{named}, {self._distinctions.get(cell.id, '')}".removesuffix(", ")

    def _own(self, cell: Cell, kinds: Iterable[str]) -> list[str]:
        return self._titles(cell, [kind for kind in kinds if kind not in self._shared])

    @staticmethod
    def _titles(cell: Cell, kinds: Iterable[str]) -> list[str]:
        shown = (kind for kind in kinds if kind != "optimizer" or cell.optimizer != DEFAULTS["optimizer"])
        return [title(kind, getattr(cell, kind)) for kind in shown]
