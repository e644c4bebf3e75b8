"""Peak memory of one training step of a cell under its own rule: bytes of the tensors alive, counted on shapes.

The step runs on the meta device, whose tensors have shapes and no numbers; what the allocator would hold is summed as
tensors come and go: weights, feedback, buffers, the optimizer's state, the batch, what autograd keeps, gradients,
temporaries. So it holds for any rule, option and plug-in. It is a count in float32, without what kernels allocate
inside and without a data set on the device.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asapbench.errors import AsapbenchError
from asapbench.models import build
from asapbench.rules import attach
from asapbench.rules.bp import MICRO_BATCHES, parts_of
from asapbench.suite.catalog import RULES, dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.options import Choice
from asapbench.training.optimizer import build_optimizer, forget_gradients

_NUMBER = 4
"""Bytes in float32."""
_LABEL = 8


def step_peak(cell: Cell) -> int:
    """Bytes at the peak of a step on a full batch. Raises AsapbenchError where shapes alone do not decide a step.

    The parts of a batch are alike except for their sizes: two of the largest stand for all of them.
    """
    parts = parts_of(cell.batch_size, wanted=int(dict(cell.rule.options).get(MICRO_BATCHES.name, 1)))
    if parts == 1:
        return _counted(cell.dataset, cell.model, cell.rule, cell.optimizer, cell.batch_size)
    shape = dataset_shape(cell.dataset)
    two = RULES[cell.rule.name].with_options(cell.rule, **{MICRO_BATCHES.name: 2})
    examples = 2 * -(-cell.batch_size // parts)
    example = _NUMBER * (shape.channels * shape.size**2 + shape.classes) + _LABEL  # image, logits and label
    counted = _counted(cell.dataset, cell.model, two, cell.optimizer, examples)
    return counted + (cell.batch_size - examples) * example


@lru_cache(maxsize=10_000)
def _counted(dataset: Choice, model: Choice, rule: Choice, optimizer: Choice, batch_size: int) -> int:
    try:
        return _step(dataset, model, rule, optimizer)(batch_size)
    except RuntimeError as error:
        text = str(error).strip().partition("\n")[0]
        raise AsapbenchError(f"its step does not run on shapes alone ({text})") from error


@lru_cache(maxsize=4)
def _step(dataset: Choice, model: Choice, rule: Choice, optimizer: Choice) -> Callable[[int], int]:
    """A function from a batch size to the peak of a step, whose optimizer has its state already."""
    shape = dataset_shape(dataset)
    network = build(model, channels=shape.channels, size=shape.size, classes=shape.classes)
    learner = attach(network, rule, torch.zeros(2, shape.channels, shape.size, shape.size)).to("meta").train()
    parameters = [parameter for _, parameter in learner.trained_parameters()]
    made = build_optimizer(optimizer, parameters, lr=0.1, device=torch.device("meta"))
    if dict(rule.options).get("form") == "recursion":
        learner.bind(made)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    forget_gradients(made)

    def peak(batch_size: int) -> int:
        x = torch.empty(batch_size, shape.channels, shape.size, shape.size, device="meta")
        y = torch.empty(batch_size, dtype=torch.int64, device="meta")
        state = [value for each in made.state.values() for value in each.values() if isinstance(value, Tensor)]
        with Alive([*learner.parameters(), *learner.buffers(), *state, x, y]) as alive:
            learner.backward(x, y)  # and no step of the optimizer, which is fused on a device and allocates nothing
        forget_gradients(made)
        return int(alive.peak)

    return peak


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operations inside it make, beside those `held` from the start.

    >>> held = torch.zeros(2)
    >>> with Alive([held]) as alive:
    ...     doubled = 2 * torch.zeros(3)
    >>> alive.peak, alive.now
    (32, 20)
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sizes: dict[int, int] = {}
        self.now = self.peak = 0
        for tensor in held:
            self._hold(tensor)

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._sizes:
            self._sizes[storage._cdata] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._release, storage._cdata)

    def _release(self, address: int) -> None:
        self.now -= self._sizes.pop(address)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The result, whose storages are counted."""
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                self._hold(one)
        return made
