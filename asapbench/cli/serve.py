"""`serve`: the page of a database in a browser, refreshed while a run writes."""

from __future__ import annotations

from typing import Annotated

import typer

from asapbench.cli.options import Db, Only, with_measured
from asapbench.cli.settings import with_settings
from asapbench.cli.text import printing_is_optional, say
from asapbench.report.quantity import USUAL, Numbers
from asapbench.store import DEFAULT_URL


@with_measured
@with_settings()
def serve(
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="SUITE", help="Suites that the database knows. [default: all]")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65_535, help="The port; 0: any that is free.")
    ] = 8617,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on; 0.0.0.0: all of this machine.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            envvar="ASAPBENCH_TOKEN",
            help="What a browser needs. [default: none on this machine, else one that is made and printed]",
        ),
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    numbers: Numbers = USUAL,
    only: Only = None,
    db: Db = DEFAULT_URL,
) -> None:
    """Show the page of `html` in a browser, refreshed during a run.

    It reads the database and changes nothing. Ctrl-C ends it.
    """
    from asapbench.server.serving import Place, serve

    printing_is_optional()
    place = Place(host=host, port=port, token=token)
    serve(db, place, suites=suites or (), filters=only or (), numbers=numbers, say=say, opens=opens)
