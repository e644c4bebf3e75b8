import pytest
from sqlalchemy import text
from store_examples import TERMS, a_cell, trained


@pytest.fixture
def rows(store):
    def read(view):
        with store._database.reading() as connection:
            return [dict(row) for row in connection.execute(text(f"SELECT * FROM {view}")).mappings()]

    return read


def test_the_view_result_has_one_row_a_cell_in_percent(store, rows):
    store.record_suite("mine", "shipped", [a_cell(seed) for seed in range(3)])
    trained(store, a_cell(0), tests=(0.5679, 0.1))
    store.supersede([a_cell(0).id])
    trained(store, a_cell(0), tests=(0.1, 0.5679))
    store.claim(a_cell(1), **TERMS)
    found = {row["seed"]: row for row in rows("result")}
    assert [found[seed]["state"] for seed in range(3)] == ["done", "running", "pending"]
    assert (float(found[0]["last_test_percent"]), found[0]["best_test_epoch"]) == (56.79, 2)
    assert found[0]["cell"] == "Digits ResNet-10(width=8) ASAP seed 0"
    assert (found[0]["dataset"], found[0]["model"], found[0]["rule"]) == ("digits", "resnet10", "asap")
    assert found[2]["last_test_percent"] is None


def test_the_view_learning_curve_names_the_cell_of_each_epoch(store, rows):
    trained(store, a_cell(k=4), tests=(0.25, 0.5))
    found = sorted(rows("learning_curve"), key=lambda row: row["epoch"])
    assert [(row["epoch"], row["test_accuracy"]) for row in found] == [(1, 0.25), (2, 0.5)]
    assert {row["cell"] for row in found} == {"Digits ResNet-10(width=8) ASAP(k=4) seed 0"}
    assert found[1]["lr"] == 0.015
