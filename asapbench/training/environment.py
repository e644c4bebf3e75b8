"""What decides the bits beside the cell: versions, device, threads; and the precision of the arithmetic."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from asapbench.machine import processor
from asapbench.training.settings import TrainingSettings

_STATUS = Path("/proc/self/status")
_INSTRUCTION_SETS = "instruction sets"
_COMPILED, _GRAPHS = "compiled", "cuda_graphs"
MEMORY_ORDER, CHANNELS_LAST = "memory order", "channels-last"
"""How a signature on a CPU names the order, if it is not contiguous."""
_X86 = {"x86_64", "AMD64"}
_NO_MEMORY = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED", "bad_alloc", "Cannot allocate memory")
"""Messages of torch and of libraries below it that have no error class of their own for a lack of memory."""


def signature(
    device: torch.device, settings: TrainingSettings, *, uses_graphs: bool, memory_format: torch.memory_format
) -> dict[str, str | int | bool]:
    """Two runs of one cell give the same bits if their signatures are equal.

    Graphs are a part of it with compiled kernels alone. Without, a GPU has shown that they change no bit (`tests/gpu`).
    """
    found: dict[str, str | int | bool] = {"torch": str(torch.__version__), "device": device.type}
    found |= processor.overrides()
    if device.type == "cuda":
        found |= {"kind": torch.cuda.get_device_name(device), "deterministic": settings.deterministic}
        found |= {"learning rate": "float32"}
    else:
        found |= {"kind": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"}
        found |= {"processor": processor.name(), _INSTRUCTION_SETS: processor.instruction_sets()}
        found |= {"threads": torch.get_num_threads()}
        if memory_format is torch.channels_last:  # checkpoints of 0.1 do not name the order, which was contiguous
            found |= {MEMORY_ORDER: CHANNELS_LAST}
    if settings.compiled:
        found |= {_COMPILED: True} | ({_GRAPHS: True} if uses_graphs else {})
    return found


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What differs between two signatures, one text an entry.

    >>> differences({"torch": "2.13.0", "threads": 1}, {"torch": "2.14.1", "threads": 1})
    ['torch 2.13.0, now 2.14.1']
    """
    before, now = _as_of_now(before), _as_of_now(now)
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return [_difference(name, before.get(name, "not set"), now.get(name, "not set")) for name in names]


def _as_of_now(signature: Mapping[str, object]) -> Mapping[str, object]:
    """A signature without the graphs of uncompiled kernels, which change no bit and which earlier versions name."""
    return signature if signature.get(_COMPILED) else {name: signature[name] for name in signature if name != _GRAPHS}


def _difference(name: str, before: object, now: object) -> str:
    if name != _INSTRUCTION_SETS:
        return f"{name} {before}, now {now}"
    ours, theirs = set(str(now).split()), set(str(before).split())
    changes = {"missing": theirs - ours, "new": ours - theirs}
    return f"{name}: {', '.join(f'{word} {one}' for word, sets in changes.items() for one in sorted(sets))}"


def configure(device: torch.device, *, threads: int, deterministic: bool, precision: str) -> None:
    """Sets torch's process-wide switches for a cell."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    silence_advice_on_tf32()
    torch.backends.cudnn.benchmark = device.type == "cuda" and not deterministic
    # It would fill each new tensor with NaN, a fifth of a step on a GPU: nothing here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # `torch.use_deterministic_algorithms` would import torch's compiler as well, which `compiled` does if it is needed.
    torch.set_deterministic_debug_mode("error" if deterministic and device.type == "cuda" else "default")


def memory_format(device: torch.device) -> torch.memory_format:
    """The order in memory of images and 4-D weights of a cell that starts on `device`.

    Channels-last, which tensor cores and oneDNN's convolutions on x86 read without a conversion (docs/performance.md);
    contiguous on others. A cell that resumes keeps its order: see `Saved.memory_format`.
    """
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    on_onednn = device.type == "cpu" and platform.machine() in _X86 and has_onednn
    return torch.channels_last if device.type == "cuda" or on_onednn else torch.contiguous_format


def silence_advice_on_tf32() -> None:
    """Ignores the one warning by which torch 2.11's Inductor advises TensorFloat32: a cell's precision decides."""
    warnings.filterwarnings(
        "ignore",
        message="TensorFloat32 tensor cores for float32 matrix multiplication available but not enabled",
        category=UserWarning,
        module=r"torch\._inductor\.compile_fx",
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error`, or what it was raised from, says that memory is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error.__cause__, Exception) and is_out_of_memory(error.__cause__):
        return True
    return isinstance(error, RuntimeError | OSError) and any(said in str(error) for said in _NO_MEMORY)


def arithmetic(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context of a forward pass: bfloat16 autocast, or nothing."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """The context of matrix products and convolutions without TensorFloat32, whatever the precision around it."""
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done its work: the clock is the host's."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def release_memory(device: torch.device) -> None:
    """Returns the memory that torch or glibc keep and nothing uses, so that it counts for no later cell."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def reset_peak_memory(device: torch.device) -> None:
    """Forgets the peak so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _STATUS.exists():
        # 5 resets the high-water mark of the resident set (proc(5)); a container may forbid it: then it only grows.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: torch.device, *, uses_graphs: bool = False) -> int | None:
    """Bytes at the peak since `reset_peak_memory`: allocated on a GPU, resident on Linux, else None.

    With CUDA graphs, bytes reserved: a graph's memory is no longer allocated when it is replayed.
    """
    if device.type == "cuda":
        peak = torch.cuda.max_memory_reserved if uses_graphs else torch.cuda.max_memory_allocated
        return int(peak(device))
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
