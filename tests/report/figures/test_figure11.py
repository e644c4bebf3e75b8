"""Figure 11 and `analyze memory`: the counts as a table and as long numbers, the picture, and what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from figure_commands import analyze, report

from asapbench.errors import AsapbenchError
from asapbench.report.figures import paper_figure
from asapbench.report.quantity import Metric


def totals(text: str) -> dict[tuple[str, str, str], int]:
    rows = csv.DictReader(io.StringIO(text))
    return {
        (row["model"], row["rule"], row["variant"]): int(row["measured"])
        for row in rows
        if row["variant"].endswith("total")
    }


def test_the_table_has_the_totals_of_the_printed_bars_and_of_the_variants() -> None:
    found = totals(report("--figure", "11", "--format", "csv"))
    assert found["alexnet", "bp", "batch 128, total"] == 33_523_994
    assert found["alexnet", "asap(k=2)", "batch 128, total"] == 30_867_226
    plain = [(model, rule) for model, rule, variant in found if not variant.startswith("with B")]
    assert plain == [
        ("alexnet", "bp"),
        ("alexnet", "asap(k=2)"),
        *(("resnet18", rule) for rule in ("bp", "asap(k=2)", "asap(k=4)")),
        *(("resnet34", rule) for rule in ("bp", "asap(k=2)", "asap(k=4)")),
    ]
    assert sum(variant.startswith("with B") for _, _, variant in found) == 5


def test_the_parts_add_up_to_the_total() -> None:
    rows = list(csv.DictReader(io.StringIO(report("--figure", "11", "--format", "csv"))))
    for place in range(0, len(rows), 5):
        *parts, total = (int(row["measured"]) for row in rows[place : place + 5])
        assert sum(parts) == total


def test_the_table_shows_the_ratio_to_backpropagation() -> None:
    table = paper_figure(11, url="sqlite:///none").table
    ratios = {group.header: [row.fields[-1].text for row in group.rows[:3]] for group in table.groups}
    assert ratios["ResNet-18"] == ["1.000", "0.632", "0.453"]
    assert ratios["ResNet-34"] == ["1.000", "0.623", "0.414"]
    assert "batch of 128" in table.caption


def test_analyze_memory_takes_models_block_sizes_batch_and_data_set() -> None:
    text = analyze(
        "memory", "--model", "resnet18", "--k", "2,1", "--batch", "1", "--dataset", "cifar100", "--format", "csv"
    )
    found = totals(text)
    assert [rule for _, rule, variant in found if "with B" not in variant] == ["bp", "asap(k=2)", "asap(k=1)"]
    ratio = found["resnet18", "asap(k=2)", "batch 1, total"] / found["resnet18", "bp", "batch 1, total"]
    assert ratio == pytest.approx(0.985, abs=5e-4)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_picture_can_be_drawn_of_either_command(suffix: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    report("--figure", "11", "--out", str(first))
    analyze("memory", "--model", "resnet10", "--k", "1,2,3,4,5,6", "--out", str(second))
    assert first.stat().st_size > 5000
    assert second.stat().st_size > 5000


def test_more_block_sizes_than_there_are_colours_are_refused_as_a_picture_only(tmp_path: Path) -> None:
    assert "k=7" in analyze("memory", "--k", "1,2,3,4,5,6,7")
    with pytest.raises(AsapbenchError, match="7 block sizes are too many for one picture, which takes 6"):
        analyze("memory", "--k", "1,2,3,4,5,6,7", "--out", str(tmp_path / "memory.png"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "resnt18"], 'did you mean "resnet18"'),
        (["--model", ","], "no name"),
        (["--model", "mlp"], "--model mlp: activation sharing needs at least 3 convolutions"),
        (["--dataset", "cifar11"], 'did you mean "cifar10"'),
        (["--k", "0"], "--k 0: write whole numbers from 1 on"),
        (["--k", "2,x"], "--k 2,x"),
    ],
)
def test_what_cannot_be_counted_is_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(AsapbenchError, match=says):
        analyze("memory", *arguments)


def test_counts_have_no_metric() -> None:
    with pytest.raises(AsapbenchError, match="have no metric"):
        paper_figure(11, url="sqlite:///none", metric=Metric.BEST)
