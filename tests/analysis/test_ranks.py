import pytest

from asapbench.analysis.ranks import (
    average_ranks,
    critical_difference,
    friedman_p,
    nemenyi_q,
    not_distinguished,
    rows_needed,
)

# Demsar (2006), Table 6: the AUC of four versions of C4.5 on 14 data sets. The last two numbers of "voting" are printed
# alike and ranked 2 and 3.
TABLE_6 = [
    (0.763, 0.768, 0.771, 0.798),
    (0.599, 0.591, 0.590, 0.569),
    (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657),
    (0.882, 0.888, 0.886, 0.898),
    (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685),
    (0.583, 0.583, 0.563, 0.625),
    (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000),
    (0.940, 0.962, 0.965, 0.962),
    (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.97501, 0.975),
    (0.957, 0.978, 0.946, 0.970),
]


def test_the_published_example_has_its_published_ranks_and_critical_difference() -> None:
    assert [round(rank, 3) for rank in average_ranks(TABLE_6)] == [3.143, 2.0, 2.893, 1.964]
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_numbers_that_differ_by_rounding_are_ties() -> None:
    row = (90.0, 90.00000000000001, 80.0)
    assert row[0] != row[1]
    assert average_ranks([row]) == [1.5, 1.5, 3.0]
    assert friedman_p([row] * 4) == friedman_p([(90.0, 90.0, 80.0)] * 4)
    assert friedman_p([(90.0, 90.00000000000001, 90.0)] * 3) == 1.0


def test_friedmans_test_rejects_in_the_published_example() -> None:
    """The paper prints 9.28 for chi squared with 3 degrees of freedom, p = 0.026, without the correction for ties."""
    assert 0.01 < friedman_p(TABLE_6) < 0.026


def test_the_critical_values_are_those_of_the_published_table() -> None:
    """Demsar (2006), Table 5a, q 0.05; it is made of a table of the studentized range with two decimals."""
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    assert [nemenyi_q(columns) for columns in range(2, 11)] == pytest.approx(published, abs=0.0015)


@pytest.mark.parametrize(("columns", "rows"), [(2, 4), (3, 3), (5, 3), (10, 3)])
def test_as_many_rows_are_needed_as_the_best_and_the_worst_need_to_differ(columns: int, rows: int) -> None:
    assert rows_needed(columns) == rows
    assert critical_difference(columns, rows) < columns - 1 <= critical_difference(columns, rows - 1)


def test_rules_that_tie_in_each_row_do_not_differ() -> None:
    assert friedman_p([(1.0, 1.0, 1.0)] * 4) == 1.0


def test_runs_are_as_long_as_possible_and_none_is_part_of_another() -> None:
    assert not_distinguished([1.0, 1.4, 1.9, 3.5, 4.0], 1.0) == [(0, 2), (3, 4)]
    assert not_distinguished([1.0, 2.0, 3.0], 0.5) == []
    assert not_distinguished([1.0, 1.1, 1.2], 5.0) == [(0, 2)]
