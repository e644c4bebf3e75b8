"""Certificates: stored, read, exported and merged; what asapbench cannot have written is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from store_examples import PROVENANCE, a_cell, a_certificate, trained

from asapbench.certificate import Certificate
from asapbench.errors import StoreError
from asapbench.store import Store, certificates
from asapbench.store.untrusted_import import opened


@pytest.fixture
def other(tmp_path):
    with Store.open(str(tmp_path / "other.sqlite")) as made:
        for rule in ("asap", "fa"):
            trained(made, a_cell(rule=rule))
        made.record_certificates(
            [a_certificate("asap", verdict="fails"), a_certificate(), a_certificate("bp")], PROVENANCE
        )
        yield made


def merged(store, *files):
    with opened(files) as databases:
        return [found.certificates for found in store.merge(databases)]


def certified(store):
    return [(issued.certificate.rule, issued.certificate.verdict) for issued in store.certificates()]


def test_the_newest_certificate_of_a_rule_on_a_model_counts(store):
    for day, verdict in ((2, "holds"), (1, "fails"), (1, "fails")):  # a repeated transaction writes nothing twice
        at = f"2026-11-0{day}T00:00:00.000+00:00"
        store._database.write(certificates.add, [a_certificate("fa", verdict=verdict)], PROVENANCE, checked_at=at)
    (issued,) = store.certificates()
    assert issued.certificate == a_certificate("fa")
    assert store.provenance(issued.provenance_id) == PROVENANCE


def test_only_certificates_of_catalog_models_that_were_checked_are_kept(store):
    unsuited = Certificate("asap", "mlp", unsuited="asap needs convolutions")
    of_a_module = Certificate("fa", "Sequential", a_certificate().findings)
    store.record_certificates([unsuited, of_a_module], PROVENANCE)
    assert store.certificates() == []


def test_a_merge_takes_certificates_once(store, other, tmp_path):
    assert merged(store, other.path) == [3]
    assert merged(store, other.path) == [0]
    assert store.certificates() == other.certificates()


def test_an_export_of_some_rules_has_their_certificates(other, store, tmp_path):
    held = other.export(tmp_path / "some.sqlite", filters=["rule=fa"])
    assert held.certificates == 1
    assert other.export(tmp_path / "all.sqlite").certificates == 3
    merged(store, tmp_path / "some.sqlite")
    assert certified(store) == [("fa(linear_feedback=kaiming)", "holds")]


@pytest.mark.parametrize(
    "change",
    [
        "verdict = 'holds'",
        "model = 'resnet18'",
        "findings = '[]'",
        'findings = \'[{"name": "nothing"}]\'',
        "findings = '{'",
        f"id = '{'0' * 64}'",
        "checked_at = 'today'",
    ],
)
def test_a_changed_certificate_is_refused(store, other, change):
    path = other.path
    other.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE certificate SET {change} WHERE rule = 'asap'")
    with pytest.raises(StoreError, match="asapbench does not write this; nothing was merged"):
        merged(store, path)
    assert store.certificates() == []
