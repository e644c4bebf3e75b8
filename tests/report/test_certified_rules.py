"""The notes below a table that say which rules are certified."""

from __future__ import annotations

from dataclasses import replace

from asapbench.certificate import Certificate, Finding
from asapbench.report.certified import with_notes
from asapbench.report.table import Column, Table

HOLDS = Finding("transport", "holds", "no B changes")
DECLARED = Finding("transport", "declared", "uses weight transport, as declared: fc")
FAILS = Finding("fixed", "fails", "B moved by 1.5e-02", 0.015, "fc", "make it a buffer")


def table(*rules: str) -> Table:
    return Table(title="", caption="", columns=(Column("Model"), *map(Column, rules)), groups=(), notes=(), numbers=())


def notes(made: Table, *certificates: Certificate) -> list[str]:
    return [note.text for note in with_notes(made, certificates).notes]


def test_a_table_without_certificates_has_no_note() -> None:
    assert notes(table("BP", "FA")) == []
    assert notes(table("BP"), Certificate("fa", "mlp", (HOLDS,))) == []


def test_rules_are_listed_by_the_models_of_their_certificates() -> None:
    bp, fa = Certificate("bp", "mlp", (DECLARED,)), Certificate("fa", "mlp", (HOLDS,))
    kaiming = Certificate("fa(linear_feedback=kaiming)", "mlp", (HOLDS,))
    made = table("BP", "FA", "KP", "FA(linear_feedback=kaiming)")
    assert notes(made, bp, fa, kaiming) == [
        "Certified on mlp: BP (declared: transport), FA, FA(linear_feedback=kaiming); not certified: KP."
    ]


def test_a_failed_certificate_is_a_line_of_its_own() -> None:
    fa = Certificate("fa", "mlp", (HOLDS, FAILS))
    held = replace(fa, model="alexnet", findings=(HOLDS,))
    assert notes(table("BP", "FA"), fa, held) == [
        "No rule of this table is certified.",
        "The certificate of FA on mlp fails. fixed: fc: B moved by 1.5e-02.",
    ]
