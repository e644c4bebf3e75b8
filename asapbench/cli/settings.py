"""Options made from settings classes: one for each field that declares a `Setting`.

A command takes a settings class as a parameter. `with_settings` replaces that parameter with the options, and
`words` writes the options that give the same settings again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from asapbench.cli.options import extended, inches, seconds, slot_count, time_text
from asapbench.running.settings import RunSettings
from asapbench.setting import Setting
from asapbench.store.records import without_password


@dataclass(frozen=True)
class _Text:
    """How a value that is given as text is read, for the option named, and written; None: the option is not given."""

    read: Callable[[str, str], Any]
    write: Callable[[Any], str | None]


_TEXTS = {
    "TIME": _Text(seconds, time_text),
    "TIME|auto": _Text(
        lambda text, option: None if text == "auto" else seconds(text, option), lambda value: time_text(value) or "auto"
    ),
    "LENGTH": _Text(inches, lambda value: None if value is None else f"{value:g}in"),
    "N|auto": _Text(lambda text, _: slot_count(text), lambda value: None if value is None else str(value)),
    "URI": _Text(lambda text, _: text, lambda value: None if value is None else without_password(value)),
}
"""By the setting's metavar. Other values are read by typer, by their type."""


@dataclass(frozen=True)
class _Option:
    """The option of one field of a settings class."""

    field: str
    default: Any
    kind: Any
    setting: Setting

    def __post_init__(self) -> None:
        """Raises TypeError for a flag that could not be turned off."""
        if self.default is True and self.setting.off is None:
            raise TypeError(f"{self.field}: a flag that is on by default needs an option that turns it off")

    @property
    def name(self) -> str:
        return self.setting.option(self.field)

    @property
    def text(self) -> _Text | None:
        return _TEXTS.get(self.setting.metavar or "")

    def typer(self) -> Any:
        """The option as typer knows it."""
        s = self.setting
        names = self.name if s.off is None else f"{self.name}/{s.off}"
        return typer.Option(names, *s.aliases, metavar=s.metavar, min=s.min, max=s.max, envvar=s.envvar, help=s.help)

    def parameter(self) -> inspect.Parameter:
        """The parameter of a command that typer makes the option of."""
        kind, default = (self.kind, self.default) if self.text is None else (str | None, self.text.write(self.default))
        annotation = Annotated[kind, self.typer()]  # type: ignore[valid-type]
        return inspect.Parameter(self.field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    def read(self, given: Any) -> Any:
        """The field's value. Raises SuiteError."""
        return given if self.text is None or given is None else self.text.read(given, self.name)

    def words(self, value: Any) -> list[str]:
        """The words that give `value`; none for the default."""
        if value == self.default or self.setting.of_one_run:
            return []
        if isinstance(value, bool):
            return [self.name if value else str(self.setting.off)]
        return [self.name, str(value if self.text is None else self.text.write(value))]


def _options(settings: type[Any]) -> Iterator[_Option]:
    types = get_type_hints(settings, include_extras=True)
    for field in fields(settings):
        if get_origin(types[field.name]) is Annotated:
            kind, setting = get_args(types[field.name])
            yield _Option(field.name, field.default, kind, setting)


def declared(settings: type[Any], field: str) -> Any:
    """The option of one field, for a command that needs no other."""
    return next(option.typer() for option in _options(settings) if option.field == field)


Data = Annotated[Path | None, declared(RunSettings, "data")]
FilesDir = Annotated[Path | None, declared(RunSettings, "files")]


def of(settings: type[Any]) -> list[str]:
    """The names of the fields that have an option."""
    return [option.field for option in _options(settings)]


def with_settings(*, only: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """For a command: each parameter that is a settings class becomes the options of its fields, or `only` of some."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        classes: dict[str, Any] = {name: kind for name, kind in get_type_hints(command).items() if is_dataclass(kind)}
        options = {
            name: [option for option in _options(kind) if not only or option.field in only]
            for name, kind in classes.items()
        }

        def read(values: dict[str, Any]) -> None:
            for name, group in options.items():
                given = {option.field: option.read(values.pop(option.field)) for option in group}
                values[name] = classes[name](**given)

        added = {name: [option.parameter() for option in group] for name, group in options.items()}
        return extended(command, added, read)

    return decorate


def words(settings: Any) -> list[str]:
    """The words of a command line that repeat these settings, except those `of_one_run`."""
    return [word for option in _options(type(settings)) for word in option.words(getattr(settings, option.field))]
