"""A stand-in for a CUDA graph on a CPU: what a step computes is recorded once, and replayed on the same memory.

As in a graph, Python does not run again: every number of the host is what it was when it was recorded, and reading
the device from the host is refused. As in a graph, recording changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from host_reads import refused
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """Records the operations that run under it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if name := refused(func, args):
            raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
        for tensor in _tensors((args, kwargs)):
            if id(tensor) not in self._made and id(tensor) not in self._before:
                self._before[id(tensor)] = tensor, tensor.clone()
        out = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, _tensors(out)))
        self._made |= {id(tensor) for tensor in _tensors(out)} - self._before.keys()
        return out

    @torch.no_grad()
    def undo(self) -> None:
        """Puts back what the recording changed."""
        for tensor, before in reversed(self._before.values()):
            tensor.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        """The same operations on the same memory."""
        for func, args, kwargs, made in self.calls:
            for mine, new in zip(made, _tensors(func(*args, **kwargs)), strict=True):
                if mine.data_ptr() != new.data_ptr():  # else a view, or changed in place
                    mine.copy_(new)


def recorded(step: Callable[[], None], _device: torch.device) -> Callable[[], None]:
    """Stands in for `training.graph.captured`."""
    with Tape() as tape:
        step()
    tape.undo()
    return tape.replay


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
