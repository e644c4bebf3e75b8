"""docs/certificates.md is what `asapbench check --all --no-store --out docs/certificates.md` writes."""

from __future__ import annotations

import pytest
from documentation import ROOT

from asapbench.analysis.certificate import certificates, choices
from asapbench.report.certificates import Form, rendered
from asapbench.report.render.markdown import escape
from asapbench.suite.catalog import RULES

DOCUMENT = ROOT / "docs" / "certificates.md"


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_the_catalog_has_its_certificates(rule: str) -> None:
    rows = [
        line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {escape(rule)} |")
    ]
    assert len(rows) == 3
    assert all("| fails |" not in row for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_the_document_is_what_the_command_writes(rule: str) -> None:
    made = [line for line in rendered(list(certificates(choices((rule,)))), Form.MARKDOWN).splitlines() if line]
    written = DOCUMENT.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith(f"| {escape(rule)} |") for line in made) == 3
    assert [line for line in made if line not in written] == []
