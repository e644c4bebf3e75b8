"""torch's compiler on this machine: its requirements, checked before a run starts, and where it keeps code.

Imports no torch.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from asapbench.errors import SuiteError
from asapbench.machine.slots import Slot

CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""The folder of compiled code, Triton's included."""


def check(slots: Sequence[Slot], *, compiled: bool, cuda_graphs: bool | None) -> None:
    """Raises SuiteError, which names the fix, if cells on `slots` of this machine cannot run with these options.

    `cuda_graphs` None: where they can be used.
    """
    if compiled:
        _check_folders()
    kinds = {slot.kind for slot in slots}
    if cuda_graphs and kinds != {"cuda"}:
        raise SuiteError(f"--cuda-graphs: only an NVIDIA GPU has them, and cells would train on {', '.join(kinds)}")
    if not compiled:
        return
    if "cuda" in kinds and importlib.util.find_spec("triton") is None:
        raise SuiteError("--compile: for a GPU torch's compiler needs Triton: pip install triton")
    wanted = _compilers("cpu" in kinds)
    if not any(shutil.which(name) for name in wanted):
        variable = "CXX" if "cpu" in kinds else "CC"
        raise SuiteError(
            f"--compile: torch's compiler needs {' or '.join(wanted)}, which is missing: install it, or name another "
            f"in {variable}"
        )
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SuiteError(
            f"--compile: torch's compiler needs Python's headers: install your system's package of them, as in "
            f"python{version}-dev"
        )


def _check_folders() -> None:
    """Checks the temporary folder, which torch's compiler always uses, and the folder that the user names for code."""
    cache = os.environ.get(CACHE)
    for name, folder in (("TMPDIR", tempfile.gettempdir()), (CACHE, cache or "")):
        if len(folder.split()) > 1:  # torch splits its own commands at spaces
            raise SuiteError(f"--compile: torch's compiler cannot use {name}={folder}: name a folder without a space")
    if cache is None:
        return
    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(cache, os.R_OK | os.W_OK | os.X_OK) else "Permission denied"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise SuiteError(f"--compile: {CACHE}={cache} cannot be written to ({reason}): name another, or unset it")


def _compilers(cplusplus: bool) -> tuple[str, ...]:
    """Compilers of which one is enough: for the CPU's kernels, or for the code that launches a GPU's."""
    if named := os.environ.get("CXX" if cplusplus else "CC"):
        return (named,)
    if not cplusplus:
        return ("gcc", "clang")
    return ({"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"),)


def keep_code_in(folder: str | None) -> None:
    """Makes this process keep compiled code in `folder`, unless the user has named one. Raises OSError for None.

    torch's default would be a shared folder of pickles and libraries, which it runs.
    """
    if folder is None and CACHE not in os.environ:
        raise FileNotFoundError(f"there is no folder for compiled code: make room in /tmp, or name one in {CACHE}")
    if folder is not None:
        os.environ.setdefault(CACHE, folder)
