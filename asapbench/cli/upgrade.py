"""`upgrade`: bring a database of an earlier asapbench to this one's revision, and do nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.cli.options import Db
from asapbench.cli.text import say
from asapbench.store import DEFAULT_URL

if TYPE_CHECKING:
    from asapbench.store import Store


def upgrade(db: Db = DEFAULT_URL) -> None:
    """Upgrade the database of an earlier asapbench. Results stay.

    That asapbench cannot open it any more. `asapbench merge OLD --db NEW.sqlite` makes an upgraded copy instead.
    """
    from asapbench.store import Store
    from asapbench.store.migrate import HEAD

    with Store.existing(db) as store:
        if not say_upgraded(store):
            say(f"{store.name} is at revision {HEAD} already")


def say_upgraded(store: Store) -> bool:
    """Says so if the database was upgraded when it was opened; whether it was."""
    from asapbench.store.migrate import HEAD

    if store.upgraded_from is None:
        return False
    say(f"{store.name}: upgraded from revision {store.upgraded_from} to {HEAD}")
    return True
