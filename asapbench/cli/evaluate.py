"""`evaluate`: load kept weights and measure them on the test data."""

from __future__ import annotations

from typing import Annotated

import typer

from asapbench.cli.options import Db
from asapbench.cli.settings import Data, FilesDir
from asapbench.cli.text import say
from asapbench.store import DEFAULT_URL


def evaluate(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The first digits of a cell's identity.")],
    db: Db = DEFAULT_URL,
    data: Data = None,
    files: FilesDir = None,
) -> None:
    """Evaluate the kept weights of a cell on its test data.

    `run --keep-weights` keeps them. The recorded accuracy is printed too.
    """
    from asapbench.analysis.saved_weights import evaluate as evaluated
    from asapbench.cli.text import percent
    from asapbench.store import Store

    with Store.read_only(db) as store:
        found = evaluated(store, cell, data, files=files)
    say(f"{found.cell.label} ({found.cell.short})")
    say(f"weights   {found.path}")
    say(f"test      {percent(found.accuracy)}, loss {found.loss:.4f}")
    say(f"recorded  {percent(found.recorded)} at the last epoch")
