"""Checkpoints are made durable on a background thread while training continues.

The training thread copies the state and trains on; the copy cannot change while it is written. At most one checkpoint
is pending: the buffers of the copy are kept and used again, because new memory costs more than the copy. What a write
raises is raised on the training thread, at the latest by `close`, which waits for the last write.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from asapbench.training.environment import synchronize


class Writer:
    """One thread that makes snapshots durable; it starts with the first one.

    `began` is when the last snapshot was taken, on the monotonic clock; `seconds` is how long the last complete write
    took, from there until it was durable.
    """

    def __init__(self, device: torch.device) -> None:
        self.began, self.seconds = time.monotonic(), 0.0
        self._snapshot = Snapshot(device)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._pending: Future[None] | None = None

    def write(self, content: dict[str, Any], make_durable: Callable[[dict[str, Any]], object]) -> None:
        """Waits for the write before, copies `content`, and returns; the thread calls `make_durable` with the copy."""
        self.wait()
        self.began = time.monotonic()
        copied = self._snapshot.take(content)
        self._pending = self._thread.submit(self._write, copied, make_durable)

    def is_idle(self) -> bool:
        """Whether no write is pending. Raises what the last one raised."""
        if self._pending is not None and not self._pending.done():
            return False
        self.wait()
        return True

    def wait(self) -> None:
        """Returns when no write is pending. Raises what the last one raised, once."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Waits for the write that is pending, and ends the thread. Raises what the last write raised."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, copied: dict[str, Any], make_durable: Callable[[dict[str, Any]], object]) -> None:
        make_durable(copied)
        self.seconds = time.monotonic() - self.began


class Snapshot:
    """Copies of nested dictionaries, lists and tuples of tensors in host memory. Each `take` overwrites the one before.

    From a CUDA device tensors are copied into pinned memory. `take` itself waits for the device, some milliseconds: a
    wait on the writer's thread is not permitted while the training thread captures a CUDA graph.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[tuple[object, ...], Tensor] = {}

    def take(self, content: dict[str, Any]) -> dict[str, Any]:
        """`content` with every tensor copied, strides kept."""
        taken: dict[str, Any] = self._of(content, ())
        synchronize(self._device)
        return taken

    def _of(self, value: Any, place: tuple[object, ...]) -> Any:
        if isinstance(value, Tensor):
            return self._buffer(value.detach(), place).copy_(value.detach(), non_blocking=value.is_cuda)
        if isinstance(value, dict):
            copied = copy.copy(value)  # keeps what a state_dict carries beside its entries
            for name, item in value.items():
                copied[name] = self._of(item, (*place, name))
            return copied
        if isinstance(value, list | tuple):
            return type(value)(self._of(item, (*place, number)) for number, item in enumerate(value))
        return value

    def _buffer(self, like: Tensor, place: tuple[object, ...]) -> Tensor:
        buffer = self._buffers.get(place)
        if buffer is None or (buffer.shape, buffer.dtype, buffer.stride()) != (like.shape, like.dtype, like.stride()):
            buffer = torch.empty_like(like, device="cpu", pin_memory=like.is_cuda)
            self._buffers[place] = buffer
        return buffer
