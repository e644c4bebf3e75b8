"""What is looked at on a node before it gets cells, and the worker process behind an actor; without a cluster."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from asapbench.errors import WorkerError
from asapbench.machine.slots import Slot
from asapbench.running.launch import plan
from asapbench.running.ray_node import Needs, NodeWorker, what_is_missing
from asapbench.running.selection import Request, Selected
from asapbench.running.settings import RunSettings
from asapbench.suite.catalog import DATASETS
from asapbench.suite.load import load
from asapbench.worker.files import Files
from asapbench.worker.protocol import EVENT, Ready, Stop


@pytest.fixture
def needs(tmp_path: Path) -> Needs:
    mark = Files(tmp_path / "asapbench.sqlite.files").mark()
    mark.parent.mkdir(parents=True)
    mark.touch()
    return Needs(mark, tmp_path / "data", (DATASETS["digits"].choose({}),))


def test_a_node_that_has_everything_lacks_nothing(needs: Needs) -> None:
    assert what_is_missing(needs) is None


def test_a_node_without_the_runs_folder_says_which_it_is(needs: Needs) -> None:
    needs.mark.unlink()
    said = what_is_missing(needs)
    assert said is not None
    assert said.startswith(f"{needs.mark.parent.parent} is not the same folder there as here")


def test_a_node_that_cannot_look_for_the_runs_folder_says_so_too(needs: Needs, tmp_path: Path) -> None:
    said = what_is_missing(replace(needs, mark=tmp_path / ("x" * 300) / "logs" / "mark"))
    assert said is not None
    assert "is not the same folder there as here" in said


def test_a_node_of_another_version_says_both(needs: Needs) -> None:
    said = what_is_missing(replace(needs, version="9.9"))
    assert said is not None
    assert "and 9.9 here" in said


def test_a_node_without_the_data_says_what_any_command_says(needs: Needs) -> None:
    said = what_is_missing(replace(needs, datasets=(DATASETS["mnist"].choose({}),)))
    assert said is not None
    assert "asapbench data prepare mnist" in said


def test_a_node_without_a_plug_in_names_its_file(needs: Needs, tmp_path: Path) -> None:
    said = what_is_missing(replace(needs, plugins=(str(tmp_path / "mine.py"),)))
    assert said is not None
    assert said.startswith(f"{tmp_path / 'mine.py'}: there is no such plug-in file")


def test_two_runs_leave_two_marks_and_take_their_own_away(tmp_path: Path) -> None:
    files = Files(tmp_path)
    first, second = files.mark(), files.mark()
    assert first != second
    first.parent.mkdir()
    first.touch()
    files.remove_logs()
    assert not first.exists()


def test_events_come_in_order_and_the_end_last(tmp_path: Path) -> None:
    worker = NodeWorker(Slot(0, "cpu", node="here"), tmp_path / "0.log")
    said = worker.receive()
    assert [type(EVENT.validate_json(event)) for event in said.events] == [Ready]
    assert said.end is None
    worker.send(Stop().model_dump_json())
    worker.kill()
    said = worker.receive()
    assert said.events == ()
    assert said.end is not None
    assert "killed by SIGKILL" in said.end.text
    assert said.end.how == "killed"
    worker.close()


def test_a_slots_name_tells_its_node() -> None:
    assert Slot(3, "cpu", node="seven").name == "cpu@seven"
    assert Slot(3, "cuda", gpu="GPU-1", node="seven").name == "cuda@seven GPU-1"


def test_slots_are_what_a_nodes_resources_have_room_for() -> None:
    kind = pytest.importorskip("asapbench.running.ray_executor", reason="needs the extra `ray`").Kind
    node = {"CPU": 7.0, "GPU": 2.0}
    assert kind("cpu", None, 2).on(node) == 3
    assert kind("cuda", 3, 1).on(node) == 6
    assert kind("cuda", None, 1).on({"CPU": 7.0}) == 0
    assert kind("cpu", None, 2).resources() == {"num_cpus": 2, "num_gpus": 0}
    for share in (1, 2, 3, 7):
        taken = kind("cuda", share, 1).resources()["num_gpus"]
        assert taken * share <= 1 < taken * (share + 1), "so many fit on a GPU, and no more"
        assert taken * 1e4 == pytest.approx(round(taken * 1e4)), "Ray takes no finer fraction"


def test_slots_share_the_cores_of_their_node_to_compile_with() -> None:
    module = pytest.importorskip("asapbench.running.ray_executor", reason="needs the extra `ray`")
    node = module._Node("seven", room=6, cores=16)
    slot = node.slot(3, module.Kind("cuda", 3, 1))
    assert (slot.number, slot.device, slot.node, slot.compile_threads) == (3, "cuda", "seven", 2)
    assert module._Node("none", room=2, cores=0).slot(0, module.Kind("cuda", 2, 1)).compile_threads == 1


def test_without_ray_the_error_is_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    suite = load("quickstart")
    with pytest.raises(WorkerError, match=r'pip install "\.\[ray\]" in the clone'):
        plan(None, [Selected("quickstart", suite.source, suite.cells)], Request(db="", run=RunSettings(executor="ray")))
