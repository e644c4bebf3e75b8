"""Certificates: appended, never changed. Of several of one rule on one model the newest counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from asapbench.certificate import Certificate
from asapbench.store.attempts import record_provenance
from asapbench.store.records import IssuedCertificate, Provenance
from asapbench.store.rows import checked, from_json
from asapbench.store.schema import certificate as certificates


def add(connection: Connection, issued: Sequence[Certificate], provenance: Provenance, *, checked_at: str = "") -> None:
    """Appends the certificates of catalog models; one whose rule cannot train its model is left out.

    A second call with the same `checked_at` appends nothing, so that it can be repeated.
    """
    stored = [one for one in issued if one.unsuited is None and one.model_revision is not None]
    if not stored:
        return
    owner = {"provenance_id": record_provenance(connection, provenance), "checked_at": checked_at}
    rows = [_row(one) | owner for one in stored]
    rows = [row | {"id": certificate_id(row)} for row in rows]
    known = set(connection.scalars(select(certificates.c.id).where(certificates.c.checked_at == checked_at)))
    if new := [row for row in rows if row["id"] not in known]:
        connection.execute(insert(certificates), new)


def newest(connection: Connection) -> list[IssuedCertificate]:
    """The newest certificate of each rule, with its options and revision, on each model; by rule and model."""
    found: dict[tuple[str, int, str], IssuedCertificate] = {}
    query = select(certificates).order_by(certificates.c.checked_at, certificates.c.id)
    for row in connection.execute(query).mappings():
        read = read_certificate(row)
        found[read.rule, read.rule_revision, read.model] = IssuedCertificate(
            read, row["provenance_id"], row["checked_at"]
        )
    return [found[key] for key in sorted(found)]


def read_certificate(row: Mapping[str, Any] | RowMapping) -> Certificate:
    """The certificate of a row. Raises UntrustedRowError for content that asapbench cannot have written."""
    content = {name: row[name] for name in ("rule", "rule_revision", "model", "model_revision")}
    return checked(Certificate, {**content, "findings": from_json("findings", row["findings"])})


def certificate_id(row: Mapping[str, Any] | RowMapping) -> str:
    """The digest that names a certificate in every database: of its row without the id."""
    content = {name: value for name, value in row.items() if name != "id"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _row(one: Certificate) -> dict[str, Any]:
    return {
        "rule_name": one.rule_name,
        "rule": one.rule,
        "rule_revision": one.rule_revision,
        "model": one.model,
        "model_revision": one.model_revision,
        "verdict": one.verdict,
        "findings": json.dumps([found.to_json() for found in one.findings], sort_keys=True),
    }
