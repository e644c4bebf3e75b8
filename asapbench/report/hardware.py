"""What trainings ran on, in a few words: times of different hardware are never pooled or compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asapbench.store import Provenance

_OPTIONS = {"compiled": (True, "--compile"), "cuda_graphs": (True, "--cuda-graphs"), "deterministic": (False, "--fast")}
"""By the name of a recorded setting of training the value that reports name, and its option."""


def hardware_text(hardware: Mapping[str, Any], *, device: str) -> str:
    """The GPU for a cell that ran on one, else the processor and its cores.

    Which one of a machine with several kinds of GPU is not recorded: there the device is a part of the text.

    >>> hardware_text({"processor": "Xeon", "cores": 8, "gpus": ["H100", "H100"]}, device="cuda GPU-1")
    'H100'
    >>> hardware_text({"gpus": ["H100", "A100"]}, device="cuda GPU-1")
    'H100 or A100 (GPU-1)'
    """
    gpus = hardware.get("gpus")
    if device.startswith("cuda") and isinstance(gpus, list) and gpus:
        kinds = list(dict.fromkeys(map(str, gpus)))
        which = device.removeprefix("cuda").strip() if len(kinds) > 1 else ""
        return " or ".join(kinds) + (f" ({which})" if which else "")
    cores = hardware.get("cores")
    return f"{hardware.get('processor', 'unknown processor')}{f', {cores} cores' if cores else ''}"


def options_text(hardware: Mapping[str, Any]) -> str:
    """The options of training that change its time and its memory, as far as they are recorded.

    >>> options_text({"options": {"compiled": True, "cuda_graphs": True, "deterministic": True}})
    '--compile --cuda-graphs'
    """
    recorded = hardware.get("options")
    if not isinstance(recorded, dict):
        return ""
    return " ".join(option for name, (value, option) in _OPTIONS.items() if recorded.get(name) is value)


def ran_on(ran: Provenance, *, device: str) -> str:
    """The hardware, the version of torch and the options of training, where these are recorded."""
    torch = f"torch {ran.versions.get('torch', 'unknown')}"
    return ", ".join(filter(None, (hardware_text(ran.hardware, device=device), torch, options_text(ran.hardware))))
