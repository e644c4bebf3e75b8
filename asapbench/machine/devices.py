"""Devices and their free memory, found without importing torch. GPUs are identified by UUID."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU. `free_bytes` is None if it does not report it, for example if it shares the machine's memory;
    `name` is the one that torch has for it, None if it does not report one.
    """

    uuid: str
    free_bytes: int | None = None
    name: str | None = None


def gpus() -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES allows, in its order."""
    found = []
    for line in _lines("uuid,memory.free,name"):
        uuid, mebibytes, name = (part.strip() for part in [*line.split(",", 2), "", ""][:3])
        if uuid.startswith("GPU-"):
            found.append(Gpu(uuid, int(mebibytes) * 2**20 if mebibytes.isdigit() else None, name or None))
    return _visible(found)


def nvidia_driver() -> str | None:
    """The version of NVIDIA's driver, one for all GPUs; None if `nvidia-smi` does not report it."""
    return next((line for line in _lines("driver_version") if re.fullmatch(r"\d[\d.]*", line)), None)


def _lines(properties: str) -> list[str]:
    """The output of `nvidia-smi` for `properties`, a line per GPU, possibly with warnings; empty if it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, f"--query-gpu={properties}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines()]


def _visible(found: list[Gpu]) -> list[Gpu]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    chosen = []
    for item in filter(None, (part.strip() for part in visible.split(","))):
        number = int(item) if re.fullmatch(r"\d{1,4}", item) else None
        chosen += [gpu for place, gpu in enumerate(found) if place == number or gpu.uuid.startswith(item)]
    return chosen
