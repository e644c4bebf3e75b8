"""The command that trains a cell again from its suite alone, on any machine."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.errors import SuiteError
from asapbench.report.configuration import nearest
from asapbench.report.page.content import ChosenSuite, Content, Trained
from asapbench.store.records import DEFAULT_URL, MEASURED_URL, db_option, without_password
from asapbench.suite import plugins
from asapbench.suite.cell import Cell, plain
from asapbench.suite.columns import settings
from asapbench.suite.load import plugins_named, shipped
from asapbench.suite.select import choose

if TYPE_CHECKING:
    from asapbench.store import Attempt


def commands(content: Content) -> dict[str, str]:
    """By identity, a command for each chosen cell: `asapbench run SUITE --only cell=...`.

    A cell that no command makes from its suite file has none here: its configuration changed since, or its suite file
    is not known.
    """
    trained = {one.result.cell.id: one for one in content.trained}
    discarded = [cell for cell, _ in content.discarded]
    found: dict[str, str] = {}
    for chosen in content.suites:
        selections: dict[str, list[str] | None] = {}
        for cell in (*chosen.cells, *discarded):
            if cell.id not in found and (selection := _selection(chosen, cell, selections)) is not None:
                words = ["asapbench", "run", _argument(chosen), *selection, *_settings_of_run(trained.get(cell.id))]
                found[cell.id] = shlex.join([*words, *_plugins(chosen, cell)])
    return found


def database_name(url: str) -> str:
    """How the page names the database: the file without its folder, or the URL without a password."""
    from asapbench.store.connect import file_of

    file = file_of(url)
    return without_password(url) if file is None else file.name


def portable_options(url: str) -> str:
    """` --plugin FILE` and ` --db FILE` for commands that need the database, without a folder of this machine."""
    option = db_option(url if url in (DEFAULT_URL, MEASURED_URL) else database_name(url))
    return "".join(f" {shlex.join(['--plugin', _portable(source)])}" for source in plugins.to_name()) + option


def _plugins(chosen: ChosenSuite, cell: Cell) -> list[str]:
    """`--plugin` for what the cells of the suite file need beyond the plug-ins that it lists itself."""
    listed = {_portable(one) for one in plugins_named(chosen.text or "", folder=Path())}
    of_file = chosen.suite.file.cells if chosen.suite.file else ()
    needed = {source for one in (cell, *of_file) for source in one.plugins}
    found = (_portable(source) for source in plugins.to_name() if source in needed)
    return [word for one in found if one not in listed for word in ("--plugin", one)]


def _portable(source: str) -> str:
    """What `--plugin` takes, with the plug-in in the working folder."""
    if not os.path.isabs(source):
        return source.partition("@")[0]
    name = os.path.basename(source)
    return name if name.endswith(".py") else f"./{name}"


def _argument(chosen: ChosenSuite) -> str:
    """What names the suite: its name if it is shipped, else its file, without the folder on the machine of the run."""
    known = shipped()
    name = chosen.suite.name
    if name in known and (chosen.text is None or chosen.text == known[name].read_text(encoding="utf-8")):
        return name
    return chosen.file_name


def _selection(chosen: ChosenSuite, cell: Cell, known: dict[str, list[str] | None]) -> list[str] | None:
    """The options that make `cell` of the cells of the suite file, and no other; None where there are none.

    `known` are those of its configuration, apart from the seed.
    """
    file = chosen.suite.file
    if file is None:
        return None
    if cell.group not in known:
        known[cell.group] = _checked(file.cells, cell)
    options = known[cell.group]
    if any(one.id == cell.id for one in file.cells):
        return ["--only", f"cell={cell.short}"]
    return None if options is None else [*options, "--seeds", str(cell.seed)]


def _checked(cells: Sequence[Cell], cell: Cell) -> list[str] | None:
    """The options that make the configuration of `cell`, tried out: they select exactly that."""
    same = next((one for one in cells if one.group == cell.group), None)
    found = ("", same) if same is not None else nearest(cell, cells)
    if found is None:
        return None
    reference = found[1]
    changed = [f"{name}={value}" for name, value in _changes(settings(cell), settings(reference))]
    filters = [f"cell={reference.short}"]
    try:
        made = choose([cells], filters=filters, settings=changed, seeds=str(cell.seed))
    except SuiteError:
        return None
    if [one.id for one in made[0]] != [cell.id]:
        return None
    return ["--only", *filters, *(word for text in changed for word in ("--set", text))]


def _changes(wanted: Mapping[str, object], given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in wanted.items():
        if name != "seed" and given.get(name) != value:
            yield name, plain(value)  # type: ignore[arg-type]


def _settings_of_run(trained: Trained | None) -> list[str]:
    """What else the run was asked for, as far as the database tells: the device, and measurements of layers."""
    if trained is None:
        return []
    attempt: Attempt = trained.result.attempt
    measured = {"--alignment": trained.angles, "--gradient-quality": trained.qualities}
    return ["--device", attempt.device.split()[0], *(option for option, rows in measured.items() if rows)]
