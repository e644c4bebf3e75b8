"""`asapbench --help` lists the commands in groups, each with its whole summary."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

GROUPS = ("Start", "Train", "Look", "Share", "Check")
"""In the order of the help. A command names its group when it is registered, as typer's `rich_help_panel`."""

_WHOLE = 1_000
"""The limit at which typer cuts a summary: a narrow terminal gets it on two lines, uncut."""


class GroupedCommands(TyperGroup):
    """The commands below the headings of `GROUPS`, in the order of their registration."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes a section for each group; the summaries of all groups start in one column."""
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        widest = max(map(len, shown))
        for group in GROUPS:
            rows = [
                (name.ljust(widest), command.get_short_help_str(_WHOLE))
                for name, command in shown.items()
                if getattr(command, "rich_help_panel", None) == group
            ]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)
