"""What the database holds, for reports that stand beside published numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.errors import NoDatabaseError

if TYPE_CHECKING:
    from asapbench.store import Result


def recorded_results(url: str) -> list[Result]:
    """Every result in the database at `url`: none where the usual database is not there yet.

    Raises StoreError for another one that is not there: its name is probably misspelled.
    """
    from asapbench.store import DEFAULT_URL, Store

    try:
        with Store.read_only(url) as store:
            return store.results()
    except NoDatabaseError:
        if url == DEFAULT_URL:
            return []
        raise
