"""`asapbench check`: what it prints, its exit status, and its formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Commands

from asapbench.certificate import PROPERTIES
from asapbench.store import Store


def test_a_rule_that_holds_ends_with_status_0(asapbench: Commands) -> None:
    said = asapbench("check", "fa(linear_feedback=kaiming)", "--model", "mlp")
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0] == "fa(linear_feedback=kaiming) on mlp(hidden=8): holds"
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in PROPERTIES)
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "1 of 1 certificates hold."


def test_weight_transport_is_printed_and_no_failure(asapbench: Commands) -> None:
    said = asapbench("check", "bp", "--model", "mlp(depth=1)", "--format", "json")
    assert said.status == 0
    (content,) = json.loads(said.out)
    assert (content["verdict"], content["model"]) == ("holds", "mlp(depth=1, hidden=8)")
    found = {each["name"]: each for each in content["findings"]}["transport"]
    assert (found["verdict"], found["text"]) == ("declared", "uses weight transport, as declared: fc")


def test_a_rule_that_cannot_train_a_model_says_why(asapbench: Commands) -> None:
    said = asapbench("check", "asap", "--model", "mlp")
    assert said.status == 0
    assert "not applicable: asap needs convolutions" in " ".join(said.out.split())


def test_a_batch_in_parts_is_refused_with_what_to_check_instead(asapbench: Commands) -> None:
    said = asapbench("check", "bp(micro_batches=2)", "--model", "mlp")
    assert said.status == 2
    assert "check bp without micro_batches" in " ".join(said.err.split())


def test_a_table_in_markdown_has_verdicts_without_digits(asapbench: Commands, tmp_path: Path) -> None:
    out = tmp_path / "certificates.md"
    said = asapbench("check", "fa", "--model", "mlp", "--out", str(out))
    assert (said.status, said.out) == (0, "")
    row = next(line for line in out.read_text().splitlines() if line.startswith("| fa"))
    assert row == "| fa | mlp(hidden=8) | holds | holds | holds | - | holds | holds | holds | holds | holds |"


def test_certificates_are_kept_in_a_database_that_is_named(asapbench: Commands, tmp_path: Path) -> None:
    path = tmp_path / "mine.sqlite"
    assert asapbench("check", "fa", "--model", "mlp", "--db", str(path), "--no-store").status == 0
    assert not path.exists()
    assert asapbench("check", "fa", "--model", "mlp", "--db", str(path)).status == 0
    with Store.read_only(str(path)) as store:
        assert [(kept.certificate.rule, kept.certificate.verdict) for kept in store.certificates()] == [("fa", "holds")]


def test_a_check_alone_makes_no_default_database(asapbench: Commands, tmp_path: Path) -> None:
    assert asapbench("check", "bp", "--model", "mlp(depth=1)").status == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check",), "name a rule, or --all"),
        (("check", "bp", "--all"), "name rules, or --all for every rule, not both"),
        (("check", "fb"), 'unknown rule "fb"'),
        (("check", "fa(k=1)"), 'fa has no option "k"'),
        (("check", "asap(k)"), "write OPTION=VALUE"),
        (("check", "asap(k=1, k=2)"), "k is given twice"),
        (("check", "bp", "--model", "resnet"), 'unknown model "resnet"'),
        (("check", "bp", "--out", "table.csv"), '".csv" is not a supported format; end it in .txt, .md or .json'),
    ],
)
def test_bad_input_is_one_clear_error(asapbench: Commands, arguments: tuple[str, ...], message: str) -> None:
    said = asapbench(*arguments)
    assert said.status == 2
    assert message in said.err
