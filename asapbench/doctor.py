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

from asapbench.data.files import data_root, describe, fix
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
    """Yields the findings, one subject after the other. The one about torch is last: it takes seconds."""
    torch = _torch()
    yield Finding("ok", "versions", ", ".join(f"{name} {version}" for name, version in versions().items()))
    yield from _plugins()
    yield _slots()
    yield from _data(data_root(data))
    yield _database(db)
    yield _disk(db, files)
    yield from torch


_LOADS_TORCH = """
import glob, importlib.metadata, importlib.util, os, torch
vision = importlib.util.find_spec("torchvision")
for library in glob.glob(os.path.join(os.path.dirname(vision.origin), "_C*.so")):
    torch.ops.load_library(library)
print(torch.__version__, importlib.metadata.version("torchvision"), torch.version.cuda, torch.cuda.is_available(),
    torch.cuda.device_count(), torch.backends.cpu.get_cpu_capability(),
    torch.cuda.is_available() and torch.backends.cudnn.version() or 0)
"""
"""Of torchvision only its compiled library is loaded, which shows whether it fits to torch: its Python half takes a
second and a half to import.
"""


def _torch() -> Iterator[Finding]:
    """Imports torch in another process, which starts now: a broken build may end the process that imports it."""
    started = subprocess.Popen(
        [sys.executable, "-c", _LOADS_TORCH], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return _of_torch(started)


def _of_torch(started: subprocess.Popen[str]) -> Iterator[Finding]:
    out, err = started.communicate(timeout=300)
    if started.returncode != 0:
        last = (err.strip().splitlines() or [f"exit status {started.returncode}"])[-1]
        yield Finding("fault", "torch", last, "install torch and torchvision of versions that go together (README)")
        return
    torch, vision, cuda, available, count, capability, cudnn = out.split()
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
    """One finding for all that are complete, one for all that are absent, one for each that is damaged."""
    complete, absent = [], []
    for dataset in published():
        found = dataset.faults(dataset.choose(), root)
        if not found:
            complete.append(dataset.name + (" (built in)" if dataset.folder(root) is None else ""))
        elif dataset.is_absent(found, root) and dataset.sources:
            absent.append(dataset.name)
        else:
            what = f"not in {root}" if dataset.is_absent(found, root) else f"not complete: {describe(root, found)}"
            yield Finding("note", dataset.name, what, dataset.fix(root))
    if complete:
        yield Finding("ok", "data sets", f"complete in {root}: {', '.join(complete)}")
    if absent:
        yield Finding("note", "data sets", f"not in {root}: {', '.join(absent)}", fix(" ".join(absent), root))


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
