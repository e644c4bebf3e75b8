"""ASAP's groups: whose input each convolution's weight gradient is formed from (Algorithm 1, D.1; reading of k).

The main path's convolutions are c0, c1, c2, ... c0 shares nothing, c1 uses its own input. From c2 on, c_i belongs to
group g = (i - 2) // k and uses the input of c_(k g + 1). A shortcut convolution uses the shared activation of the
main-path convolution that reads the same tensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.errors import GraphError

if TYPE_CHECKING:
    from torch import fx

    from asapbench.rules.engine.graph import Dataflow


def shared_activations(flow: Dataflow, k: int) -> dict[str, fx.Node | None]:
    """For each convolution the node whose tensor it shares, None for its own input. Raises GraphError."""
    if len(flow.main) < 3:
        raise GraphError(
            f"activation sharing needs at least 3 convolutions on the main path, and there are {len(flow.main)}; use a "
            "rule of own inputs, such as kp or fa"
        )
    shared: dict[str, fx.Node | None] = {}
    for i, layer in enumerate(flow.main):
        shared[layer.name] = None if i < 2 else flow.main[k * ((i - 2) // k) + 1].input
    by_input = {layer.input: layer.name for layer in flow.main}
    for shortcut in flow.shortcuts:
        beside = by_input.get(shortcut.input)
        if beside is None:
            raise GraphError(
                f"{shortcut.name}: no convolution of the main path reads the tensor this shortcut reads, so there is "
                "no activation to share; use a rule of own inputs, such as kp or fa"
            )
        shared[shortcut.name] = shared[beside]
    return shared
