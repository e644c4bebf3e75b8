"""What cells ran on, each different one once: hardware, versions and commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asapbench.report.hardware import hardware_text, options_text, ran_on
from asapbench.report.page.content import Content, Trained

if TYPE_CHECKING:
    from asapbench.store import Provenance


@dataclass(frozen=True)
class Environment:
    """One of them. `name` is short, as in `E1`; `lines` pair what it says with the text."""

    name: str
    hardware: str
    lines: tuple[tuple[str, str], ...]


def environments(content: Content) -> tuple[list[Environment], dict[str, list[str]]]:
    """All of them in the order of the cells, and by identity of a cell the names of those that it ran on."""
    found: dict[str, Environment] = {}
    of_cells: dict[str, list[str]] = {}
    for one in content.trained:
        for ran in one.ran:
            key = repr(ran)
            found.setdefault(key, _environment(f"E{len(found) + 1}", ran))
            of_cells.setdefault(one.result.cell.id, []).append(found[key].name)
    return list(found.values()), of_cells


def hardware_of(one: Trained) -> str | None:
    """What all attempts of a cell ran on, in a few words; None if it changed, or if that is not known."""
    texts = {ran_on(ran, device=one.result.attempt.device) for ran in one.ran}
    return texts.pop() if len(texts) == 1 else None


def _environment(name: str, ran: Provenance) -> Environment:
    hardware = dict(ran.hardware)
    gpus = hardware.pop("gpus", None)
    overrides = hardware.pop("overrides", None)
    memory = hardware.pop("memory_bytes", None)
    hardware.pop("options", None)
    lines = {
        "Processor": f"{hardware.pop('processor', 'unknown')}, {hardware.pop('cores', '?')} cores",
        "GPUs": ", ".join(map(str, gpus)) if isinstance(gpus, list) else None,
        "Memory": f"{memory / 2**30:.0f} GiB" if isinstance(memory, int) else None,
        "System": " ".join(str(hardware.pop(key, "")) for key in ("system", "machine")).strip(),
        "Commit": f"{ran.commit}{' with changes' if ran.dirty else ''}" if ran.commit else "not a checkout",
        "Versions": ", ".join(f"{key} {version}" for key, version in sorted(ran.versions.items())),
        "Options": options_text(ran.hardware),
        "Environment": ", ".join(f"{k}={v}" for k, v in overrides.items()) if isinstance(overrides, dict) else None,
        **{key.replace("_", " ").capitalize(): str(value) for key, value in hardware.items()},
    }
    text = hardware_text(ran.hardware, device="cuda")
    return Environment(name, text, tuple((key, value) for key, value in lines.items() if value))
