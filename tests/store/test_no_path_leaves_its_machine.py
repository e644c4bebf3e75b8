"""A cell or a suite that is merged or exported has no path of data and no plug-in, however the rows are written."""

import json
import sqlite3
from contextlib import closing

import pytest
from merging import rows
from store_examples import a_cell, trained

from asapbench.store import Store
from asapbench.store.untrusted_import import opened
from asapbench.suite.cell import Cell

FOUND = {"content": "ab" * 32, "channels": 0, "size": 0, "values": "float32", "classes": 2, "train": 40, "test": 10}
SUITE = """\
[suite]
name = "mine"
[[grid]]
dataset = ["digits", {data}]
model = "mlp"
rule = "bp"
lr = 0.1
"""


def placed_cell(**more: str) -> Cell:
    """A cell on arrays of a file of this machine."""
    content = a_cell(rule="bp").to_json() | {"model": {"name": "mlp"}, "dataset": {"name": "npz", **FOUND, **more}}
    return Cell.from_json(content | {"places": {"dataset": {"path": "/home/me/customers.npz"}}})


@pytest.fixture
def made(tmp_path):
    with Store.open(str(tmp_path / "made.sqlite")) as store:
        yield store


def edit(store, statement, *values):
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(statement, values)


def merged_row(store, tmp_path):
    """The row of the only cell of `store`, merged into another database."""
    with Store.open(str(tmp_path / "target.sqlite")) as target:
        with opened([store.path]) as databases:
            target.merge(databases)
        [row] = rows(target.path, "cell")
    return row


@pytest.mark.parametrize("key", ['"places"', '"pl\\u0061ces"', '"\\u0070laces" '])
def test_a_merge_takes_no_plug_in_however_its_key_is_spelled(made, tmp_path, key):
    trained(made, a_cell())
    config = json.dumps(a_cell().to_json() | {"rule": {"name": "theirs"}})
    edit(made, "UPDATE cell SET rule = 'theirs', config = ?", f'{config[:-1]}, {key}: {{"plugins": ["theirs.py"]}}}}')
    assert json.loads(rows(made.path, "cell")[0]["config"])["places"] == {"plugins": ["theirs.py"]}
    row = merged_row(made, tmp_path)
    assert "theirs.py" not in row["config"]
    assert json.loads(row["config"])["rule"] == {"name": "theirs"}


def test_a_merge_takes_no_path_from_the_options_of_data(made, tmp_path):
    cell = placed_cell()
    trained(made, cell)
    content = cell.to_json()
    content["dataset"]["path"] = "/home/them/x.npz"
    edit(made, "UPDATE cell SET config = ?", json.dumps(content))
    assert "/home/them" not in merged_row(made, tmp_path)["config"]
    assert Cell.from_json(content).dataset.local == ()


@pytest.mark.parametrize("anonymous", [False, True])
@pytest.mark.parametrize(
    "data", ['{ name = "npz", path = "/home/me/customers.npz" }', '{ name = "their_data", at = "/home/me" }']
)
def test_an_export_of_other_cells_has_no_text_that_names_a_path(made, tmp_path, data, anonymous):
    made.record_suite("mine", "mine.toml", [a_cell(), placed_cell()], text=SUITE.replace("{data}", data))
    made.export(tmp_path / "out.sqlite", filters=["dataset=digits"], anonymous=anonymous)
    assert b"/home/me" not in (tmp_path / "out.sqlite").read_bytes()
    assert b"customers" not in (tmp_path / "out.sqlite").read_bytes()


def test_a_text_that_names_a_plug_in_does_not_leave_the_machine(made, tmp_path):
    text = SUITE.replace('"mine"\n', '"mine"\nplugins = ["/home/me/rules.py"]\n').replace("{data}", '"mnist"')
    made.record_suite("mine", "mine.toml", [a_cell()], text=text)
    made.export(tmp_path / "out.sqlite")
    assert b"/home/me" not in (tmp_path / "out.sqlite").read_bytes()


def test_a_text_without_paths_is_exported(made, tmp_path):
    text = SUITE.replace("{data}", '{ name = "digits", train_size = [0, 320] }')
    made.record_suite("mine", "mine.toml", [a_cell()], text=text)
    made.export(tmp_path / "out.sqlite")
    assert [row["text"] for row in rows(tmp_path / "out.sqlite", "suite")] == [text]


def test_an_unreadable_cell_is_exported_under_the_names_of_its_entries(made, tmp_path):
    trained(made, placed_cell())
    [row] = rows(made.path, "cell")
    edit(made, "UPDATE cell SET rule = 'mine', config = ?", row["config"].replace('"bp"', '"mine"'))
    assert "customers" in row["label"]
    made.export(tmp_path / "out.sqlite")
    assert b"customers" not in (tmp_path / "out.sqlite").read_bytes()
    assert [row["label"] for row in rows(tmp_path / "out.sqlite", "cell")] == ["npz mlp mine seed 0"]


def test_a_label_that_a_suite_gives_is_exported(made, tmp_path):
    trained(made, placed_cell(label="Gauss"))
    made.export(tmp_path / "out.sqlite")
    assert "Npz(Gauss, " in rows(tmp_path / "out.sqlite", "cell")[0]["label"]
