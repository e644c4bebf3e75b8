"""Which rules of a table are certified: notes below it, where there are any certificates of its rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asapbench.certificate import Certificate
from asapbench.errors import SuiteError
from asapbench.report.certificates import limits, statement
from asapbench.report.recorded import current_certificates
from asapbench.report.table import Note, Table
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell, name, title
from asapbench.suite.spelled import spelled

if TYPE_CHECKING:
    from asapbench.store import Store


def with_notes(table: Table, certificates: Sequence[Certificate]) -> Table:
    """The table, with a note on the certificates of the rules that head its columns or rows, if there are any."""
    rows = [row.fields[0].text for group in table.groups for row in group.rows if row.fields]
    headings = dict.fromkeys([*(column.title for column in table.columns), *rows])
    return replace(table, notes=(*table.notes, *_notes(list(headings), certificates)))


def certificates_of(store: Store, configuration: Mapping[str, Any]) -> list[str]:
    """A line for each certificate of the rule, with its options, of a stored cell; none if the cell cannot be read."""
    try:
        rule = name("rule", Cell.from_json(configuration).rule)
    except SuiteError:
        return []
    found = [one for one in current_certificates(store) if one.rule == rule]
    return [f"certificate    {_outcome(one)}" for one in found]


def _outcome(certificate: Certificate) -> str:
    return f"holds on {certificate.model}{limits(certificate)}" if certificate.holds else failure(certificate)


def failure(certificate: Certificate) -> str:
    """What fails, in one sentence."""
    what = "; ".join(f"{found.name}: {statement(found)}" for found in certificate.failures)
    return f"The certificate of {rule_title(certificate)} on {certificate.model} fails. {what}."


def rule_title(certificate: Certificate) -> str:
    """The rule as tables head it; as it was recorded where the catalog lacks it."""
    try:
        name, given = spelled("rule", certificate.rule)
        return title("rule", RULES[name].choose(given))
    except (SuiteError, ValueError):
        return certificate.rule


def _notes(headings: Sequence[str], certificates: Sequence[Certificate]) -> Iterator[Note]:
    rules = {title("rule", entry.choose()) for entry in RULES.values()}
    found: dict[str, list[Certificate]] = {}
    for one in certificates:
        found.setdefault(rule_title(one), []).append(one)
    of_table = {column: found[column] for column in headings if column in found}
    if not of_table:
        return
    on: dict[str, list[str]] = {}
    for rule, held in of_table.items():
        if all(one.holds for one in held):
            on.setdefault(", ".join(one.model for one in held), []).append(f"{rule}{limits(held[0])}")
    parts = [f"on {models}: {', '.join(listed)}" for models, listed in on.items()]
    certified = {rule for rule, held in of_table.items() if all(one.holds for one in held)}
    others = [column for column in headings if column not in certified and (column in found or column in rules)]
    if not parts:
        yield Note("No rule of this table is certified.")
    elif others:
        yield Note(f"Certified {'; '.join(parts)}; not certified: {', '.join(others)}.")
    else:
        yield Note(f"Certified {'; '.join(parts)}.")
    for held in of_table.values():
        yield from (Note(failure(one)) for one in held if not one.holds)
