"""What `doctor` reports: one finding per subject, each fault with its fix."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asapbench.data.files import data_root, describe
from asapbench.data.lookup import published
from asapbench.errors import AsapbenchError, NoDatabaseError, StoreError
from asapbench.machine.devices import nvidia_driver
from asapbench.machine.hardware import cudnn_version, hardware, versions
from asapbench.machine.slots import slots
from asapbench.store.records import db_option, without_password
from asapbench.store.store import Store
from asapbench.suite.plugins import load_installed
from asapbench.worker.files import files_at

_LOW_DISK = 5e9


@dataclass(frozen=True)
class Finding:
    """`grade`: ok, note (works, but worth knowing) or fault."""

    grade: Literal["ok", "note", "fault"]
    subject: str
    text: str
    fix: str = ""


def diagnose(*, db: str, data: Path | None, files: Path | None) -> Iterator[Finding]:
    """Yields the findings, one subject after the other."""
    yield Finding("ok", "versions", ", ".join(f"{name} {version}" for name, version in versions().items()))
    yield from _torch()
    yield from _plugins()
    yield _slots()
    yield from _data(data_root(data))
    yield _database(db)
    yield _disk(db, files)


def _torch() -> Iterator[Finding]:
    """Imports torch in another process: a broken build may end the process that imports it."""
    code = (
        "import torch, torchvision; "
        "print(torch.__version__, torchvision.__version__, torch.version.cuda, torch.cuda.is_available(), "
        "torch.cuda.device_count(), torch.backends.cpu.get_cpu_capability(), "
        "torch.cuda.is_available() and torch.backends.cudnn.version() or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        yield Finding("fault", "torch", last, "install torch and torchvision of versions that go together (README)")
        return
    torch, vision, cuda, available, count, capability, cudnn = done.stdout.split()
    yield Finding("ok", "torch", f"{torch} with torchvision {vision}, {capability} instructions")
    driver = f"NVIDIA driver {nvidia_driver() or 'unknown'}"
    if available == "True":
        yield Finding("ok", "CUDA", f"{cuda}, cuDNN {cudnn_version(int(cudnn) or None)}, {driver}, {count} GPUs")
    elif shutil.which("nvidia-smi") and cuda != "None":
        yield Finding(
            "note", "CUDA", f"this torch is built for CUDA {cuda} but sees no GPU ({driver})",
            "a driver as new as that CUDA, or CUDA_VISIBLE_DEVICES unset",
        )  # fmt: skip
    else:
        yield Finding("ok", "CUDA", "no NVIDIA GPU here: cells train on CPU cores")


def _plugins() -> Iterator[Finding]:
    for fault in load_installed():
        yield Finding("fault", "plug-ins", fault)


def _slots() -> Finding:
    found = slots()
    about = hardware()
    memory = f"{about['memory_bytes'] / 1e9:.0f} GB of memory"
    return Finding("ok", "slots", f"{len(found)} of {found[0].device}; {about['processor']}, {memory}")


def _data(root: Path) -> Iterator[Finding]:
    for dataset in published():
        found = dataset.faults(dataset.choose(), root)
        if not found:
            built_in = dataset.folder(root) is None
            yield Finding("ok", dataset.name, "built in" if built_in else f"complete in {root}")
        elif dataset.is_absent(found, root):
            yield Finding("note", dataset.name, f"not in {root}", dataset.fix(root))
        else:
            yield Finding("note", dataset.name, f"not complete: {describe(root, found)}", dataset.fix(root))


def _database(db: str) -> Finding:
    try:
        with Store.read_only(db) as store:
            store.require_whole()
            suites = store.suites()
            running = [attempt for attempt in store.running() if not attempt.owner.is_dead()]
            text = f"{store.name}: suites: {len(suites)}, cells running: {len(running)}"
            return Finding("ok", "database", text)
    except NoDatabaseError:
        return Finding("note", "database", f"none yet at {without_password(db)}: the first run makes it")
    except AsapbenchError as error:
        return Finding("fault", "database", str(error))


def _disk(db: str, files: Path | None) -> Finding:
    """Free space and access rights of the place of checkpoints."""
    try:
        found = files_at(db, files)
    except StoreError:
        return Finding("note", "disk", "not checked: --db does not say where files go", "correct --db, or add --files")
    place = found.root
    while not os.path.exists(place):  # Path.exists raises where this user may not enter the folder
        place = place.parent
    free = shutil.disk_usage(place).free
    usable = os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)
    for folder in [*([] if usable else [place]), *found.unusable()]:
        return Finding("fault", "disk", f"{folder} is not writable", "choose another place with --db or --files")
    grade: Literal["ok", "note"] = "ok" if free > _LOW_DISK else "note"
    why = "" if grade == "ok" else f"`asapbench clean{db_option(db)}` removes checkpoints no longer needed"
    return Finding(grade, "disk", f"{free / 1e9:.1f} GB free at {place}", why)
