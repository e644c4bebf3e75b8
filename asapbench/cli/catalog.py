"""`catalog`: what a suite may name, and the suites there are."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from asapbench.streams import is_terminal

_NAME = 18
"""Letters of the longest name that ships."""


def catalog(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="rule, model, dataset, optimizer, schedule or suite.")
    ] = None,
) -> None:
    """List rules, models, data sets, optimizers and suites.

    What a suite may name, with its options and their defaults; then the suites that ship with asapbench.

    Example: asapbench catalog rule
    """
    from rich.console import Console
    from rich.text import Text

    from asapbench.errors import SuiteError
    from asapbench.suite.catalog import CATALOG
    from asapbench.suite.load import shipped
    from asapbench.suite.options import nearest, there_are
    from asapbench.suite.plugins import provider

    kinds = (*CATALOG, "suite")
    wanted = kinds if kind is None else (kind.rstrip("s"),)
    if wanted[0] not in kinds:
        raise SuiteError(f'catalog: unknown kind "{kind}"{nearest(kind, kinds)}{there_are(kinds)}')
    console = Console(highlight=False, soft_wrap=not is_terminal(sys.stdout))
    for name, entries in CATALOG.items():
        if name not in wanted:
            continue
        console.print(Text(f"{name}s", style="bold"))
        for entry in entries.values():
            plugin = provider(name, entry.name)
            origin = "" if plugin is None else f" (plug-in {plugin.source})"
            console.print(Text(f"  {entry.name:<{_NAME}} {entry.title}: {entry.source}{origin}"))
            for option in (option for option in entry.options if option.is_given):
                choices = f" ({', '.join(map(str, option.choices))})" if option.choices else ""
                console.print(Text(f"      {option.name} = {option.default!r}{choices}: {option.help}"))
        console.print()
    if "suite" in wanted:
        console.print(Text("suites", style="bold"))
        for suite, path in shipped().items():
            console.print(Text(f"  {suite:<{_NAME}} {path.read_text(encoding='utf-8').splitlines()[0].lstrip('# ')}"))
