"""Floating-point operations as torch counts them: those of convolutions and matrix products, a multiply-add as two."""

from __future__ import annotations

from collections.abc import Callable


def counted(call: Callable[[], object]) -> int:
    """How many `call` takes, forward and backward, for any autograd functions in it."""
    from torch.utils.flop_counter import FlopCounterMode  # 80 MB that only this function needs

    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
