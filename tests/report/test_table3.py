from asapbench.report.paper import scientific, table3
from asapbench.report.published import printed_table


def test_every_published_learning_rate_is_that_of_the_shipped_suite() -> None:
    for printed in printed_table(3).numbers:
        assert printed.reference is not None
        assert printed.reference.cell.lr == printed.value


def test_every_learning_rate_of_table_1s_cells_is_published() -> None:
    rates = {printed.key: printed.value for printed in printed_table(3).numbers}
    for printed in printed_table(1).numbers:
        assert printed.reference is not None
        assert rates.pop(printed.key) == printed.reference.cell.lr
    assert not rates


def test_the_table_shows_both_and_marks_no_difference() -> None:
    table = table3()
    assert not table.notes
    assert len(table.numbers) == 70
    assert all(number.difference == 0 for number in table.numbers)
    rows = [[field.text for field in row.fields] for group in table.groups for row in group.rows]
    assert rows[0] == ["AlexNet", "3e-2", "3e-2", "1e-4", "1e-4", "1e-4"]
    assert rows[1] == ["published", *rows[0][1:]]


def test_a_rate_that_is_no_power_of_ten_keeps_its_digits() -> None:
    assert [scientific(rate) for rate in (3e-2, 1e-4, 0.0125, 1.0)] == ["3e-2", "1e-4", "1.25e-2", "1e0"]
