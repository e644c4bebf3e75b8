"""A cell: one fully resolved training configuration, and its content identity.

The identity is the SHA-256 of canonical JSON of everything that can change the result and nothing else. Options at
their default are left out, so that adding an option moves no cell; revisions are in it, so that a fix makes old
results visibly old.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import attrgetter
from pathlib import PurePath
from typing import Any

from asapbench.errors import SuiteError
from asapbench.suite.catalog import CATALOG, DEFAULTS
from asapbench.suite.options import Choice, Role, Value, describe, nearest
from asapbench.suite.plugins import provider, unknown
from asapbench.suite.recipe import RECIPE, RECIPE_REVISION, Recipe, checked_learning_rate, checked_seed

CHOICES = ("dataset", "model", "rule", "optimizer", "schedule")
"""The fields of a cell that are entries of the catalog."""
FIELDS = (*CHOICES[:-1], "lr", "schedule", *RECIPE, "seed")
"""All fields of a cell, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class Cell(Recipe):
    """One training configuration."""

    dataset: Choice
    model: Choice
    rule: Choice
    optimizer: Choice
    lr: float
    schedule: Choice
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """What the cell is, as plain data in canonical form: defaults left out, revisions in."""
        return _identity(self) | {"seed": self.seed}

    @cached_property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return _sha256(f"{self._of_group.before_seed}{self.seed:d}{self._of_group.after_seed}")

    @property
    def group(self) -> str:
        """The identity without the seed: cells of one group are samples of one number."""
        return self._of_group.id

    @cached_property
    def _of_group(self) -> _Group:
        return _group(_revisions_of(self), *_values_of_group(self))

    @property
    def short(self) -> str:
        """The first 10 digits of the identity: enough to name it on a command line."""
        return self.id[:10]

    @property
    def stored_id(self) -> str:
        """The identity under which the database has the cell; that of an earlier revision differs from `id`."""
        return str(self.__dict__.get("_stored_id", self.id))

    def stored_as(self, cell_id: str) -> Cell:
        """The cell as the database has it, under `cell_id`."""
        if cell_id == self.id:
            return self
        other = self.with_seed(self.seed, cell_id=self.id)
        other.__dict__["_stored_id"] = cell_id
        return other

    @property
    def label(self) -> str:
        """How progress and errors name the cell; its optimizer only where that is not SGD at its defaults."""
        kinds = ["dataset", "model", "rule"] + (["optimizer"] if self.optimizer != DEFAULTS["optimizer"] else [])
        parts = [title(kind, getattr(self, kind)) for kind in kinds]
        return f"{' '.join(parts)} seed {self.seed}"

    def with_seed(self, seed: int, *, cell_id: str | None = None) -> Cell:
        """The same configuration under another seed; `cell_id` is its identity, where that is known."""
        # A third of the time of `replace`, and the group is found once: suites have many seeds.
        other = object.__new__(Cell)
        other.__dict__.update(self.__dict__, seed=seed, _of_group=self._of_group, id=cell_id)
        if cell_id is None:
            del other.__dict__["id"]
        other.__dict__.pop("_stored_id", None)
        return other

    def to_json(self, *, places: bool = False) -> dict[str, Any]:
        """Every field and option; a recipe key that may be missing from an identity is left out at its default.

        So an earlier version, which lacks a newer key, reads every cell that does not use it.

        `places`: with the paths of its data and plug-ins on this machine, under "places": for the database and the
        workers alone.
        """
        content: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for name in FIELDS:
            value = getattr(self, name)
            if name not in CHOICES:
                if name not in RECIPE or RECIPE[name].is_stored(value):
                    content[name] = value
                continue
            where = _of_role(name, value, "place")
            kept = {option: chosen for option, chosen in (*value.options, *value.local) if option not in where}
            content[name] = _table(name, value.name, kept)
            found |= {name: where} if where else {}
        if own := self.plugins:
            found["plugins"] = list(own)
        return content | ({"places": found} if places and found else {})

    def without_places(self) -> Cell:
        """The same cell as another machine may have it: without the paths of its data."""
        return Cell.from_json(self.to_json())

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plug-ins that provide what this cell chooses, as `suite.plugins.load` finds them again."""
        chosen = (provider(kind, getattr(self, kind).name) for kind in CHOICES)
        return tuple(dict.fromkeys(plugin.source for plugin in chosen if plugin is not None))

    def plugins_in(self, versions: Mapping[str, str]) -> dict[str, str]:
        """Those of `versions`, recorded or of `plugins.versions`, that are of plug-ins for what this cell chooses."""
        keys = (f"{kind} {getattr(self, kind).name}" for kind in CHOICES)
        return {key: versions[key] for key in keys if key in versions}

    @classmethod
    def from_json(cls, content: object) -> Cell:
        """The cell that `to_json` wrote. Raises SuiteError on what this version does not know."""
        try:
            if not isinstance(content, dict):
                raise TypeError(f"it is {describe(content)}")
            shared = {name: value for name, value in content.items() if name not in ("lr", "seed")}
            lr, seed = checked_learning_rate(content["lr"]), checked_seed(content["seed"])
            return cls(**_shared(json.dumps(shared)), lr=lr, seed=seed)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SuiteError(f"a stored cell cannot be read by this version of asapbench: {error}") from error


def without_places(content: dict[str, Any]) -> dict[str, Any]:
    """The plain data of a cell, also of one that cannot be read, without a path: as `to_json` writes it."""
    tables = {kind: _without_places(kind, content[kind]) for kind in CHOICES if isinstance(content.get(kind), dict)}
    return {name: value for name, value in content.items() if name != "places"} | tables


def _without_places(kind: str, table: dict[str, Any]) -> dict[str, Any]:
    """The table of a choice without options that are places: only "places" of the same machine holds these."""
    name = table.get("name")
    entry = CATALOG[kind].get(name) if isinstance(name, str) else None
    places = {option.name for option in entry.options if option.role == "place"} if entry is not None else set()
    return {option: value for option, value in table.items() if option not in places}


def title(kind: str, choice: Choice) -> str:
    """`ASAP(k=4)`: the entry's title with the options that are not at their default.

    Data that a suite names by their path have a name in front, `ImageFolder(flowers, content=3f2a9c1b)`: the label that
    they were given, else the last part of their path where this machine has it.
    """
    return CATALOG[kind][choice.name].title + _options(kind, choice, called=_called(kind, choice))


def name(kind: str, choice: Choice) -> str:
    """`asap(k=4)`: the entry's name with the options that are not at their default."""
    return choice.name + _options(kind, choice)


def _options(kind: str, choice: Choice, *, called: str = "") -> str:
    changed = _without_defaults(kind, choice)
    shown = [f"{option}={text}" for option, text in _shown(kind, choice).items() if option in changed]
    inner = ", ".join([called, *shown] if called else shown)
    return f"({inner})" if inner else ""


def _shown(kind: str, choice: Choice) -> dict[str, str]:
    """The options of the identity as a reader sees them, without those that follow from the content of the data."""
    roles = {option.name: option.role for option in CATALOG[kind][choice.name].options}
    return {
        name: str(value)[:_DIGITS] if roles[name] == "content" else plain(value)
        for name, value in choice.options
        if roles[name] != "found"
    }


def _called(kind: str, choice: Choice) -> str:
    for label in _of_role(kind, choice, "label").values():
        return str(label)
    for place in _of_role(kind, choice, "place").values():
        return PurePath(str(place)).stem
    return ""


def _of_role(kind: str, choice: Choice, role: Role) -> dict[str, Value]:
    """The options of this role that are no part of the identity, as far as they are given."""
    entry = CATALOG[kind][choice.name] if choice.local else None
    return {name: value for name, value in choice.local if entry is not None and entry.option(name).role == role}


def differences(cell: Cell, reference: Cell) -> list[str]:
    """How `cell` differs from `reference`, except in its seed: `epochs 1 instead of 200`, one text per field or option.

    Different cells differ from one reference in different words.
    """
    found: list[str] = []
    for field in FIELDS:
        ours, theirs = getattr(cell, field), getattr(reference, field)
        if field == "seed" or ours == theirs:
            continue
        if field not in CHOICES:
            found.append(f"{field} {plain(ours)} instead of {plain(theirs)}")
        elif ours.name != theirs.name:
            found.append(f"{field} {name(field, ours)} instead of {name(field, theirs)}")
        else:
            known = _shown(field, theirs)
            found += [
                f"{field}.{option} {value} instead of {known[option]}"
                for option, value in _shown(field, ours).items()
                if value != known[option]
            ]
    return found


def plain(value: Value) -> str:
    """The shortest text that reads back as `value` and no other: `0.03`, `5e-05`, `0.99999999`, `true`."""
    if isinstance(value, bool):
        return json.dumps(value)
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(value) if isinstance(value, float) and float(short) != value else short


@lru_cache(maxsize=1_000)
def _without_defaults(kind: str, choice: Choice) -> dict[str, Value]:
    entry = CATALOG[kind][choice.name]
    return {name: value for name, value in choice.options if value != entry.option(name).default}


def _table(kind: str, name: str, options: dict[str, Value]) -> Any:
    """A choice as plain data. A schedule without options is its name alone, as before schedules had options."""
    return name if kind == "schedule" and not options else {"name": name, **options}


@lru_cache(maxsize=1_000)
def _shared(text: str) -> dict[str, Any]:
    """The fields of stored JSON except `lr` and `seed`, checked once for all cells that share them."""
    content = json.loads(text)
    if unknown := sorted(content.keys() - {*FIELDS, "places"}):
        raise ValueError(f'unknown key "{unknown[0]}"{nearest(unknown[0], FIELDS)}')
    places = dict(content.get("places", {}))
    tables = {
        kind: {"name": content[kind]} if isinstance(content[kind], str) else {**content[kind]} for kind in CHOICES
    }
    kept = {kind: _without_places(kind, table) for kind, table in tables.items()}
    found: dict[str, Any] = {kind: _choice(kind, table | places.get(kind, {})) for kind, table in kept.items()}
    found |= {name: key.checked(content[name]) for name, key in RECIPE.items() if key.always or name in content}
    if found["augment"] == "auto":
        raise ValueError("augment is still to be chosen")
    return found


def _choice(kind: str, table: dict[str, Any]) -> Choice:
    name = table.pop("name")
    if name not in CATALOG[kind]:
        raise ValueError(unknown(kind, name))
    return CATALOG[kind][name].choose(table)


@dataclass(frozen=True)
class _Group:
    """What cells that differ only in their seed share: the group's id, and the canonical JSON around the seed."""

    id: str
    before_seed: str
    after_seed: str


_OF_GROUP = tuple(name for name in FIELDS if name != "seed")
_values_of_group = attrgetter(*_OF_GROUP)


@lru_cache(maxsize=10_000, typed=True)
def _group(_revisions: tuple[int, ...], *values: Any) -> _Group:
    """The group of cells with these `values` of `_OF_GROUP`, under these revisions of what they choose."""
    content = _identity(Cell(**dict(zip(_OF_GROUP, values, strict=True)), seed=0))
    before, after = _canonical(content | {"seed": _SEED}).split(json.dumps(_SEED))
    return _Group(_sha256(_canonical(content)), before, after)


_SEED = "the seed's place"

_DIGITS = 8
"""How many digits of a fingerprint a label shows."""


def _identity(cell: Cell) -> dict[str, Any]:
    """`Cell.identity` without the seed."""
    content: dict[str, Any] = {"lr": cell.lr}
    for kind in CHOICES:
        choice: Choice = getattr(cell, kind)
        content[kind] = _table(kind, choice.name, _without_defaults(kind, choice))
    recipe = {name: getattr(cell, name) for name in RECIPE}
    content |= {name: value for name, value in recipe.items() if RECIPE[name].is_stored(value)}
    revisions = dict(zip(CHOICES, _revisions_of(cell), strict=True))
    if revisions["schedule"] == 1:  # as before schedules had revisions
        del revisions["schedule"]
    content["revision"] = revisions | {"recipe": RECIPE_REVISION}
    return content


def _revisions_of(cell: Cell) -> tuple[int, ...]:
    return tuple([CATALOG[kind][getattr(cell, kind).name].revision for kind in CHOICES])


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
