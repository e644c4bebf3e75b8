"""Bad input is one error with its place and fix, exit status 2, and never a traceback; no file is made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from commands import Commands

BAD = [
    (["run", "cifr10"], 'did you mean "cifar10"'),
    (["run", "nowhere/x.toml"], "no such suite file"),
    (["run", "quickstart", "--only", "rule=asup"], 'did you mean "asap"'),
    (["run", "quickstart", "--only", "rul=asap"], 'did you mean "rule"'),
    (["run", "quickstart", "--set", "epochs=0"], "at least 1"),
    (["run", "quickstart", "--set", "epoch=1"], 'did you mean "epochs"'),
    (["run", "quickstart", "--set", "epochs"], "key=value"),
    (["run", "quickstart", "--seeds", "x"], "--seeds x"),
    (["run", "quickstart", "--device", "gpu"], "choose auto, cpu"),
    (["run", "quickstart", "--device", "cpu", "--slots", "0"], "--slots 0: at least 1"),
    (["run", "quickstart", "--device", "cpu", "--threads", "9" * 20], f"error: --threads {'9' * 20}: at most 1024"),
    (["run", "quickstart", "--slots", "many"], "--slots many: write a number of cells, or auto"),
    (["run", "quickstart", "--only-state", "failled"], 'no run takes cells that are "failled"'),
    (["resume", "--only-state", "done"], "pending, interrupted, failed, out_of_memory"),
    (["run", "quickstart", "--only-state", ","], "no name"),
    (["run", "quickstart", "--retries", "-1"], "--retries"),
    (["run", "quickstart", "--max-failures", "0"], "--max-failures"),
    (["run", "quickstart", "--hang-after", "never"], "--hang-after never: write a time as"),
    (["run", "quickstart", "--time-limit", "soon"], "--time-limit soon: write a time as"),
    (["run", "quickstart", "--time-limit", "0s"], "longer than nothing"),
    (["run", "quickstart", "--checkpoint-every", "-1"], "--checkpoint-every -1"),
    (["run", "cifar10", "--only", "rule=bp", "--data", "none"], 'run "asapbench data prepare cifar10 --data none"'),
    (["run", "quickstart", "--db", "mysql://x"], "mysql"),
    (["run", "quickstart", "--db", "nonsense://"], "nonsense"),
    (["resume"], "run a suite first"),
    (["status"], "run a suite first"),
    (["show", "abc"], "run a suite first"),
    (["rerun"], "name a suite, or cells with --only"),
    (["report"], "--table (1 to 5, A.2)"),
    (["report", "--table", "6"], "1 to 5, and A.2"),
    (["report", "--table", "1", "--suite", "quickstart"], "only one of"),
    (["report", "--table", "3", "--out", "none/x.md"], "none"),
    (["report", "--table", "1", "--metric", "worst"], "worst"),
    (["data", "prepare", "cifr10"], 'did you mean "cifar10"'),
    (["data", "verify", "mnits"], 'did you mean "mnist"'),
    (["catalog", "ruls"], 'did you mean "rule"'),
    (["evaluate", "abc"], "run a suite first"),
    (["bench", "quickstart", "--only", "rule=asup"], 'did you mean "asap"'),
    (["bench", "quickstart", "--slots", "0"], "--slots 0: at least 1"),
    (["bench", "quickstart", "--device", "gpu"], "choose auto, cpu"),
    (["bench", "quickstart", "--out", "none/speed.csv"], "there is no directory none"),
    (["bench", "quickstart", "--out", "speed.png"], "this report is a table, not a picture"),
    (["bench", "cifar10", "--data", "none"], 'run "asapbench data prepare cifar10 --data none"'),
    (["ran", "quickstart"], "ran"),
    (["run"], "SUITE"),
    (["run", "quickstart", "--dry"], "--dry"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_one_error_with_its_fix(arguments: list[str], says: str, asapbench: Commands) -> None:
    said = asapbench(*arguments)
    assert said.status == 2
    assert says in said.err.replace("\n", " ")
    assert "Traceback" not in said.err + said.out
    assert said.err.count("rror") == 1 or said.err.count("Error:") == 1
    made = [path for path in Path().rglob("*") if path.suffix not in ("", ".lock")]
    assert all(path.name == "asapbench.sqlite" for path in made)


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to look into" * 50])
@pytest.mark.parametrize("command", [["status"], ["run", "quickstart"], ["show", "ab"], ["report", "--table", "1"]])
def test_a_file_that_is_no_database_is_named_and_unchanged(content, command, asapbench: Commands) -> None:
    Path("x.sqlite").write_bytes(content)
    if not content and command[0] == "run":
        pytest.skip("an empty file is where SQLite begins")
    said = asapbench(*command, "--db", "sqlite:///x.sqlite")
    assert said.status == 2
    assert "x.sqlite" in said.err
    assert Path("x.sqlite").read_bytes() == content


def test_a_newer_database_is_refused_with_both_fixes(asapbench: Commands) -> None:
    from asapbench.store import Store

    Store.open("sqlite:///x.sqlite").close()
    with sqlite3.connect("x.sqlite") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    said = asapbench("status", "--db", "sqlite:///x.sqlite")
    assert said.status == 2
    assert "upgrade asapbench" in said.err
    assert "--db" in said.err


@pytest.mark.parametrize("prefix", ["zz", "", "'; DROP TABLE cell", "../..", "0" * 100])
def test_a_cell_that_is_none_is_refused(prefix: str, asapbench: Commands) -> None:
    from asapbench.store import Store

    Store.open("sqlite:///x.sqlite").close()
    said = asapbench("show", "--db", "sqlite:///x.sqlite", "--", prefix)
    assert said.status == 2
    assert "Traceback" not in said.err


def test_a_suite_with_errors_lists_them_all(asapbench: Commands) -> None:
    Path("mine.toml").write_text(
        '[suite]\nname = "a"\n[[grid]]\ndataset = "minst"\nmodel = "mlp"\nrule = "asup"\nlr = 1\n'
    )
    said = asapbench("run", "mine.toml")
    assert said.status == 2
    assert "mine.toml:4:11: " in said.err
    assert "mine.toml:6:8: " in said.err
