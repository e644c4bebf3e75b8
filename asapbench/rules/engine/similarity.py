"""Similarity matching and prediction, the local losses of `rules.predsim`: their heads and their arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.randomness import draw_layer, fan_in_uniform
from asapbench.rules.engine.deviation import deviation, wide_type
from asapbench.rules.engine.functions import FeedbackLinear, is_channels_last
from asapbench.rules.engine.host import without_autocast
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.local import Head, average, draw_layers, undrawn

_DECODED = 4096
"""The most features that V reads: maps are pooled until there are no more."""
_PROJECTED = 128
_EPSILON = 1e-8
"""Added to the length of a feature vector, as in the published program; where lengths are small it matters."""
_FEW_CHANNELS = 3
"""The most channels of maps whose features are their pixels, not their standard deviations."""


def similarity_head(
    shape: torch.Size, classes: int, *, loss: str, beta: float, bpf: bool, seed: int, name: str
) -> Head:
    """Similarity matching (`loss` sim), prediction (pred) or both (predsim) behind the unit called `name`."""
    window, channels = pooling_window(shape), int(shape[1])
    features = channels * math.prod(math.ceil(s / w) for s, w in zip(shape[2:], window, strict=False))
    if bpf:
        projection = torch.empty(_PROJECTED, classes)
        fan_in_uniform(projection, seed=seed, purpose="targets", name=name)
        zero = undrawn(nn.Linear, features, _PROJECTED)
        nn.init.zeros_(zero.weight)
        nn.init.zeros_(zero.bias)
        decoder = FeedbackLayer(zero, "fixed")
        decoder.draw(init="random", seed=seed, name=f"{name}.decoder")
        sim = Similarity(partial(averaged, window=window), classes, projection.T)
        pred = Prediction(window, decoder, projection.T)
    else:
        if len(shape) == 4:
            seen: nn.Module = undrawn(nn.Conv2d, channels, channels, 3, padding=1, bias=False)
        else:
            seen = undrawn(nn.Linear, channels, channels, bias=False)
        sim = draw_layers(Similarity(seen, classes), seed=seed, name=name)
        layer = undrawn(nn.Linear, features, classes)
        draw_layer(layer, seed=seed, purpose="head", name=f"{name}.decoder")
        nn.init.zeros_(layer.weight)
        pred = Prediction(window, layer)
    both = Both(sim, pred, beta)
    return {"sim": sim, "pred": pred, "predsim": both}[loss]


class Both(Head):
    """beta sim + (1 - beta) pred."""

    def __init__(self, sim: Head, pred: Head, beta: float) -> None:
        super().__init__()
        self.sim, self.pred, self.beta = sim, pred, beta

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        loss: Tensor = self.beta * self.sim(h, y) + (1 - self.beta) * self.pred(h, y)
        return loss


class Similarity(Head):
    """MSE(S(seen(h)), S(t)): t is a label's row of `targets` (classes, 128), one-hot where there are none."""

    def __init__(self, seen: Callable[[Tensor], Tensor], classes: int, targets: Tensor | None = None) -> None:
        super().__init__()
        self.seen, self.classes = seen, classes
        self.targets: Tensor | None
        self.register_buffer("targets", targets, persistent=False)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        found = similarity(self.seen(h))
        if self.targets is not None:
            return F.mse_loss(found, similarity(self.targets[y]))
        return F.mse_loss(found, similarity_of_labels(y, self.classes, found.dtype))


class Prediction(Head):
    """Cross-entropy of V pooled(h) + b; with `targets` (classes, 128) binary, for the signs of a label's row."""

    def __init__(
        self, window: tuple[int, int], decoder: nn.Linear | FeedbackLayer, targets: Tensor | None = None
    ) -> None:
        super().__init__()
        self.window, self.decoder = window, decoder
        self.targets: Tensor | None
        self.register_buffer("targets", targets, persistent=False)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        logits = decoded(averaged(h, self.window), self.decoder)
        if self.targets is None:
            return self.criterion(logits, y)
        signs = (self.targets[y] > 0).to(self.targets.dtype)
        return F.binary_cross_entropy_with_logits(logits.to(signs.dtype), signs)


def similarity(features: Tensor) -> Tensor:
    """S (N, N) of features (N, F) or maps (N, C, H, W), in float32 at least whatever the precision of training."""
    with without_autocast(features):
        # A single pixel has no deviation.
        if features.dim() == 4 and features.shape[1] > _FEW_CHANNELS and features.shape[2:].numel() > 1:
            wide = deviation(features)
        else:
            wide = features.flatten(1).to(wide_type(features))
        centred = wide - wide.mean(1, keepdim=True)
        unit: Tensor = centred / (_EPSILON + torch.linalg.vector_norm(centred, dim=1, keepdim=True))
        return unit @ unit.mT


def similarity_of_labels(y: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """`similarity` of one-hot labels `y` (N,), in closed form: it has one value for a class and one between two."""
    square = 1 - 1 / classes
    length = _EPSILON + math.sqrt(square)
    same, other = square / length**2, -1 / classes / length**2
    return (y.unsqueeze(1) == y).to(dtype).mul_(same - other).add_(other)


def pooling_window(shape: torch.Size) -> tuple[int, int]:
    """The window of average pooling, its height and width doubled in turn until 4096 features are left of `shape`."""
    height, width = 1, 1
    while len(shape) == 4 and shape[1] * math.ceil(shape[2] / height) * math.ceil(shape[3] / width) > _DECODED:
        if height >= shape[2] and width >= shape[3]:
            break
        height, width = (2 * height, width) if height == width else (height, 2 * width)
    return height, width


def decoded(maps: Tensor, decoder: nn.Linear | FeedbackLayer) -> Tensor:
    """`decoder` of flattened `maps` (N, C, H, W), or of features (N, C).

    Of maps in channels-last the weights are put into their order, and not the maps, which are more, into that of the
    weights: so the gradient comes back in the order of the maps, too.
    """
    if maps.dim() == 2 or not is_channels_last(maps):
        logits: Tensor = decoder(maps.flatten(1))
        return logits
    features, shape = maps.permute(0, 2, 3, 1).flatten(1), maps.shape[1:]
    if isinstance(decoder, nn.Linear):
        return F.linear(features, _channels_last(decoder.weight, shape), decoder.bias)
    weight, feedback = (_channels_last(each, shape) for each in (decoder.layer.weight, decoder.feedback_weight()))
    logits = FeedbackLinear.apply(features, weight, decoder.layer.bias, feedback, None, None)
    return logits


def _channels_last(weight: Tensor, shape: torch.Size) -> Tensor:
    """`weight` (O, C H W) as (O, H W C), `shape` being (C, H, W)."""
    return weight.view(-1, *shape).permute(0, 2, 3, 1).flatten(1)


def averaged(h: Tensor, window: tuple[int, int]) -> Tensor:
    """Maps averaged over `window`, those at the border over what there is; features as they are."""
    return h if h.dim() == 2 or window == (1, 1) else average(h, window)
