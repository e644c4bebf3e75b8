"""Floating-point operations as torch counts them: those of convolutions and matrix products, a multiply-add as two.

torch counts the weight gradient of a grouped convolution as if every input met every output; here it is divided by the
number of groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


def counted(call: Callable[[], object]) -> int:
    """How many `call` takes, forward and backward, for any autograd functions in it."""
    from torch.utils.flop_counter import FlopCounterMode  # 80 MB that only this function needs

    of_ours = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=of_ours) as counter:
        call()
    return int(counter.get_total_flops())


def _convolution_backward(*given: Any, out_shape: Sequence[torch.Size | None], **_others: Any) -> int:
    """Those of `aten.convolution_backward`, whose last two arguments are the groups and the wanted gradients."""
    from torch.utils.flop_counter import flop_registry

    *operands, groups, (wants_input, wants_weight, _) = given

    def torch_counts(*wanted: bool) -> int:
        return int(flop_registry[torch.ops.aten.convolution_backward](*operands, groups, wanted, out_val=out_shape))

    return torch_counts(wants_input, False, False) + torch_counts(False, wants_weight, False) // int(groups)
