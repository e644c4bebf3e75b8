"""Where `LeanReLU` differs from torch's ReLU or from its gradient: types, sizes, orders in memory, special numbers.

Run as a program it takes the Triton kernels on a CPU, by Triton's interpreter, and prints what differs. That needs
`TRITON_INTERPRET=1` and a process of its own: Triton looks at it when a kernel is defined.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from asapbench.rules.engine import bitmask_relu

SPECIAL = [float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 1e-45, -1e-45, 1.0, -1.0]
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
SIZES = (0, 1, 7, 8, 9, 2048, 2049, 4100)  # one program of a kernel takes 2048
SHAPES = (*((size,) for size in SIZES), (3, 5, 2, 7), (2, 8, 16, 16), (1, 4, 6, 6), (4, 6, 1, 1), (3, 2, 3, 2, 5))


def differences(device: str) -> Iterator[str]:
    for dtype in DTYPES:
        for shape in SHAPES:
            for order, x in layouts(drawn(shape, dtype, seed=1).to(device)).items():
                for delta_order, delta in layouts(drawn(shape, dtype, seed=2).to(device)).items():
                    ours, theirs = (x.detach().requires_grad_() for _ in range(2))
                    out, expected = bitmask_relu.LeanReLU().to(device)(ours), F.relu(theirs)
                    out.backward(delta)
                    expected.backward(delta)
                    assert ours.grad is not None
                    assert theirs.grad is not None
                    case = f"{dtype} {shape} {order}, gradient {delta_order}"
                    if not same(out.detach(), expected.detach()):
                        yield f"output: {case}"
                    if not same(ours.grad, theirs.grad):
                        yield f"gradient: {case}"


def drawn(shape: tuple[int, ...], dtype: torch.dtype, *, seed: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).flatten()
    special = torch.tensor(SPECIAL).roll(seed)[: values.numel()]
    values[: special.numel()] = special
    return values.view(shape).to(dtype)


def layouts(tensor: Tensor) -> dict[str, Tensor]:
    """The same numbers, differently in memory."""
    found = {"as made": tensor, "with gaps": torch.stack([tensor, tensor], -1)[..., 0]}
    if tensor.dim() > 1:
        found["last two dimensions exchanged"] = tensor.mT.contiguous().mT
        found["channels last"] = tensor.movedim(1, -1).contiguous().movedim(-1, 1)
    if tensor.numel():
        longer = torch.cat([tensor.flatten()[:1], tensor.flatten()])
        found["at an odd address"] = longer[1:].view(tensor.shape)
    return found


def same(one: Tensor, other: Tensor) -> bool:
    """Order in memory and numbers; NaN where the other has it; zeros of either sign, in which CPU and GPU differ."""
    strides = [
        [stride for stride, size in zip(t.stride(), t.shape, strict=True) if size > 1 and t.numel()]
        for t in (one, other)
    ]
    nan = torch.equal(one.isnan(), other.isnan())
    return nan and strides[0] == strides[1] and torch.equal(one.nan_to_num(7), other.nan_to_num(7))


def main() -> None:
    assert os.environ["TRITON_INTERPRET"] == "1"
    from asapbench.rules.engine import relu_kernels

    calls: Counter[str] = Counter()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Tensor) -> Any:
            calls[function.__name__] += 1
            return function(*arguments)

        return call

    names = ("relu_and_bits", "gradient_by_bits")
    watched = {name: counted(getattr(relu_kernels, name)) for name in names}
    with (
        mock.patch.multiple(relu_kernels, **watched),
        mock.patch.object(bitmask_relu, "_kernels", return_value=relu_kernels),
    ):
        lines = list(differences("cpu"))
    sys.stdout.writelines(f"{line}\n" for line in [*lines, *(f"{name} ran" for name in names if calls[name] > 100)])


if __name__ == "__main__":
    main()
