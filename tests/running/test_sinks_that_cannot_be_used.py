"""A sink that cannot be used is one line, in a dry run too, without a password, and nothing is made."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from in_process import asapbench

from asapbench.running.sinks.feed import _Feed
from asapbench.store.records import without_passwords_of

SECRET = "p@w:secret"


class Refused:
    """A sink whose server says what was sent."""

    def __init__(self, uri: str) -> None: ...

    def close(self) -> None:
        raise OSError(f"http://u:p%40w%3Asecret@h refused u with {SECRET}")


def test_a_password_is_not_in_the_warning_of_a_sink_that_fails() -> None:
    uri = "http://u:p%40w%3Asecret@h"
    feed = _Feed("mlflow", uri, Refused(uri), lambda lineage: [])  # type: ignore[arg-type]
    feed.inbox.put(None)
    feed.run()
    assert feed.fault is not None
    assert feed.fault.endswith("(http://u:***@h refused u with ***)")


@pytest.mark.parametrize(
    "uri", ["http://u:pwsecret@h:1", "mysql://u:pwsecret@h/x?password=pwsecret", "mysql://u@h/x?a=b&password=pwsecret"]
)
def test_no_password_of_a_uri_is_in_an_error(uri: str) -> None:
    said = without_passwords_of(uri, f"cannot use {uri}: 'pwsecret' is wrong for {uri}/api")
    assert "pwsecret" not in said
    assert "***" in said


@pytest.mark.parametrize("command", [["run", "quickstart", "--dry-run"], ["run", "quickstart", "--slots", "1"]])
@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--csv-log", "nodir/x.csv", "there is no directory nodir"),
        ("--csv-log", "other.csv", "it is another file"),
        ("--tensorboard", "other.csv", "is not a folder"),
        ("--tensorboard", "other.csv/tb", "is not a folder"),
    ],
)
def test_a_dry_run_refuses_what_a_run_refuses(
    command: list[str], option: str, value: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if option == "--tensorboard":
        pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("mine\n")
    said = asapbench(*command, option, value)
    assert said.status == 2
    assert said.err.startswith(f"error: {option} {value}")
    assert reason in said.err


def test_a_dry_run_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = asapbench("run", "quickstart", "--dry-run", "--csv-log", "log.csv")
    assert said.status == 0, said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "uri",
    ["postgresql://u:pwsecret@127.0.0.1:1/x", "http://u:pwsecret@127.0.0.1:1", "nope://u:pwsecret@h"],
)
def test_an_mlflow_server_that_is_away_is_one_line_soon(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    said = asapbench("run", "quickstart", "--dry-run", "--mlflow", uri)
    assert said.status == 2
    assert said.err.startswith("error: --mlflow ")
    assert said.err.count("\n") == 1
    assert "pwsecret" not in said.err
    assert time.monotonic() - start < 90, "MLflow alone tries for four minutes; asapbench for 12 s"
    assert list(tmp_path.iterdir()) == []
