import pytest
from sqlalchemy import text
from store_examples import TERMS, a_cell, trained

from asapbench.store import Store


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


def test_the_view_result_has_a_column_for_each_option_that_a_cell_has(store, rows):
    store.record_suite("mine", "shipped", [a_cell(k=4)])
    before = rows("result")[0]
    assert (before["rule.k"], before["model.width"], before["schedule"]) == (4, 8, "cosine")
    assert (before["optimizer"], before["augment"]) == ("sgd", "none")
    assert before["short_id"] == a_cell(k=4).short
    assert "rule.bits" not in before
    store.claim(a_cell(rule="bp"), **TERMS)
    assert list(rows("result")[0])[: len(before)] == list(before)  # columns are only added


def test_a_group_by_of_the_option_columns_is_the_group_by_of_the_group_id(store, rows):
    cells = [a_cell(seed, k=k, lr=lr) for seed in range(2) for k in (1, 4) for lr in (0.01, 0.03)]
    store.record_suite("mine", "shipped", [*cells, a_cell(rule="bp"), a_cell(rule="fa")])
    found = rows("result")
    first = list(found[0]).index("discard_reason") + 1
    options = ["dataset", "model", "rule", "lr", "epochs", "batch_size", *list(found[0])[first:]]
    by_options, by_group = {}, {}
    for row in found:
        by_options.setdefault(tuple(row[name] for name in options), set()).add(row["cell_id"])
        by_group.setdefault(row["group_id"], set()).add(row["cell_id"])
    assert sorted(map(sorted, by_options.values())) == sorted(map(sorted, by_group.values()))
    assert len(by_group) == 6


def test_the_views_say_which_rows_are_of_a_discarded_cell(store, rows):
    for seed in range(2):
        trained(store, a_cell(seed), tests=(0.25,))
    store.discard([a_cell(0).id], "a wrong learning rate")
    states = {row["seed"]: (row["state"], row["discard_reason"]) for row in rows("result")}
    assert states == {0: ("discarded", "a wrong learning rate"), 1: ("done", None)}
    assert {row["seed"]: bool(row["discarded"]) for row in rows("learning_curve")} == {0: True, 1: False}
    store.restore([a_cell(0).id])
    assert {(row["state"], row["discard_reason"]) for row in rows("result")} == {("done", None)}


def test_a_merged_cell_brings_the_columns_of_its_options(store, rows, tmp_path):
    from asapbench.store.untrusted_import import opened

    with Store.open(str(tmp_path / "other.sqlite")) as other:
        trained(other, a_cell(k=4))
        other.export(tmp_path / "out.sqlite")
    trained(store, a_cell(rule="bp"))
    assert "rule.k" not in rows("result")[0]
    with opened([tmp_path / "out.sqlite"]) as databases:
        store.merge(databases)
    assert {row["rule"]: row["rule.k"] for row in rows("result")} == {"asap": 4, "bp": None}
