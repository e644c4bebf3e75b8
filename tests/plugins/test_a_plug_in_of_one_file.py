"""A suite names a plug-in: its cells train, resume after a stop, and are reported; nothing else runs its code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from in_process import asapbench
from small_runs import DB, made_once, query, recorded, run, start, wait_until

PLUGIN = Path(__file__).with_name("my_rules.py")
SUITE = """\
[suite]
name = "mine"
plugins = ["my_rules.py"]

[defaults]
dataset = { name = "digits", train_size = 320 }
epochs = 3
batch_size = 32

[[grid]]
model = "tower"
rule = { name = "asfa", k = [1, 2] }
optimizer = "rmsprop"
schedule = "halving"
lr = 1e-3
"""

OTHER = """\
from asapbench.suite.entries import ScheduleEntry
entry = ScheduleEntry("other", "other", "a test", factor=lambda _choice, _epoch: 1)
"""


def write(folder: Path) -> None:
    """The suite and its plug-in."""
    (folder / "suites").mkdir()
    shutil.copy(PLUGIN, folder / "suites" / "my_rules.py")
    (folder / "suites" / "mine.toml").write_text(SUITE)


def train(folder: Path) -> None:
    """The suite, run for one of its two cells."""
    write(folder)
    run(folder, "run", "suites/mine.toml", "--only", "rule.k=1", "--keep-weights")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the suite and its plug-in."""
    write(tmp_path)
    return tmp_path


@pytest.fixture
def trained(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """The same, its suite run for one of two cells: trained once, a copy for each test that needs no path of it."""
    folder = made_once(tmp_path_factory, "a_plug_in_of_one_file", train)
    return shutil.copytree(folder, tmp_path, dirs_exist_ok=True)


@pytest.mark.slow
def test_a_run_that_is_stopped_resumes_from_another_folder_and_is_reported(folder: Path) -> None:
    process = start(folder, "run", "suites/mine.toml", "--set", "epochs=20")
    wait_until(lambda: recorded(folder) >= 1, "an epoch")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 3
    (folder / "other").mkdir()
    said = run(folder / "other", "resume", "--db", f"sqlite:///{folder / DB}")
    assert "Ended: 2 done" in said
    assert f"Loading the plug-in {folder / 'suites' / 'my_rules.py'}: {folder / DB} records that cells" in said
    report = run(folder, "report", "--suite", "suites/mine.toml")
    assert "AS+FA(k=1)" in report
    assert "Tower" in report


@pytest.mark.slow
def test_results_record_name_version_and_digest_and_identities_no_path(trained: Path) -> None:
    ((versions,),) = query(trained, "SELECT versions FROM provenance")
    assert json.loads(versions)["rule asfa"].startswith("my_rules 0.3 sha256:")
    ((cell,),) = query(trained, "SELECT id FROM cell ORDER BY id")
    shutil.copytree(trained / "suites", trained / "other" / "moved")
    said = asapbench("run", str(trained / "other" / "moved" / "mine.toml"), "--only", "rule.k=1", "--dry-run")
    assert cell[:10] in said.out


@pytest.mark.slow
def test_a_plug_in_that_has_moved_is_named_again(tmp_path: Path) -> None:
    train(tmp_path)
    os.rename(tmp_path / "suites" / "my_rules.py", tmp_path / "moved.py")
    said = run(tmp_path, "rerun", "mine", status=2)
    assert 'suite "mine": was run with a plug-in' in said
    assert "my_rules.py: there is no such plug-in file" in said
    assert "Ended: 1 done" in run(tmp_path, "rerun", "mine", "--plugin", "moved.py")
    assert f"loads the plug-in {tmp_path / 'moved.py'}" in run(tmp_path, "rerun", "mine", "--dry-run")


def test_a_suite_takes_the_plug_in_that_the_command_names_for_one_that_has_moved(folder: Path) -> None:
    os.rename(folder / "suites" / "my_rules.py", folder / "moved.py")
    fault = f"suites/mine.toml:3:12: {folder / 'suites' / 'my_rules.py'}: there is no such plug-in file"
    assert fault in run(folder, "run", "suites/mine.toml", "--dry-run", status=2)
    assert "2 cells" in run(folder, "run", "suites/mine.toml", "--dry-run", "--plugin", "moved.py")
    (folder / "other.py").write_text(OTHER)
    said = run(folder, "run", "suites/mine.toml", "--dry-run", "--plugin", "other.py", status=2)
    assert fault in said
    assert 'unknown model "tower"' in said


@pytest.mark.slow
def test_only_training_loads_what_a_database_names(tmp_path: Path) -> None:
    train(trained := tmp_path)
    (trained / "suites" / "my_rules.py").write_text("raise SystemExit('the plug-in was run')")
    ((cell,),) = query(trained, "SELECT id FROM cell")
    said = {
        command: asapbench(command, *arguments, "--db", f"sqlite:///{trained / DB}")
        for command, arguments in {
            "status": [],
            "show": [cell[:10]],
            "report": ["--suite", "mine"],
            "export": [str(trained / "copy.sqlite")],
            "resume": ["--dry-run"],
            "rerun": ["mine", "--dry-run"],
        }.items()
    }
    said["merge"] = asapbench("merge", str(trained / DB), "--db", f"sqlite:///{trained / 'merged.sqlite'}")
    assert {command: (one.status, one.err) for command, one in said.items()} == dict.fromkeys(said, (0, ""))
    assert "asfa (k = 1)" in said["show"].out
    assert "Left out: cells" in said["status"].out
    assert "Left out: cells" in said["report"].out
    plugin = trained / "suites" / "my_rules.py"
    for command in ("resume", "rerun"):
        assert "Left out: cells" in said[command].out
        assert f"this command loads the plug-in {plugin}, which the database names" in said[command].out
    filtered = asapbench("resume", "--only", "rule.k=1", "--dry-run", "--db", f"sqlite:///{trained / DB}")
    assert (filtered.status, filtered.out) == (2, "")
    assert "Left out: cells" in filtered.err
    for name in ("copy.sqlite", "merged.sqlite"):
        with closing(sqlite3.connect(trained / name)) as connection:
            ((config,),) = connection.execute("SELECT config FROM cell").fetchall()
        assert "my_rules" not in config


@pytest.mark.slow
def test_a_report_warns_of_results_from_several_versions_of_a_plug_in(trained: Path) -> None:
    with (trained / "suites" / "my_rules.py").open("a") as plugin:
        plugin.write("# changed\n")
    run(trained, "run", "suites/mine.toml", "--only", "rule.k=1", "--seeds", "0-1")
    said = " ".join(run(trained, "report", "--suite", "suites/mine.toml").split())
    assert "Results of the rule asfa come from different versions of its plug-in" in said


@pytest.mark.slow
def test_bench_and_kept_weights_work_with_a_plug_in(trained: Path) -> None:
    ((cell,),) = query(trained, "SELECT id FROM cell")
    assert "recorded" in run(trained, "evaluate", cell[:10], "--plugin", "suites/my_rules.py")
    few = ("--only", "rule.k=1", "--seconds", "0.1", "--rounds", "1", "--no-eager")
    said = run(trained, "bench", "suites/mine.toml", *few)
    assert "AS+FA" in said
