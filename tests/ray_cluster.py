"""A Ray cluster of several nodes on this machine, in a process of its own that takes orders as lines of JSON and ends
with its standard input: Ray's processes are then no children of the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


class RayCluster:
    """The cluster, as tests see it: a head without a CPU, and nodes of one CPU that are added and killed."""

    def __enter__(self) -> RayCluster:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address: str = self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=120)

    def add(self, name: str, **environment: str) -> int:
        """A node of one CPU; gives the pid of its raylet, the parent of all that runs there."""
        return self._order("add", name, environment)

    def kill(self, name: str) -> None:
        """The node's processes are killed at once; returns when the cluster has noticed."""
        self._order("kill", name)

    def remove_nodes(self) -> None:
        self._order("remove_nodes")

    def _order(self, *words: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise AssertionError("the Ray cluster has ended")


def main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
    nodes: dict[str, Any] = {}
    _say(cluster.address)
    for line in sys.stdin:
        order, *words = json.loads(line)
        answer = None
        if order == "add":
            name, environment = words
            nodes[name] = cluster.add_node(num_cpus=1, node_name=name, env_vars=environment or None, **SMALL)
            answer = nodes[name].all_processes["raylet"][0].process.pid
        elif order == "kill":
            cluster.remove_node(nodes.pop(words[0]), allow_graceful=False)
            cluster.wait_for_nodes(timeout=120)
        else:
            while nodes:
                cluster.remove_node(nodes.popitem()[1])
        _say(answer)
    cluster.shutdown()


def _say(answer: Any) -> None:
    print("answer", json.dumps(answer), flush=True)  # noqa: T201 - the channel to the tests


if __name__ == "__main__":
    main()
