"""Two files of one suite name share a list of cells: a run says so before a report compares one with the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import run

from asapbench.running.selection import Request, other_files, select
from asapbench.store import Store
from asapbench.suite.load import load

TEXT = """\
[suite]
name = "{name}"
[defaults]
dataset = {{ name = "digits", train_size = 64 }}
batch_size = 16
epochs = 1
[[grid]]
model = {{ name = "resnet10", width = 2 }}
lr = {{ bp = {lr} }}
"""


def written(folder: Path, file: str, *, lr: float = 0.01, name: str = "small") -> str:
    path = folder / file
    path.write_text(TEXT.format(name=name, lr=lr), encoding="utf-8")
    return str(path)


def said(database: Path, *files: str) -> list[str]:
    """What runs of the files would say, one after the other."""
    found: list[str] = []
    with Store.open(str(database)) as store:
        for file in files:
            selected = select([file], Request(db=""))
            found += other_files(store, selected)
            for item in selected:
                store.record_suite(item.name, item.source, item.cells, text=item.text)
    return found


@pytest.mark.slow
def test_a_run_and_its_dry_run_say_that_another_file_of_that_name_was_run(tmp_path: Path) -> None:
    written(tmp_path, "a.toml")
    written(tmp_path, "b.toml", lr=0.5)
    run(tmp_path, "run", "a.toml")
    for options in (["--dry-run"], []):
        printed = run(tmp_path, "run", "b.toml", *options)
        assert 'suite "small": another file of this name was run with other cells (a.toml)' in printed


def test_a_file_that_was_changed_or_moved_is_not_another_one(tmp_path: Path) -> None:
    first = written(tmp_path, "a.toml")
    assert not said(tmp_path / "x.sqlite", first, first)
    assert not said(tmp_path / "x.sqlite", written(tmp_path, "a.toml", lr=0.5)), "the same file, changed"
    assert not said(tmp_path / "x.sqlite", written(tmp_path, "b.toml", lr=0.5)), "the same cells, moved"


def test_another_file_is_named_with_what_reports_compare_and_how_to_keep_them_apart(tmp_path: Path) -> None:
    first, second = written(tmp_path, "a.toml"), written(tmp_path, "b.toml", lr=0.5)
    assert said(tmp_path / "x.sqlite", first, second, second) == [
        f'suite "small": another file of this name was run with other cells ({first}). Reports compare the cells of '
        f"both with {second} and mark those of the other file as deviating. To keep them apart, give one of the files "
        "another name under [suite], or use another --db."
    ]


@pytest.mark.parametrize("text", [None, "[suite]\nname = 1\n"])
def test_a_recorded_text_that_is_unknown_or_cannot_be_read_is_not_compared(text: str | None, tmp_path: Path) -> None:
    file = written(tmp_path, "a.toml")
    with Store.open(str(tmp_path / "x.sqlite")) as store:
        store.record_suite("small", "other.toml", load("quickstart").cells, text=text)
    assert not said(tmp_path / "x.sqlite", file)
