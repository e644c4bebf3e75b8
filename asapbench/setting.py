"""`Setting`: the command-line option of a settings field, declared in the field's annotation.

A settings class is a frozen dataclass. The command line makes an option of each field that has a `Setting`, and writes
the options that a resumed run needs from the fields' values: see `asapbench.cli.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How one field is given on the command line.

    `name`: the option, if it is not the field's name with dashes. `off`: the option that turns off a flag which is on
    by default. `aliases` are further names. `metavar` says also how the option's text is read. `min` and `max`: the
    smallest and the largest number.
    `of_one_run`: a resumed run does not repeat it.
    """

    help: str
    name: str | None = None
    off: str | None = None
    aliases: tuple[str, ...] = ()
    metavar: str | None = None
    min: int | None = None
    max: int | None = None
    envvar: str | None = None
    of_one_run: bool = False

    def option(self, field: str) -> str:
        """The option of the field of this name.

        >>> Setting(help="...").option("max_failures")
        '--max-failures'
        """
        return self.name or "--" + field.replace("_", "-")
