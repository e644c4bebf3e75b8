"""Section A.2's table: every reading beside the published numbers, the closest of them named."""

from __future__ import annotations

import pytest
from made_up import result

from asapbench.report.configuration import configurations
from asapbench.report.forward_alignment import distance, forward_alignment_table, readings
from asapbench.report.published import forward_alignment_accuracies
from asapbench.report.quantity import Metric
from asapbench.suite.load import load

ACCURACIES = {
    ("bp", False): 92.0,
    ("forward_alignment", False): 91.0,
    ("bp", True): 95.0,
    ("forward_alignment", True): 93.0,
}


def results(worse: str = ""):
    """Every cell of the suite with two seeds, 1 point apart; what `worse` approximates with lies 3 points lower."""
    found = []
    for cell in load("forward_alignment").cells:
        accuracy = ACCURACIES[cell.rule.name, cell.model.flag("nonlinear")] - 2 * (cell.model.integer("depth") - 2)
        if dict(cell.rule.options).get("approximate") == worse:
            accuracy -= 3
        if cell.seed < 2:
            found.append(result(cell, accuracy + cell.seed - 0.5))
    return found


def test_the_suite_has_every_reading_of_the_notes_and_the_further_candidates() -> None:
    found = {(reading.depth, reading.stub) for reading in readings()}
    sources, forms = ("activation", "approximation"), ("affine", "own", "linear")
    assert {(d, f"source={source}, approximate=normalised") for d in (2, 3) for source in sources} <= found
    assert {(d, f"source=activation, approximate={form}") for d in (2, 3) for form in forms} <= found
    assert [reading.network for reading in readings()][::5] == ["784-10-10-10", "784-10-10-10-10"]


def test_each_reading_has_the_four_cells_of_its_networks() -> None:
    for reading in readings():
        kinds = [(cell.rule.name, cell.model.flag("nonlinear")) for cell in reading.cells]
        assert kinds == list(ACCURACIES)
        assert {cell.model.integer("depth") for cell in reading.cells} == {reading.depth}
        assert {cell.rule.text("source") for cell in reading.cells[1::2]} == {reading.cells[3].rule.text("source")}


def test_exactly_one_reading_is_the_default() -> None:
    assert sum(reading.is_default for reading in readings()) == 1


def test_the_distance_is_the_mean_absolute_difference_to_what_was_printed() -> None:
    found = configurations(results(), Metric.BEST)
    first = readings()[0]
    pairs = zip(ACCURACIES.values(), forward_alignment_accuracies(), strict=True)
    by_hand = sum(abs(a - b) for a, b in pairs) / 4
    assert distance(first, found) == pytest.approx(by_hand)
    assert distance(first, {}) is None


def test_the_closest_reading_is_named_with_its_distance() -> None:
    table = forward_alignment_table(results(worse="linear"))
    said = (
        "Closest to the published numbers (of the 10 of 10 readings measured, n = 2): 784-10-10-10, source=activation"
    )
    assert table.summary.startswith(said)
    assert "approximate=linear" not in table.summary
    assert table.summary.endswith("; the default has 1.59")
    assert forward_alignment_table(results(worse="affine")).summary.endswith(", the default")
    assert forward_alignment_table([]).summary == ""


def test_each_configuration_is_a_number_once_with_its_published_one() -> None:
    numbers = forward_alignment_table(results()).numbers
    assert len(numbers) == len({cell.group for cell in load("forward_alignment").cells})
    assert {number.n for number in numbers} == {2}
    first = numbers[0]
    assert (first.rule, first.measured, first.published) == ("bp", pytest.approx(92.0), 92.39)


def test_missing_trainings_are_counted_with_the_command_that_trains_them() -> None:
    cells = load("forward_alignment").cells
    for done in (0, 40, len(cells)):
        made = [result(cell, 90.0) for cell in cells[:done]]
        notes = [note for note in forward_alignment_table(made).notes if note.commands]
        left = f"{len(cells) - done} of {len(cells)} trainings left. To train them:"
        assert [(note.text, note.commands) for note in notes] == (
            [(left, ("asapbench run forward_alignment",))] if done < len(cells) else []
        )


def test_each_line_has_its_difference_and_an_unusual_n() -> None:
    made = [r for r in results() if r.cell.rule.name != "bp" or r.cell.seed == 0]
    rows = [
        [field.text for field in row.fields] for group in forward_alignment_table(made).groups for row in group.rows
    ]
    assert rows[0] == ["BP", "92.39", "95.01", ""]
    assert rows[1] == ["Forward Alignment", "90.93", "93.03", ""]
    assert rows[2:5] == [["BP", "91.50", "94.50", ""], ["n", "1", "1", ""], ["difference", "-0.89", "-0.51", ""]]
    assert rows[5][1:3] == ["91.00 ± 0.71", "93.00 ± 0.71"]
    assert rows[6] == ["difference", "+0.07", "-0.03", ""]
