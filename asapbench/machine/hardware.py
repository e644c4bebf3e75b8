"""Describes this machine and this installation for provenance, and the commit if asapbench runs from a checkout."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from asapbench import __version__
from asapbench.machine import processor
from asapbench.machine.devices import nvidia_driver

_PACKAGES = ("torch", "torchvision", "numpy", "SQLAlchemy")


def versions() -> dict[str, str]:
    """Versions of asapbench, Python and what affects results; NVIDIA's too if torch is loaded and has a GPU."""
    found = {"asapbench": __version__, "python": platform.python_version()}
    found |= {package: metadata.version(package) for package in _PACKAGES}
    torch = _torch_with_gpus()
    if torch is None:
        return found
    nvidia = {
        "cuda": torch.version.cuda,
        "cudnn": cudnn_version(torch.backends.cudnn.version()),
        "nvidia_driver": nvidia_driver(),
    }
    return found | {name: version for name, version in nvidia.items() if version is not None}


def cudnn_version(number: int | None) -> str | None:
    """The version that `torch.backends.cudnn.version` returns as one number, since cuDNN 9.

    >>> cudnn_version(91900)
    '9.19.0'
    """
    return None if number is None else f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def hardware() -> dict[str, Any]:
    """Processor, cores, memory, environment variables that change bits and, once torch is loaded, its GPUs."""
    import psutil

    found: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": processor.name(),
        "instruction_sets": processor.instruction_sets(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }
    if changed := processor.overrides():
        found["overrides"] = changed
    if torch := _torch_with_gpus():
        count = torch.cuda.device_count()
        found["gpus"] = [torch.cuda.get_device_name(number) for number in range(count)]
    return found


def _torch_with_gpus() -> Any:
    """The torch module if it is loaded and sees an NVIDIA GPU; else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_available() else None


def commit() -> tuple[str | None, bool | None]:
    """The checkout's commit and whether its tracked files differ from it; (None, None) for an installed package."""
    code = Path(__file__).resolve()
    root = code.parent.parent.parent
    if not (root / ".git").exists():
        return None, None
    try:
        # Fails if the repository does not contain this code: a package may be installed inside another repository.
        _git(root, "ls-files", "--error-unmatch", str(code))
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return head, bool(changed)


def _git(root: Path, *arguments: str) -> str:
    # Variables such as GIT_DIR, set in a hook, name another repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", *arguments]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
