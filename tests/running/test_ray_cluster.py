"""A run on a real Ray cluster of several nodes: nodes and drivers that die, and nodes that cannot train."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import psutil
import pytest
from ray_cluster import RayCluster
from small_runs import curves, query, recorded, run, start, wait_until, workers, write_suite

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: the extra `ray`"),
]

STARTED = """
SELECT device FROM attempt JOIN epoch_metrics ON attempt.id = attempt_id WHERE state = 'running'
GROUP BY attempt.id HAVING max(epoch) = 1
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster() as found:
        yield found


@pytest.fixture
def node(cluster: RayCluster) -> Iterator[Callable[..., int]]:
    """Add a node of one CPU and return its raylet's pid; it is removed after the test."""
    yield cluster.add
    cluster.remove_nodes()


def on_cluster(cluster: RayCluster) -> tuple[str, ...]:
    return "--executor", "ray", "--address", cluster.address


def test_the_cells_of_a_node_that_dies_resume_on_another_to_the_same_bits(cluster, node, undisturbed, tmp_path) -> None:
    nodes = {name: node(name) for name in ("one", "two")}
    write_suite(tmp_path)
    process = start(tmp_path, "run", "small.toml", *on_cluster(cluster), "--checkpoint-every", "0.2s")
    ((device,), *_) = wait_until(
        lambda: query(tmp_path, STARTED) if recorded(tmp_path) else [], "a cell after its first epoch"
    )
    victim = device.partition("@")[2]
    started = psutil.Process(nodes[victim]).children(recursive=True)
    cluster.kill(victim)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "Ended: 4 done" in output
    assert "Traceback" not in output
    assert "raylet" not in output, "Ray itself prints nothing to the terminal"
    assert curves(tmp_path) == undisturbed[1]
    assert query(tmp_path, "SELECT count(*) FROM attempt WHERE state = 'done'") == [(4,)]
    lost = query(tmp_path, "SELECT device, error FROM attempt WHERE state = 'interrupted'")
    assert [device for device, _ in lost] == [f"cpu@{victim}"]
    assert f"the worker on {victim} was lost" in lost[0][1]
    assert not workers(tmp_path)
    wait_until(lambda: not any(each.is_running() for each in started), "the processes of the dead node to end")
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]


def test_a_run_whose_last_node_has_died_waits_for_one_that_joins(cluster, node, undisturbed, tmp_path) -> None:
    node("one")
    write_suite(tmp_path)
    process = start(tmp_path, "run", "small.toml", *on_cluster(cluster), "--only", "rule=bp", "--seeds", "0")
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    os.kill(workers(tmp_path)[0], signal.SIGSTOP)  # on a fast machine the cell would end before its node does
    cluster.kill("one")
    node("two")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    for said in ("node one has left", "no node is left to train on CPUs", "node two has joined", "Ended: 1 done"):
        assert said in output
    assert "raylet" not in output
    assert query(tmp_path, "SELECT device, state FROM attempt ORDER BY number") == [
        ("cpu@one", "interrupted"),
        ("cpu@two", "done"),
    ]
    assert len(curves(tmp_path)) == 3
    assert set(curves(tmp_path)) <= set(undisturbed[1])


def test_a_killed_driver_leaves_no_process_and_its_cells_resume(cluster, node, undisturbed, tmp_path) -> None:
    node("one")
    node("two")
    write_suite(tmp_path)
    process = start(tmp_path, "run", "small.toml", *on_cluster(cluster), "--checkpoint-every", "0.2s")
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    os.kill(workers(tmp_path)[0], signal.SIGSTOP)  # one that hangs ends, too
    process.kill()
    process.communicate()
    wait_until(lambda: not workers(tmp_path), "the workers to end with their driver")
    run(tmp_path, "resume", "--slots", "2")
    assert curves(tmp_path) == undisturbed[1]
    assert query(tmp_path, "SELECT count(*) FROM attempt WHERE state = 'done'") == [(4,)]


def test_a_signal_stops_a_run_on_a_cluster_cleanly(cluster, node, undisturbed, tmp_path) -> None:
    node("one")
    write_suite(tmp_path)
    process = start(tmp_path, "run", "small.toml", *on_cluster(cluster))
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 3, output
    assert f"asapbench resume small {' '.join(on_cluster(cluster))}" in output
    assert not workers(tmp_path)
    assert query(tmp_path, "SELECT count(*) FROM attempt WHERE state = 'running'") == [(0,)]
    run(tmp_path, "resume", "small", *on_cluster(cluster))
    assert curves(tmp_path) == undisturbed[1]


def test_a_node_that_cannot_train_is_left_out_with_the_reason(cluster, node, tmp_path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "sitecustomize.py").write_text("import asapbench\nasapbench.__version__ = '0.0.1'\n")
    node("old", PYTHONPATH=os.pathsep.join([str(old), *sys.path]))
    write_suite(tmp_path)
    cells = ("--only", "rule=bp", "--seeds", "0", "--set", "epochs=1")
    reason = "node old is left out: asapbench 0.0.1 is installed there"
    output = run(tmp_path, "run", "small.toml", *on_cluster(cluster), *cells, status=2)
    assert "error: no node of the Ray cluster can train on CPUs with --threads 1; " in output
    assert reason in output
    node("new")
    output = run(tmp_path, "run", "small.toml", *on_cluster(cluster), *cells)
    assert reason in output
    assert query(tmp_path, "SELECT device, state FROM attempt") == [("cpu@new", "done")]


def test_what_a_cluster_has_no_room_for_is_one_error(cluster, node, tmp_path) -> None:
    node("one")
    write_suite(tmp_path)
    for options, says in (
        (("--threads", "2"), "can train on CPUs with --threads 2"),
        (("--device", "cuda"), "can train on GPUs"),
        (("--device", "cuda:0"), "on a Ray cluster choose auto, cpu or cuda"),
    ):
        assert says in run(tmp_path, "run", "small.toml", *on_cluster(cluster), *options, "--dry-run", status=2)
    assert "on 1 slot" in run(tmp_path, "run", "small.toml", *on_cluster(cluster), "--dry-run")


def test_an_address_without_a_cluster_is_one_error(tmp_path) -> None:
    write_suite(tmp_path)
    address = ("--executor", "ray", "--address")
    assert "with --address HOST:PORT" in run(tmp_path, "run", "small.toml", *address, "ray://here:10001", status=2)
    output = run(tmp_path, "run", "small.toml", *address, "127.0.0.1:1", status=2)
    assert "no Ray cluster answers at 127.0.0.1:1: " in output
    assert "with --address HOST:PORT" in run(tmp_path, "run", "small.toml", *address, "nonsense", status=2)


def test_a_cluster_of_this_machine_alone_is_started_on_request(undisturbed, tmp_path) -> None:
    write_suite(tmp_path)
    output = run(tmp_path, "run", "small.toml", "--only", "rule=bp", "--executor", "ray", "--address", "local")
    assert "a Ray cluster of this machine alone was started for this run" in output
    assert len(curves(tmp_path)) == 6
    assert set(curves(tmp_path)) <= set(undisturbed[1])
    assert not workers(tmp_path)
