"""`asapbench run` commands that train given cells of shipped suites and no others, as few as simple filters allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations

from asapbench.report.references import Reference
from asapbench.suite.cell import Cell, plain
from asapbench.suite.load import load

_FILTERS = ("model", "rule", "optimizer.weight_decay")
"""What `--only` is given, whichever order needs the fewest commands; cells that these do not tell apart go by name."""


def commands_to_fill(missing: Iterable[Reference]) -> Iterator[str]:
    """The commands that train the cells of `missing`, suite by suite."""
    by_suite: dict[str, set[str]] = {}
    for reference in missing:
        by_suite.setdefault(reference.suite, set()).add(reference.cell.id)
    for suite, wanted in by_suite.items():
        orders = [_filters(wanted, load(suite).cells, order) for order in permutations(_FILTERS)]
        for filters in min(orders, key=lambda found: (len(found), sum(map(len, found)))):
            yield " ".join((f"asapbench run {suite}", *(f"--only {text}" for text in filters)))


def _filters(wanted: set[str], cells: Sequence[Cell], keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The filters of each command that together choose `wanted` among `cells`; none where all are wanted."""
    if wanted.issuperset(cell.id for cell in cells):
        return [()]
    if not keys:
        return [(f"cell={','.join(cell.short for cell in cells if cell.id in wanted)}",)]
    values = list(dict.fromkeys(_value(cell, keys[0]) for cell in cells))
    by_rest: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for value in values:
        part = [cell for cell in cells if _value(cell, keys[0]) == value]
        if inside := wanted.intersection(cell.id for cell in part):
            by_rest.setdefault(tuple(_filters(inside, part, keys[1:])), []).append(value)
    found = []
    for rest, chosen in by_rest.items():
        own = () if chosen == values else (f"{keys[0]}={','.join(chosen)}",)
        found += [(*own, *filters) for filters in rest]
    return found


def _value(cell: Cell, key: str) -> str:
    match key:
        case "model":
            return cell.model.name
        case "rule":
            return cell.rule.name
        case _:
            return plain(cell.optimizer.number("weight_decay"))
