"""Certificates kept in a results database. torch is not imported here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asapbench.certificate import Certificate
from asapbench.errors import NoDatabaseError
from asapbench.machine.hardware import commit, hardware, versions
from asapbench.store import DEFAULT_URL, Provenance, Store


@contextmanager
def database(url: str) -> Iterator[Store | None]:
    """The database at `url`, made if it is missing. None if the default one is: a check alone makes no database."""
    try:
        store = Store.existing(url) if url == DEFAULT_URL else Store.open(url)
    except NoDatabaseError:
        yield None
        return
    with store:
        yield store


def issue(store: Store, certificates: list[Certificate]) -> None:
    """Records certificates with the code, versions, plug-ins and hardware of this process. Raises StoreError."""
    store.record_certificates(certificates, Provenance(*commit(), versions(), hardware()))
