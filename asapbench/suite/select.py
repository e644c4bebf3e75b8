"""`--only`, `--set` and `--seeds`: which cells of a suite to take, and what to change in them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from asapbench.errors import DataError, SuiteError
from asapbench.suite.catalog import CATALOG, DATASETS, DEFAULTS
from asapbench.suite.cell import CHOICES, Cell, plain
from asapbench.suite.grid import MOST_CELLS, data_of_files, impossible
from asapbench.suite.options import Choice, Value, nearest, there_are
from asapbench.suite.plugins import unknown
from asapbench.suite.recipe import RECIPE, checked_learning_rate, checked_seed

_SETTABLE = (*RECIPE, "lr", *DEFAULTS)


def choose(
    suites: Sequence[Sequence[Cell]],
    *,
    filters: Sequence[str] = (),
    settings: Sequence[str] = (),
    seeds: str | None = None,
) -> list[list[Cell]]:
    """The requested cells of each suite; a suite may have none.

    Raises SuiteError for a filter, setting or seed that fits no cell of any suite.
    """
    passed = {cell.id for cell in only([cell for cells in suites for cell in cells], filters)}
    kept = [[cell for cell in cells if cell.id in passed] for cells in suites]
    changed = iter(_changed([cell for cells in kept for cell in cells], settings))
    found = [_different(islice(changed, len(cells))) for cells in kept]
    return found if seeds is None else [with_seeds(cells, seeds) for cells in found]


def only(cells: Sequence[Cell], filters: Sequence[str]) -> list[Cell]:
    """Cells that pass every filter `key=value[,value]`; keys as in `rule`, `model`, `lr`, `seed`, `rule.k`, `cell`.

    Raises SuiteError for an unknown key, or a filter that no cell of the suite can pass.
    """
    kept = matching(cells, filters)
    for text in filters:
        key, values = _wanted(text)
        present = {_shown(cell, key, text) for cell in cells} - {None}
        if key == "cell":
            missing = [value for value in values if not any(map(_begins(value), cells))]
        else:
            missing = [value for value in values if not {value, _canonical(value)} & present]
        if missing:
            if not cells:
                raise SuiteError(f"--only {text}: there are no cells to choose among")
            if not present:
                kind, _, option = key.partition(".")
                raise SuiteError(f"--only {text}: no cell's {kind} has an option {option}")
            shown = sorted(plain(value) for value in present if value is not None)
            listed, near = ", ".join(shown[:12]), nearest(missing[0], shown)
            raise SuiteError(f'--only {text}: no cell has {key} "{missing[0]}"{near} (there are: {listed})')
    if not kept and cells:
        raise SuiteError(f"--only {' --only '.join(filters)}: no cell passes all of these together")
    return kept


def matching(cells: Iterable[Cell], filters: Sequence[str]) -> list[Cell]:
    """As `only`, but no cell need pass. Raises SuiteError for an unknown key."""
    kept = list(cells)
    for text in filters:
        key, values = _wanted(text)
        if key == "cell":
            kept = list(filter(_begins(values), kept))
        else:
            alike = {value for word in values for value in (word, _canonical(word))}  # a text may look like a number
            kept = [cell for cell in kept if _shown(cell, key, text) in alike]
    return kept


def _begins(digits: str | tuple[str, ...]) -> Callable[[Cell], bool]:
    """Whether these are the first digits of a cell's identity, or of that under which the database has it."""
    return lambda cell: cell.id.startswith(digits) or cell.stored_id.startswith(digits)


def _wanted(text: str) -> tuple[str, tuple[str, ...]]:
    """The key of a filter and its values. Raises SuiteError."""
    key, wanted = _pair("--only", text)
    values = tuple(value.strip() for value in wanted.split(",") if value.strip())
    if not values:
        raise SuiteError(f"--only {text}: no value; write --only {key}=NAME[,NAME]")
    return key, values


def data_path(settings: Sequence[str]) -> str | None:
    """The path in `--set dataset.path=PATH`, which replaces a suite's before its files are read; else None."""
    named = [value for key, value in (_pair("--set", text) for text in settings) if key == "dataset.path"]
    return _text(named[0]) if named else None


def relocated(cells: Sequence[Cell], settings: Sequence[str]) -> list[Cell]:
    """Recorded cells with `settings` that make no other cells of them: `dataset.path=PATH` and `dataset.label=NAME`.

    A path is for the cells whose data are there. Raises SuiteError for another setting, or a path or label that no
    cell can take.
    """
    found = list(cells)
    for text in settings:
        key, value = _pair("--set", text)
        kind, _, option = key.partition(".")
        options = [one for entry in CATALOG.get(kind, {}).values() for one in entry.options if one.name == option]
        if not options or any(one.is_identity for one in options):
            raise SuiteError(
                f"--set {text}: this would make other cells: recorded ones take dataset.path=PATH and "
                "dataset.label=NAME; `asapbench run SUITE` takes all settings"
            )
        taken, faults = {}, []
        for choice in dict.fromkeys(cell.dataset for cell in found):
            entry = DATASETS[choice.name]
            if option not in {one.name for one in entry.options}:
                continue
            try:
                changed = entry.with_options(choice, **{option: _text(value)})
                taken[choice] = data_of_files()(changed) if entry.option(option).role == "place" else changed
            except (ValueError, DataError) as error:
                faults.append(str(error))
        if not taken:
            raise SuiteError(f"--set {text}: {faults[0] if faults else 'no cell has own data'}")
        found = [replace(cell, dataset=taken.get(cell.dataset, cell.dataset)) for cell in found]
    return found


def _changed(cells: Sequence[Cell], settings: Sequence[str]) -> list[Cell]:
    """`cells` with every `key=value` applied. An option such as `rule.k` changes the cells whose rule has it.

    Raises SuiteError for a key or value that no cell can take.
    """
    values: dict[str, tuple[str, str]] = {}
    for text in settings:
        key, value = _pair("--set", text)
        if key in values:
            raise SuiteError(f"--set {values[key][0]} --set {text}: {key} is set twice: set it once")
        values[key] = (text, value)
    changed = list(cells)
    for key in sorted(values, key=lambda key: key not in DEFAULTS):  # a new optimizer before its options
        text, value = values[key]
        changed = _set(changed, key, _value(value), text)
    for cell in changed:
        if fault := impossible(cell):
            raise SuiteError(f"--set {' --set '.join(settings)}: {cell.label}: {fault.message}")
    return changed


def _different(cells: Iterable[Cell]) -> list[Cell]:
    return list({cell.id: cell for cell in cells}.values())


def with_seeds(cells: Sequence[Cell], text: str) -> list[Cell]:
    """Each configuration once for every seed of `0,1,2` or `0-4`. Raises SuiteError."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4000})(?:\s*-\s*(\d{1,4000}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise SuiteError(f'--seeds {text}: "{part}" is not a seed or a range; write 0,1,2 or 0-4')
        try:
            checked_seed(last)
        except ValueError as error:
            raise SuiteError(f"--seeds {text}: {error}") from error
        if len(seeds) + last - first >= MOST_CELLS:
            raise SuiteError(f"--seeds {text}: these are more than {MOST_CELLS} seeds")
        seeds += range(first, last + 1)
    groups = {cell.group: cell for cell in cells}
    if len(groups) * len(seeds) > MOST_CELLS:
        raise SuiteError(f"--seeds {text}: {len(groups)} x {len(seeds)} cells are more than {MOST_CELLS}")
    return [cell.with_seed(seed) for cell in groups.values() for seed in dict.fromkeys(seeds)]


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SuiteError(f"{option} {text}: write {option} key=value")
    return key.strip(), value.strip()


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # a number of thousands of digits is a bare ValueError
        return text


def _text(text: str) -> str:
    """A value for an option that holds a text: quoted as in TOML, or as it is, `2024` too."""
    value = _value(text)
    return value if isinstance(value, str) else text


def _canonical(text: str) -> Value:
    value = _value(text)
    return value if isinstance(value, bool | int | float | str) else text


def _shown(cell: Cell, key: str, text: str) -> Value | None:
    """What `--only` compares: None where this cell's choice has no such option."""
    kind, dot, option = key.partition(".")
    if key == "cell":
        return cell.stored_id[: len(cell.short)]
    if kind in CHOICES:
        choice: Choice = getattr(cell, kind)
        if not dot:
            return choice.name
        if not any(option in {o.name for o in entry.options} for entry in CATALOG[kind].values()):
            raise SuiteError(f'--only {text}: no {kind} has an option "{option}"')
        return dict((*choice.options, *choice.local)).get(option)
    names = (*RECIPE, "lr", "seed")
    if dot or key not in names:
        known = (*CHOICES, *names, "cell")
        raise SuiteError(f'--only {text}: unknown key "{key}"{nearest(key, known)}{there_are(known)}')
    value = getattr(cell, key)
    assert isinstance(value, bool | int | float | str)
    return value


def _set(cells: Sequence[Cell], key: str, value: Any, text: str) -> list[Cell]:
    kind, dot, option = key.partition(".")
    if dot and kind in CHOICES:
        return _set_option(cells, kind, option, value, text)
    if key in DEFAULTS:
        if not isinstance(value, str) or value not in CATALOG[key]:
            raise SuiteError(f"--set {text}: {unknown(key, value)}")
        chosen: dict[str, Any] = {key: CATALOG[key][value].choose()}
        return [replace(cell, **chosen) for cell in cells]
    if key in ("seed", "seeds"):
        raise SuiteError(f"--set {text}: choose seeds with --seeds")
    if key in CHOICES:
        raise SuiteError(f"--set {text}: choose among the suite's cells with --only {key}=...; --set {key}.OPTION=...")
    if dot or key not in _SETTABLE:
        known = (*_SETTABLE, *(f"{kind}.OPTION" for kind in CHOICES))
        raise SuiteError(f'--set {text}: unknown key "{key}"{nearest(key, known)}{there_are(known)}')
    try:
        checked = checked_learning_rate(value) if key == "lr" else RECIPE[key].checked(value)
    except ValueError as error:
        raise SuiteError(f"--set {text}: {error}") from error
    if checked == "auto":
        return [replace(cell, augment=DATASETS[cell.dataset.name].augment) for cell in cells]
    changes: dict[str, Any] = {key: checked}
    return [replace(cell, **changes) for cell in cells]


def _set_option(cells: Sequence[Cell], kind: str, option: str, value: Any, text: str) -> list[Cell]:
    choices: dict[Choice, Choice] = {}
    for choice in dict.fromkeys(getattr(cell, kind) for cell in cells):
        entry = CATALOG[kind][choice.name]
        if option in {o.name for o in entry.options}:
            if isinstance(entry.option(option).default, str):
                value = _text(_pair("--set", text)[1])
            try:
                chosen = entry.choose(entry.given(choice) | {option: value})
            except ValueError as error:
                raise SuiteError(f"--set {text}: {error}") from error
            choices[choice] = data_of_files()(chosen) if kind == "dataset" else chosen
    changed = []
    for cell in cells:
        settled: dict[str, Any] = {kind: choices.get(getattr(cell, kind), getattr(cell, kind))}
        changed.append(replace(cell, **settled))
    if not choices:
        known = sorted({name for cell in cells for name, _ in getattr(cell, kind).options})
        has = ", ".join(known) or "none"
        raise SuiteError(
            f'--set {text}: no {kind} here has an option "{option}"{nearest(option, known)} (there are: {has})'
        )
    return changed
