"""`data list` and `doctor` are whole in a terminal of 60 or 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from commands import Commands

from asapbench import doctor


@pytest.fixture(params=[60, 80])
def width(request: pytest.FixtureRequest, asapbench: Commands, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setattr("asapbench.cli.text.is_terminal", lambda _stream: True)
    return int(request.param)


def test_the_data_sets_are_one_table(width: int, asapbench: Commands) -> None:
    heading, titles, *rows = asapbench("data", "list").out.splitlines()
    assert all(len(line) <= width for line in (heading, titles, *rows))
    assert titles.split()[0] == "name"
    assert [row.split()[0] for row in rows] == ["cifar10", "cifar100", "digits", "mnist", "svhn", "tiny_imagenet"]


def test_each_finding_is_wrapped_beside_its_subject(
    width: int, asapbench: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_torch", lambda: iter(()))
    lines = asapbench("doctor").out.splitlines()
    assert [line for line in lines if len(line) > width and " " in line.strip()] == [], "only a path may be longer"
    assert [line for line in lines if line.startswith("note   data sets  not in data: cifar10, cifar100, mnist")]
    assert " ".join(" ".join(lines).split()).count("data prepare cifar10 cifar100 mnist svhn tiny_imagenet") == 1


def test_torch_is_imported_while_the_rest_is_examined(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(doctor, "_torch", lambda: order.append("torch starts") or _reported(order))
    found = list(doctor.diagnose(db=str(tmp_path / "x"), data=tmp_path, files=None))
    assert (order[0], found[-1].subject) == ("torch starts", "torch")


def _reported(order: list[str]) -> Iterator[doctor.Finding]:
    order.append("torch is reported")
    yield doctor.Finding("ok", "torch", "here")
