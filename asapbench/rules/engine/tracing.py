"""The operations of a module, as torch.fx records them."""

from __future__ import annotations

from torch import fx, nn

from asapbench.rules.engine.ops import is_one_operation


def traced(model: nn.Module) -> fx.GraphModule:
    """The operations of `model`, with its own modules; torch's, and those that say so, are one operation each."""
    tracer = _Tracer()
    graph = tracer.trace(model)
    return fx.GraphModule(tracer.root, graph, type(model).__name__)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation."""
        return super().is_leaf_module(m, module_qualified_name) or is_one_operation(m)
