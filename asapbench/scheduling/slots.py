"""Slots: the places where one cell can train at a time. Found without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass

from asapbench.errors import SuiteError


@dataclass(frozen=True)
class Slot:
    """`device` is torch's name of it inside the worker; `gpu` the UUID that the worker is confined to; `node` the
    cluster's name of its machine, if it is not this one.
    """

    number: int
    device: str
    threads: int = 1
    gpu: str | None = None
    node: str | None = None

    @property
    def name(self) -> str:
        """How progress and the database name it."""
        device = self.device if self.node is None else f"{self.device}@{self.node}"
        return device if self.gpu is None else f"{device} {self.gpu}"

    def environment(self) -> dict[str, str]:
        """The worker's environment: threads must be set before torch is imported."""
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
        elif self.gpu is not None:
            found["CUDA_VISIBLE_DEVICES"] = self.gpu
        return found


def slots(device: str = "auto", *, count: int | None = None, threads: int = 1) -> list[Slot]:
    """Slots on `device`: auto (all GPUs, else CPU cores), cpu, cuda, cuda:N or mps. `count`: in all on a CPU or MPS,
    on each GPU otherwise. Raises SuiteError for a device that is not here.
    """
    check_counts(count, threads)
    gpus = _gpus() if device == "auto" or device.startswith("cuda") else []
    if device == "cpu" or (device == "auto" and not gpus):
        number = count or max(1, cores() // threads)
        return [Slot(n, "cpu", threads) for n in range(number)]
    if device == "mps":
        if (platform.system(), platform.machine()) != ("Darwin", "arm64"):
            raise SuiteError("--device mps: this is not an Apple machine with its own GPU; use cpu")
        return [Slot(n, "mps", threads) for n in range(count or 1)]
    return _on_gpus(device, gpus, per_gpu=count or 1, threads=threads)


def check_counts(count: int | None, threads: int) -> None:
    """Raises SuiteError for `--slots` or `--threads` below 1."""
    if count is not None and count < 1:
        raise SuiteError(f"--slots {count}: at least 1")
    if threads < 1:
        raise SuiteError(f"--threads {threads}: at least 1")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_gpus(device: str, gpus: list[str], *, per_gpu: int, threads: int) -> list[Slot]:
    name, _, index = device.partition(":")
    if name not in ("auto", "cuda") or (index and not index.isdigit()):
        raise SuiteError(f"--device {device}: there are auto, cpu, cuda, cuda:N and mps")
    if not gpus:
        raise SuiteError(f"--device {device}: no NVIDIA GPU is visible here; `asapbench doctor` says what it sees")
    if index and int(index) >= len(gpus):
        raise SuiteError(f"--device {device}: there are {len(gpus)} GPUs, counted from 0")
    chosen = [gpus[int(index)]] if index else gpus
    return [Slot(n, "cuda", threads, gpu) for n, gpu in enumerate(gpu for gpu in chosen for _ in range(per_gpu))]


def _gpus() -> list[str]:
    """UUIDs of the GPUs that CUDA_VISIBLE_DEVICES leaves, in its order."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    found = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("GPU-")]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    chosen = []
    for item in filter(None, (part.strip() for part in visible.split(","))):
        chosen += [found[int(item)]] if item.isdigit() and int(item) < len(found) else []
        chosen += [uuid for uuid in found if not item.isdigit() and uuid.startswith(item)]
    return chosen
