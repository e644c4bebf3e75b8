"""Slots: places where one cell can train at a time. Found without importing torch."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from asapbench.errors import SuiteError
from asapbench.machine import control_groups, memory, processor
from asapbench.machine.devices import Gpu, gpus
from asapbench.machine.known_devices import DEVICES

Count = int | Literal["auto"] | None
"""Cells at a time: a number, as many as fit into memory ("auto"), or the device's default (None)."""


@dataclass(frozen=True)
class Slot:
    """One slot. `device` is torch's name inside the worker, `gpu` the UUID of the only GPU that the worker sees, `node`
    the cluster's name of the machine if it is another one. Torch's compiler may use `compile_threads` processes.
    """

    number: int
    device: str
    threads: int = 1
    gpu: str | None = None
    node: str | None = None
    compile_threads: int = 1

    @property
    def name(self) -> str:
        """The slot's name in progress and in the database."""
        return self._place if self.gpu is None else f"{self._place} {self.gpu}"

    @property
    def kind(self) -> str:
        """The device's kind, a key of `KINDS`."""
        return self.device.partition(":")[0]

    @property
    def memory(self) -> str:
        """The memory that it shares with other slots: a GPU's, by UUID, or the machine's."""
        return self.gpu or self._place

    @property
    def _place(self) -> str:
        return self.device if self.node is None else f"{self.device}@{self.node}"

    def environment(self) -> dict[str, str]:
        """The worker's environment: what must be set before torch is imported."""
        threads = str(self.threads)
        found = {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
            "PYTHONUNBUFFERED": "1",
        }
        if self.device == "cpu":
            found["CUDA_VISIBLE_DEVICES"] = ""
            found |= {name: os.environ.get(name, value) for name, value in _KEEPS_PAGES.items()}
        elif self.gpu is not None:
            found["CUDA_VISIBLE_DEVICES"] = self.gpu
        return found


_KEEPS_PAGES = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""Otherwise glibc returns a step's tensors to the system, and the next step takes zeroed pages: a tenth of its time."""
_MOST = 1024
"""Maximum of slots per device and of threads per slot: a larger number is a mistake."""
_MOST_COMPILING = 32
"""Maximum of compiling processes per slot, as in torch itself: each of them imports torch."""


def slots(device: str = "auto", *, count: Count = None, threads: int = 1) -> list[Slot]:
    """Slots on `device`: auto (all GPUs, else CPU cores), cpu, cuda, cuda:N or mps. `count`: in total on a CPU or MPS,
    per GPU otherwise; auto: as many as there are cores for, although memory may allow fewer at a time.
    Raises SuiteError for a device that this machine lacks.
    """
    check_counts(count, threads)
    made = _slots(device, count=count, threads=threads)
    return [replace(slot, compile_threads=compile_threads(len(made))) for slot in made]


def _slots(device: str, *, count: Count, threads: int) -> list[Slot]:
    number = None if count == "auto" else count
    found = gpus() if device == "auto" or device.startswith("cuda") else []
    if device == "cpu" or (device == "auto" and not found):
        return [Slot(n, "cpu", threads) for n in range(number or max(1, cores() // threads))]
    if device == "mps":
        if (platform.system(), platform.machine()) != ("Darwin", "arm64"):
            raise SuiteError("--device mps: this is not a Mac with an Apple GPU; use cpu")
        return [Slot(n, "mps", threads) for n in range(number or 1)]
    return _on_gpus(device, found, count=count, threads=threads)


def check_counts(count: Count, threads: int) -> None:
    """Raises SuiteError for `--slots` or `--threads` below 1 or above 1024."""
    for option, number in (("--slots", count), ("--threads", threads)):
        if isinstance(number, int) and not 1 <= number <= _MOST:
            raise SuiteError(f"{option} {number}: " + ("at least 1" if number < 1 else f"at most {_MOST}"))


def cores() -> int:
    """CPU cores that this process may use, rounded down within a container's or a job's limit."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([allowed, *control_groups.cores()])))


def compile_threads(slots: int, *, of: int | None = None) -> int:
    """Compiling processes per slot if all `slots` compile at once, on a machine with `of` cores (default: this one).

    They only divide the work: compiled code is the same for any number.
    """
    return min(_MOST_COMPILING, max(1, (of or cores()) // slots))


def _on_gpus(device: str, found: list[Gpu], *, count: Count, threads: int) -> list[Slot]:
    name, _, index = device.partition(":")
    if name not in ("auto", "cuda") or not re.fullmatch(r"\d{0,4}", index):
        known = ", ".join(known.short for known in DEVICES)
        raise SuiteError(f"--device {device}: choose auto, cpu, cuda, cuda:N or mps; run --dry-run also takes {known}")
    if not found:
        raise SuiteError(f"--device {device}: no NVIDIA GPU is visible here; `asapbench doctor` lists what it finds")
    if index and int(index) >= len(found):
        raise SuiteError(f"--device {device}: there are {len(found)} GPUs, counted from 0")
    chosen = [found[int(index)]] if index else found
    # A worker keeps a core busy with launching kernels. A GPU whose free memory is unknown gets one cell.
    most = max(1, cores() // (threads * len(chosen))) if count == "auto" else count or 1
    each = {gpu.uuid: 1 if count == "auto" and gpu.free_bytes is None else most for gpu in chosen}
    places = [uuid for uuid, number in each.items() for _ in range(number)]
    return [Slot(n, "cuda", threads, uuid) for n, uuid in enumerate(places)]


def hardware_of(slot: Slot) -> str | None:
    """The name of the slot's GPU or processor; None where it is not known here."""
    if slot.node is not None:
        return None
    if slot.kind == "cpu":
        return processor.name()
    return next((gpu.name for gpu in gpus() if gpu.uuid == slot.gpu), None) if slot.gpu else None


def free_bytes(slots: Sequence[Slot]) -> dict[str, int]:
    """The bytes free now in each memory that `slots` use, as far as they are reported."""
    found = {gpu.uuid: gpu.free_bytes for gpu in gpus()} if any(slot.gpu for slot in slots) else {}
    free = {slot.memory: memory.available() if slot.kind == "cpu" else found.get(slot.memory) for slot in slots}
    return {name: number for name, number in free.items() if number is not None}
