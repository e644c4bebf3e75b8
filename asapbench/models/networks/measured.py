"""The layers of a module, found by one forward pass: for a model whose entry does not count them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from asapbench.suite.entries import LayerShape
from asapbench.suite.options import Choice

_MEASURED = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.MaxPool2d, nn.AdaptiveMaxPool2d)


def layers(
    build: Callable[..., nn.Module], choice: Choice, *, channels: int, size: int, classes: int
) -> tuple[LayerShape, ...]:
    """Every convolution and fully connected layer of the module that `build` makes, in the order of the calls.

    BatchNorm and max-pooling belong to the layer that was called last before them.
    Of a convolution with groups, `inputs` are those of one group; a kernel that is not square counts as its height.
    """
    with torch.random.fork_rng(devices=[]):  # the module's own draws change no later one
        model = build(choice, channels=channels, size=size, classes=classes)
    found: list[LayerShape] = []

    def note(name: str, layer: nn.Module, output: Tensor) -> None:
        maps = int(output.shape[2]) if output.dim() == 4 else 1
        if isinstance(layer, nn.Conv2d):
            inputs, outputs, kernel = layer.in_channels // layer.groups, layer.out_channels, layer.kernel_size[0]
            found.append(LayerShape(name, "conv", inputs, outputs, kernel, maps, bias=layer.bias is not None))
        elif isinstance(layer, nn.Linear):
            found.append(LayerShape(name, "linear", layer.in_features, layer.out_features, bias=layer.bias is not None))
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and found:
            found[-1] = replace(found[-1], batchnorm=layer.affine)
        elif isinstance(layer, nn.MaxPool2d | nn.AdaptiveMaxPool2d) and found and found[-1].kind == "conv":
            found[-1] = replace(found[-1], pooled=maps)

    def hook(name: str) -> Any:
        return lambda layer, _inputs, output: note(name, layer, output)

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, _MEASURED)  # others may return anything
    ]
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, channels, size, size))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(found)
