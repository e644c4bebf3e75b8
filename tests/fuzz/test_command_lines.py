"""Any value of any option is taken or refused, with one error; a refused command leaves the folder as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fuzzing import check_refusal, fuzz, listing, nasty_text
from hypothesis import given
from hypothesis import strategies as st
from in_process import asapbench

DB = ("--db", "x.sqlite")
RUN = ("run", "mine.toml", "--dry-run", "--device", "cpu", *DB)
SETTABLE = (
    *("epochs", "batch_size", "lr", "validation", "augment", "precision", "schedule", "optimizer", "seeds", "rule"),
    *("model.width", "dataset.train_size", "rule.k", "rule.matching", "optimizer.momentum", "rule.", ".", "seed"),
)
VALUES = st.one_of(nasty_text(), st.integers().map(str), st.floats().map(repr))
PAIRS = st.builds("{}={}".format, st.one_of(st.sampled_from((*SETTABLE, "cell")), nasty_text()), VALUES)
TIMES = st.one_of(VALUES, st.text(alphabet="0123456789.:dhms ٣", max_size=60))
TAKEN = {
    (*RUN, "--set"): PAIRS,
    (*RUN, "--only"): PAIRS,
    (*RUN, "--seeds"): st.one_of(VALUES, st.text(alphabet="0123456789-, ", max_size=40)),
    (*RUN, "--slots"): VALUES,
    (*RUN, "--threads"): VALUES,
    (*RUN, "--time-limit"): TIMES,
    (*RUN, "--checkpoint-every"): TIMES,
    ("run", "mine.toml", "--dry-run", *DB, "--device"): VALUES,
    ("run", "mine.toml", "--dry-run", "--device", "cpu", "--db"): VALUES,
    ("run", "--dry-run", "--device", "cpu", *DB, "--"): VALUES,
    ("show", *DB, "--"): VALUES,
    ("evaluate", *DB, "--"): VALUES,
    ("analyze", "shortcut", *DB, "--"): VALUES,
    ("status", "--device", "cpu", *DB, "--"): VALUES,
    ("status", "--device", "cpu", "--db"): VALUES,
    ("resume", "--dry-run", "--device", "cpu", *DB, "--"): VALUES,
    ("rerun", "--dry-run", "--device", "cpu", *DB, "--only"): PAIRS,
    ("report", *DB, "--table"): VALUES,
    ("report", *DB, "--figure"): VALUES,
    ("report", *DB, "--metric", "last", "--suite"): VALUES,
    ("report", *DB, "--curves", "accuracy", "--only"): PAIRS,
    ("report", *DB, "--suite", "mine", "--format"): VALUES,
    ("data", "list", "--data"): VALUES,
    ("data", "verify", "--data", "none", "--"): VALUES,
    ("catalog", "--"): VALUES,
    ("analyze", "memory", "--model"): VALUES,
    ("analyze", "memory", "--k"): VALUES,
    ("analyze", "memory", "--batch"): VALUES,
    ("analyze", "memory", "--dataset"): VALUES,
    ("clean", "--dry-run", "--db"): VALUES,
}


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def check(*arguments: str) -> None:
    before = listing()
    said = asapbench(*arguments)
    assert listing() == before
    if said.status != 0:
        check_refusal(said)


FOUND = [
    ((*RUN, "--time-limit"), "1" * 60 + "x"),  # took for ever
    ((*RUN, "--time-limit"), "9" * 5000 + ":00:00"),
    ((*RUN, "--slots"), "1000000000"),  # filled the memory
    ((*RUN, "--set"), "epochs=" + "9" * 5000),
    ((*RUN, "--set"), "lr=1" + "0" * 400),
    ((*RUN, "--only"), "epochs=" + "[" * 5000),
    ((*RUN, "--seeds"), "0-99999,100000-199999"),
    (("run", "--dry-run", *DB), "a" * 5000),
    (("status", "--db"), "a" * 5000),
    (("data", "list", "--data"), "~nobody-of-this-name/x"),
    (("run", "mine.toml", "--dry-run", *DB, "--only"), "rule=\x1b[31mbp"),
]


@pytest.mark.parametrize(("command", "value"), FOUND)
def test_what_was_found_is_refused(command: tuple[str, ...], value: str, there: Path) -> None:
    before = listing()
    check_refusal(asapbench(*command, value))
    assert listing() == before


def test_a_file_whose_name_is_no_text_is_taken(there: Path) -> None:
    name = os.fsdecode(b"\xff.toml")
    Path(name).write_text(Path("mine.toml").read_text())
    assert asapbench("run", name, "--dry-run", "--device", "cpu", "--db", "\udcff.sqlite").status == 0


@pytest.mark.parametrize("command", TAKEN, ids=" ".join)
def test_a_value_is_taken_or_refused(command: tuple[str, ...], there: Path) -> None:
    @fuzz(15)
    @given(TAKEN[command])
    def try_it(value: str) -> None:
        check(*command, value)

    try_it()
