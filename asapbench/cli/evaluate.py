"""`evaluate`: load kept weights and measure them on the test data."""

from __future__ import annotations

from typing import Annotated

import typer

from asapbench.cli.options import Db, SetPlace
from asapbench.cli.settings import Data, FilesDir
from asapbench.cli.text import percent, say
from asapbench.store import DEFAULT_URL


def evaluate(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The first digits of a cell's identity.")],
    set_: SetPlace = None,
    db: Db = DEFAULT_URL,
    data: Data = None,
    files: FilesDir = None,
) -> None:
    """Evaluate the kept weights of a cell on its test data.

    `run --keep-weights` keeps them. The recorded accuracy is printed too.

    Example: asapbench evaluate 3f2a91
    """
    from asapbench.analysis.saved_weights import kept_weights, with_places
    from asapbench.store import Store

    with Store.read_only(db) as store:
        [kept] = with_places([kept_weights(store, cell, files=files)], set_ or ())
        loss, accuracy = kept.evaluated(store, data)
    say(f"{kept.cell.label} ({kept.cell.short})")
    say(f"weights   {kept.path}")
    say(f"test      {percent(accuracy)}, loss {loss:.4f}")
    say(f"recorded  {percent(kept.attempt.last_test_accuracy)} at the last epoch")
