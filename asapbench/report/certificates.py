"""Certificates as text of 80 columns, as JSON, and as Markdown."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from asapbench import durable
from asapbench.certificate import PROPERTIES, Certificate, Finding
from asapbench.escape import encodable
from asapbench.report.render.markdown import escape

_WIDTH = 80
_SHORT = {"holds": "holds", "declared": "declared", "fails": "FAILS", "not applicable": "-"}
_NAME = max(map(len, PROPERTIES)) + 2
_VERDICT = max(map(len, _SHORT.values())) + 2


class Form(StrEnum):
    """The formats of certificates."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def rendered(certificates: Sequence[Certificate], form: Form) -> str:
    """All certificates as text that ends with a newline."""
    if form is Form.JSON:
        return json.dumps([one.to_json() for one in certificates], indent=2, ensure_ascii=True) + "\n"
    if form is Form.MARKDOWN:
        return markdown(certificates)
    return "\n".join([*map(text, certificates), summary(certificates)]) + "\n"


_ABOUT = """What `asapbench check` found on small networks and random batches, in float64 on the CPU. `holds`: it was
measured and holds. `declared`: a limit that the rule declares, listed below the table. `-`: the property does not apply
to the rule, or the rule cannot train the model. A certificate says nothing of accuracy."""
_ENDINGS = {".txt": Form.TEXT, ".md": Form.MARKDOWN, ".json": Form.JSON}


def form_of(form: Form | None, out: Path | None) -> Form:
    """The format by `--format`, else by the ending of `out`. Raises AsapbenchError if `out` cannot be written.

    >>> form_of(None, Path("certificates.md"))
    <Form.MARKDOWN: 'markdown'>
    """
    from asapbench.report.out import STANDARD_OUTPUT, by_ending

    if out is None or out == STANDARD_OUTPUT:
        return form or Form.TEXT
    durable.check_place(out, f"--out {out}")
    return by_ending(out, form, _ENDINGS) or Form.TEXT


def deliver(content: str, out: Path | None) -> None:
    """Prints `content`, or writes it to `out`, whole or not at all."""
    from asapbench.report.out import STANDARD_OUTPUT, write_whole

    if out is None or out == STANDARD_OUTPUT:
        sys.stdout.write(encodable(content, sys.stdout.encoding or "utf-8"))
    else:
        write_whole(out, content)


def text(certificate: Certificate) -> str:
    """One certificate in lines of 80 columns at most: one line or more for each property."""
    title = f"{certificate.rule} on {certificate.model}: {certificate.verdict}{limits(certificate)}"
    if certificate.unsuited is not None:
        return "\n".join(_wrapped(f"{title}: {certificate.unsuited}", "", "  ")) + "\n"
    lines = _wrapped(title, "", "  ")
    for found in certificate.findings:
        start = f"  {found.name:<{_NAME}}{_SHORT[found.verdict]:<{_VERDICT}}"
        lines += _wrapped(statement(found), start, " " * len(start))
        if found.advice is not None:
            lines += _wrapped(f"fix: {found.advice}", " " * len(start), " " * len(start))
    return "\n".join(lines) + "\n"


def limits(certificate: Certificate) -> str:
    """The properties of which the rule declares a limit: ` (declared: transport)`, or nothing."""
    declared = [found.name for found in certificate.findings if found.verdict == "declared"]
    return f" (declared: {', '.join(declared)})" if declared else ""


def statement(found: Finding) -> str:
    """The layer and what was found there."""
    return found.text if found.layer is None else f"{found.layer}: {found.text}"


def summary(certificates: Sequence[Certificate]) -> str:
    """How many certificates hold, and which fail."""
    checked = [one for one in certificates if one.unsuited is None]
    failed = [one for one in checked if not one.holds]
    lines = [f"{len(checked) - len(failed)} of {len(checked)} certificates hold."]
    lines += [f"{one.rule} on {one.model} fails: {', '.join(f.name for f in one.failures)}" for one in failed]
    return "\n".join(line for each in lines for line in _wrapped(each, "", "  "))


def markdown(certificates: Sequence[Certificate]) -> str:
    """What each property means, and a table: a row for each certificate, without measured numbers."""
    lines = ["# Certificates", "", _ABOUT, ""]
    lines += [f"- **{name}** ({each.title}): {each.explanation}" for name, each in PROPERTIES.items()]
    header = ["rule", "model", "certificate", *PROPERTIES]
    lines += ["", f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for one in certificates:
        by_name = {found.name: _SHORT[found.verdict] for found in one.findings}
        cells = [
            escape(one.rule),
            escape(one.model),
            f"{one.verdict}{limits(one)}",
            *(by_name.get(name, "-") for name in PROPERTIES),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [(one, found) for one in certificates for found in one.findings if found.verdict in ("declared", "fails")]
    if notes:
        lines += ["", "Limits and failures:", ""]
        lines += [f"- {escape(one.rule)} on {escape(one.model)}: {escape(statement(f))}" for one, f in notes]
    return "\n".join(lines) + "\n"


def _wrapped(words: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False)
