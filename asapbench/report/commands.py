"""What is left to train for a report, and the `asapbench` commands that train these cells and no others."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations

from asapbench.report.configuration import MISSING, Configuration, counted, state_text
from asapbench.report.published import Reference
from asapbench.report.quantity import Metric
from asapbench.report.table import Note
from asapbench.suite.catalog import dataset_shape
from asapbench.suite.cell import Cell, plain
from asapbench.suite.columns import settings
from asapbench.suite.load import load

_FILTERS = ("model", "rule", "optimizer.weight_decay")
"""Keys of `--only`, in the order that needs the fewest commands; cells that are equal in all of them go by identity."""


def notes_to_finish(
    references: Iterable[Reference], found: Mapping[str, Configuration], *, metric: Metric, report: str
) -> Iterator[Note]:
    """How many trainings of a report's cells lack the metric, are unfinished or missing, with the commands to run.

    `report` is the option that shows the report: `--table 1`.
    """
    pairs = [(reference, found.get(reference.cell.group)) for reference in references]
    if lacking := sum(one.without_metric for _, one in pairs if one):
        yield Note(
            f"{lacking} finished trainings have no {metric}: it needs examples held out for validation, which deviates "
            "from the paper. To train and show such cells:",
            commands=(
                f"asapbench run {pairs[0][0].suite} --set validation=5000",
                f"asapbench report {report} --metric {metric} --allow-deviations",
            ),
        )
    if unfinished := [(reference, one) for reference, one in pairs if one and one.unfinished]:
        states = Counter(state_text(state) for _, one in unfinished for _, state in one.unfinished)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        suites = dict.fromkeys(reference.suite for reference, _ in unfinished)
        text = f"{counted(states.total(), 'training')} started and not finished ({counts}). To resume:"
        yield Note(text, (f"asapbench resume {' '.join(suites)}",))
    if missing := [reference for reference, one in pairs if one is None]:
        yield Note(f'"{MISSING}": not measured yet. To fill:', tuple(commands_to_fill(missing)))


def run_with_validation(cells: Iterable[Cell], *, suite: str) -> str:
    """The command that trains a suite with a tenth of the smallest of the cells' data sets held out."""
    held_out = min(dataset_shape(cell.dataset).train for cell in cells) // 10
    return f"asapbench run {shlex.quote(suite)} --set validation={held_out}"


def commands_to_fill(missing: Iterable[Reference]) -> Iterator[str]:
    """The commands that train the cells of `missing`, suite by suite, as few as simple filters allow."""
    by_suite: dict[str, set[str]] = {}
    for reference in missing:
        by_suite.setdefault(reference.suite, set()).add(reference.cell.id)
    for suite, wanted in by_suite.items():
        yield from commands_to_train(wanted, suite=suite, cells=load(suite).cells)


def commands_to_train(wanted: set[str], *, suite: str, cells: Sequence[Cell]) -> Iterator[str]:
    """The commands that train those `cells` of a suite, a shipped one or a file, whose identities are `wanted`."""
    orders = [_filters(wanted, cells, order) for order in permutations(_FILTERS)]
    for filters in min(orders, key=lambda found: (len(found), sum(map(len, found)))):
        yield " ".join((f"asapbench run {shlex.quote(suite)}", *(f"--only {text}" for text in filters)))


def _filters(wanted: set[str], cells: Sequence[Cell], keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The filters of each command that together select `wanted` from `cells`; empty filters where all are wanted."""
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
    return plain(settings(cell)[key])
