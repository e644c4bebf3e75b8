"""Properties of the processor that decide which code numeric libraries run, and so the last bits of a result.

MKL, oneDNN, OpenBLAS and ATen choose code by the processor's model and instruction sets, unless an environment variable
overrides the choice.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_INSTRUCTION_SETS = ("avx", "amx", "fma", "f16c", "asimd", "sve", "bf16", "i8mm")
"""Prefixes of the flags by which libraries choose code, on x86 and ARM."""

_BF16 = ("avx512_bf16", "amx_bf16", "bf16", "svebf16")
"""The instruction sets, on x86 and ARM, that make bf16 faster than float32."""

OVERRIDES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_CPU_ISA_HINTS",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Environment variables by which ATen, MKL, oneDNN, OpenBLAS and cuBLAS run other code than their default.

cuBLAS's workspace is not among them: every worker gets the same.
"""


def name() -> str:
    """The processor's model, as the system names it."""
    return _field("model name") or platform.processor() or platform.machine()


def instruction_sets() -> str:
    """The vector and matrix instruction sets that the system reports, sorted; empty where it reports none."""
    flags = (_field("flags") or _field("Features")).split()
    return " ".join(sorted(flag for flag in flags if flag.startswith(_INSTRUCTION_SETS)))


def without_bf16(precision: str, device: str, instruction_sets: str) -> str | None:
    """A warning for cells in `precision` on a CPU whose `instruction_sets` cannot multiply bf16 numbers; else None.

    None also if the system reports no instruction sets.

    >>> without_bf16("bf16", "cpu", "avx2 avx512_bf16 avx512f"), without_bf16("float32", "cpu", "avx2")
    (None, None)
    >>> without_bf16("bf16", "cpu", "avx2 avx512f")
    'precision bf16: this processor has no bf16 instructions, so bf16 is slower there than float32'
    """
    known = instruction_sets.split()
    if precision != "bf16" or device != "cpu" or not known or any(name in _BF16 for name in known):
        return None
    return "precision bf16: this processor has no bf16 instructions, so bf16 is slower there than float32"


def overrides(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of `OVERRIDES` that are set, with their values.

    >>> overrides({"MKL_CBWR": "COMPATIBLE", "HOME": "/root"})
    {'MKL_CBWR': 'COMPATIBLE'}
    """
    return {variable: environment[variable] for variable in OVERRIDES if environment.get(variable)}


@cache
def _field(wanted: str) -> str:
    """The first value of a field of /proc/cpuinfo; empty on systems without that file."""
    if not _CPUINFO.exists():
        return ""
    for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
        field, _, value = line.partition(":")
        if field.strip() == wanted:
            return value.strip()
    return ""
