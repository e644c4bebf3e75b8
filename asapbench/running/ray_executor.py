"""A Ray cluster as an executor: the same worker processes, on the cluster's nodes.

An actor on a node starts one worker process there and forwards its events. The runner stays on its host and is the
one writer of the database. Checkpoints lie in a folder that all nodes see, so that a cell whose node died resumes on
another. Slots appear and vanish with the nodes that join and leave. This module alone imports Ray.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# Whatever log_to_driver is, Ray prints the cluster's errors to the terminal, such as the last lines of a dead node.
# It reads this variable when it is imported.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from asapbench.errors import SuiteError, WorkerError
from asapbench.machine.slots import Count, Slot, check_counts, compile_threads, cores
from asapbench.running.ray_node import Needs, NodeEvents, NodeWorker, what_is_missing
from asapbench.suite import plugins
from asapbench.worker.files import Files
from asapbench.worker.process import tail
from asapbench.worker.protocol import EVENT, Command
from asapbench.worker.supervision import Cause, Inbox, WorkerEvent

_LOOK_SECONDS = 2.0
"""Between two looks for nodes that joined or left."""
_ANSWER_SECONDS = 60.0
"""How long the nodes present at the start may take to answer whether they can train."""
_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 15.0
_LONGEST_DOUBT_SECONDS = 300.0
"""A node that lost a worker is asked again after two seconds, and after twice as long for each further loss."""
_STORE_BYTES = 100 * 2**20
"""Size of Ray's object store in a cluster started here: only events pass through it."""
_SHARE_STEP = 1e-4
"""Ray counts GPUs in ten-thousandths."""


@dataclass(frozen=True)
class Kind:
    """What a slot is: `device` cpu or cuda; `count` in all on CPUs, on each GPU otherwise."""

    device: str
    count: int | None
    threads: int

    def __str__(self) -> str:
        return "GPUs" if self.device == "cuda" else f"CPUs with --threads {self.threads}"

    def on(self, resources: dict[str, float]) -> int:
        """How many slots a node has room for."""
        if self.device == "cuda":
            return int(resources.get("GPU", 0)) * (self.count or 1)
        return int(resources.get("CPU", 0)) // self.threads

    def resources(self) -> dict[str, float]:
        """The resources that one slot takes of its node."""
        if self.device == "cuda":
            return {"num_cpus": 0, "num_gpus": int(1 / _SHARE_STEP / (self.count or 1)) * _SHARE_STEP}
        return {"num_cpus": self.threads, "num_gpus": 0}


@dataclass
class _Node:
    name: str
    room: int
    cores: int
    answer: Any = None
    """Ray's reference to the answer of `what_is_missing`, while it is awaited."""
    ask_at: float | None = 0.0
    """When the node is to be asked what is missing; None: it was asked, and has its slots or can have none."""
    slots: tuple[Slot, ...] = ()
    losses: int = 0

    def slot(self, number: int, kind: Kind) -> Slot:
        """One of `room` slots, with its share of the node's cores for compiling."""
        share = compile_threads(self.room, of=max(1, self.cores))
        return Slot(number, kind.device, kind.threads, node=self.name, compile_threads=share)

    def ask_again(self) -> None:
        """Schedule another question after a loss; several losses at a time count once."""
        if self.ask_at is None:
            self.losses += 1
            self.ask_at = time.monotonic() + min(2.0**self.losses, _LONGEST_DOUBT_SECONDS)


class RayExecutor:
    """The slots of the cluster at `address`; by default that of RAY_ADDRESS, else the latest one started on this host.

    If there is none, or for the address `local`, a cluster of this host is started for this run. Raises SuiteError for
    a device that no cluster offers, and WorkerError if there is no node to train on.
    """

    def __init__(
        self,
        files: Files,
        needs: Needs,
        *,
        address: str | None = None,
        device: str = "auto",
        count: Count = None,
        threads: int = 1,
    ) -> None:
        number = _check(device, count, threads)
        self._files, self._needs = files, needs
        self._nodes: dict[str, _Node] = {}
        self._lost: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._number = 0
        self._notices: list[str] = []
        needs.mark.parent.mkdir(parents=True, exist_ok=True)
        needs.mark.touch()
        try:
            if _connect(address) == "started":
                self._notices.append("a Ray cluster of this machine alone was started for this run")
            self.kind = Kind(_device(device), number, threads)
            self._update_nodes()
            asked = [node.answer for node in self._nodes.values()]
            ray.wait(asked, num_returns=len(asked), timeout=_ANSWER_SECONDS)
            self._admit()
            if not self._slots():
                raise WorkerError("; ".join([f"no node of the Ray cluster can train on {self.kind}", *self._notices]))
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots of every node that is alive and can train; at most `count` on CPUs."""
        self._remove_lost()
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._update_nodes()
            for node in self._admit():
                came = "answers again" if node.losses else "has joined the cluster"
                self._notices.append(f"node {node.name} {came}, with room for {node.room}")
        return self._slots()

    def notices(self) -> Sequence[str]:
        """Messages about nodes that joined, left or cannot train."""
        notices, self._notices = self._notices, []
        return notices

    def start(self, slot: Slot, inbox: Inbox) -> RayWorker:
        """Start an actor on the slot's node, with its own worker process."""
        node = next((node for node, found in self._nodes.items() if slot in found.slots))
        return RayWorker(slot, node=node, kind=self.kind, files=self._files, inbox=inbox, lost=self._lost)

    def close(self) -> None:
        """Leave the cluster, and stop it if it was started here."""
        ray.shutdown()
        self._files.remove_logs()

    def _slots(self) -> Sequence[Slot]:
        found = sorted((slot for node in self._nodes.values() for slot in node.slots), key=lambda slot: slot.number)
        return found if self.kind.device == "cuda" else found[: self.kind.count]

    def _remove_lost(self) -> None:
        """Remove slots whose worker was lost: the node may be dead before the cluster has noticed. A node that still
        answers gets new ones.
        """
        while not self._lost.empty():
            slot = self._lost.get()
            for node in self._nodes.values():
                if slot in node.slots:
                    node.slots = tuple(other for other in node.slots if other != slot)
                    node.ask_again()

    def _update_nodes(self) -> None:
        """Ask nodes that joined what is missing there; remove those that left."""
        self._looked = time.monotonic()
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        for node_id in self._nodes.keys() - alive.keys():
            node = self._nodes.pop(node_id)
            if node.slots or node.losses:
                self._notices.append(f"node {node.name} has left the cluster")
                if not self._slots():
                    self._notices.append(f"no node is left to train on {self.kind}: waiting for one")
        for node_id, found in alive.items():
            room = self.kind.on(found["Resources"])
            if room:
                node = self._nodes.setdefault(node_id, _Node(_name(found), room, int(found["Resources"].get("CPU", 0))))
                if node.ask_at is not None and self._looked >= node.ask_at:
                    look = ray.remote(what_is_missing).options(num_cpus=0, max_retries=0, **_pinned(node_id))
                    node.answer, node.ask_at = look.remote(self._needs), None

    def _admit(self) -> list[_Node]:
        """Create the slots of the nodes that lack nothing, one per node in turn; return these nodes."""
        ready = []
        for node in self._nodes.values():
            if node.answer is None or not ray.wait([node.answer], timeout=0)[0]:
                continue
            try:
                missing, answered = ray.get(node.answer), True
            except RayError as error:
                missing, answered = f"it cannot run asapbench: {_reason(error)}", False
            node.answer = None
            if missing is None:
                ready.append(node)
            elif answered or not node.losses:
                self._notices.append(f"node {node.name} is left out: {missing}")
            else:
                node.ask_again()
        for _ in range(max((node.room for node in ready), default=0)):
            for node in ready:
                if len(node.slots) < node.room:
                    node.slots += (node.slot(self._number, self.kind),)
                    self._number += 1
        return ready


class RayWorker:
    """One worker process on a node, behind its actor. A thread puts its events into `inbox`.

    If the runner loses contact with the actor, for any reason, the worker has ended: its cell resumes on another slot.
    """

    def __init__(
        self, slot: Slot, *, node: str, kind: Kind, files: Files, inbox: Inbox, lost: queue.SimpleQueue[Slot]
    ) -> None:
        self.slot, self._inbox, self._log, self._lost = slot, inbox, files.log(slot.number), lost
        self.ready = False
        self._ended_here = False
        self._end: Cause | None = None
        # `receive` blocks until the process sends something: it has a thread, so that other calls are served.
        actor = ray.remote(concurrency_groups={"events": 1})(NodeWorker)
        self._actor = actor.options(**kind.resources(), **_pinned(node)).remote(slot, self._log, plugins.sources())
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def send(self, command: Command) -> None:
        """Send a command; commands arrive in order."""
        self._actor.send.remote(command.model_dump_json())

    def kill(self) -> None:
        """End the process at once; a worker that is not ready may not even have an actor yet."""
        self._ended_here = True
        if self.ready and self._end is None:
            self._actor.kill.remote()
        else:
            ray.kill(self._actor)

    def close(self) -> None:
        """End an idle process, wait for it, and release its share of the node."""
        self._ended_here = True
        if self._end is None:
            with contextlib.suppress(RayError):  # the actor or its node is gone already
                ray.get(self._actor.close.remote(), timeout=_CLOSE_SECONDS)
        ray.kill(self._actor)
        self._thread.join()

    def cause_of_end(self) -> Cause:
        """What ended the process or the contact with it."""
        self._thread.join()
        assert self._end is not None
        return self._end

    def log_tail(self) -> str:
        """The end of the worker's log, which lies in the folder that all nodes see."""
        return tail(self._log)

    def _listen(self) -> None:
        while self._end is None:
            try:
                received: NodeEvents = ray.get(self._actor.receive.options(concurrency_group="events").remote())
            except RayError as error:
                if not self._ended_here:
                    self._lost.put(self.slot)
                received = NodeEvents((), Cause(f"the worker on {self.slot.node} was lost: {_reason(error)}", "lost"))
            for event in received.events:
                self._inbox.put(WorkerEvent(self, EVENT.validate_json(event)))
            self._end = received.end
        self._inbox.put(WorkerEvent(self, None))


def _check(device: str, count: Count, threads: int) -> int | None:
    """Check the options; return the number of slots asked for."""
    if device not in ("auto", "cpu", "cuda"):
        raise SuiteError(f"--device {device}: on a Ray cluster choose auto, cpu or cuda")
    if count == "auto":
        raise SuiteError("--slots auto: on a Ray cluster give a number, of cells in all on CPUs, on each GPU otherwise")
    check_counts(count, threads)
    return count


def planned(*, address: str | None, device: str, count: Count, threads: int) -> list[Slot]:
    """The slots of a run on the cluster, by its nodes' resources alone."""
    number = _check(device, count, threads)
    _connect(address)
    try:
        kind = Kind(_device(device), number, threads)
        room = sum(kind.on(node["Resources"]) for node in ray.nodes() if node["Alive"])
    finally:
        ray.shutdown()
    if not room:
        raise WorkerError(f"no node of the Ray cluster can train on {kind}")
    return [Slot(n, kind.device, threads) for n in range(room)][: None if kind.device == "cuda" else number]


def _connect(address: str | None) -> Literal["joined", "started"]:
    """Join a cluster as its driver; if there is none, start one with this host's cores and GPUs."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray prints a tip about it
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    found = _find(address)
    if found is None:
        ray.init("local", num_cpus=cores(), include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
        return "started"
    try:
        ray.init(found, **quiet)
    except (ConnectionError, RuntimeError) as error:
        raise WorkerError(f"the Ray cluster at {found} cannot be joined: {_first_line(error)}") from error
    return "joined"


def _find(address: str | None) -> str | None:
    """HOST:PORT of the cluster to join; None to start one.

    The address is tried first: Ray would wait for minutes at one where nothing listens, as after a restart of the host.
    """
    asked = address or os.environ.get("RAY_ADDRESS") or None
    if asked == "local":
        return None
    found = asked if asked not in (None, "auto") else _latest()
    host, _, port = (found or "").rpartition(":")
    if found is not None and (not port.isdigit() or not host or "/" in host):
        raise WorkerError(f"--address {found}: start the run on a node of the cluster, with --address HOST:PORT")
    try:
        if found is not None:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
            return found
    except (OSError, ValueError) as error:
        if asked is not None:
            raise WorkerError(f"no Ray cluster answers at {asked}: {_first_line(error)}") from error
    if asked is not None:
        raise WorkerError(f"--address {asked}: no Ray cluster is running here; `ray start --head` starts one")
    return None


def _latest() -> str | None:
    """The address of the latest cluster started on this host, from the file that `ray.init` documents."""
    folder = os.environ.get("RAY_TMPDIR") or (tempfile.gettempdir() if sys.platform == "linux" else "/tmp")
    file = Path(folder) / "ray" / "ray_current_cluster"
    return (file.read_text().strip() or None) if file.exists() else None


def _device(device: str) -> str:
    """`auto`: all GPUs of the cluster, else its CPUs."""
    if device != "auto":
        return device
    return "cuda" if any(node["Alive"] and node["Resources"].get("GPU") for node in ray.nodes()) else "cpu"


def _name(node: dict[str, Any]) -> str:
    """The node's own name if it has one, else its host's."""
    given, address = node["NodeName"], node["NodeManagerAddress"]
    return str(given if given != address else node["NodeManagerHostname"])


def _pinned(node: str) -> dict[str, Any]:
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _reason(error: RayError) -> str:
    """The most informative line of Ray's message: the last of a traceback, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1 if "Traceback" in str(error) else 0] if lines else type(error).__name__
