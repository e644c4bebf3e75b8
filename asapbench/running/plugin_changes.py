"""Cells whose results or checkpoints come from another version of a plug-in than is loaded now."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from asapbench.running.plan import state_of
from asapbench.running.selection import Selected
from asapbench.store.records import FINAL, db_option
from asapbench.store.store import Store
from asapbench.suite import plugins
from asapbench.suite.cell import Cell
from asapbench.worker.files import Files

_NAMED = 8
"""A command names up to so many cells one by one."""


@dataclass
class _Changed:
    """Cells of a suite that another version of one plug-in has trained, wholly or in part; `before` are versions."""

    cells: list[Cell] = field(default_factory=list)
    before: set[str] = field(default_factory=set)


def other_plugins(store: Store, selected: Sequence[Selected], files: Files) -> Iterator[str]:
    """What to say, before a run, of cells that are done, or have a checkpoint, by another version of a plug-in."""
    loaded = plugins.versions()
    for item in selected:
        for (key, is_done), changed in sorted(_changed(store, item.cells, files, loaded).items()):
            kind, _, name = key.partition(" ")
            some = len(changed.cells) <= _NAMED
            only = f"cell={','.join(cell.short for cell in changed.cells)}" if some else f"{kind}={name}"
            versions = " and ".join(sorted(map(plugins.shortened, changed.before)))
            yield (
                f"{item.name}: cells {'done' if is_done else 'started'} by another version of the plug-in of {key} "
                f"({versions}; loaded now: {plugins.shortened(loaded[key])}): {len(changed.cells)}; "
                f"{'' if is_done else 'they continue with the one loaded now; '}to train them from scratch: "
                f"asapbench rerun {shlex.quote(item.name)} --only {only}{db_option(store.url)}"
            )


def _changed(
    store: Store, cells: Sequence[Cell], files: Files, loaded: dict[str, str]
) -> dict[tuple[str, bool], _Changed]:
    """By the entry, as `plugins.versions` names it, and by whether the cells are done."""
    found: dict[tuple[str, bool], _Changed] = {}
    own = {cell.id: cell for cell in cells if cell.plugins}
    current = {cell_id: attempt for cell_id, attempt in store.states(list(own)).items() if attempt is not None}
    ran = store.provenances_of([attempt.lineage for attempt in current.values()])
    for cell_id, attempt in current.items():
        state = state_of(attempt)
        is_done = state in FINAL
        if state == "running" or not (is_done or files.has_checkpoint(cell_id, attempt.id)):
            continue
        for key, version in own[cell_id].plugins_in(loaded).items():
            before = {one.versions[key] for one in ran[attempt.lineage] if one.versions.get(key, version) != version}
            if before:
                changed = found.setdefault((key, is_done), _Changed())
                changed.cells.append(own[cell_id])
                changed.before |= before
    return found
