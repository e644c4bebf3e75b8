"""Decoupled greedy learning (Belilovsky et al. 2019, 2020): a small network behind each unit predicts the classes.

It stands in for [48] of the paper's Table 5, which could not be identified. The auxiliary network keeps the unit's
resolution low: average pool by 4, three 1x1 convolutions, pool to 2x2, `hidden_layers` fully connected layers of 4
times the unit's channels, BatchNorm and ReLU behind each of these, and the layer that gives the logits. The authors'
program has three hidden layers. Behind a fully connected unit there is the last layer alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asapbench.rules.local import Head, LocalRule, draw_layers, pooled, pooled_features, undrawn


class DGL(LocalRule):
    """Own input, plain autograd inside a unit, whose error comes from a trained auxiliary network."""

    name = "dgl"

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The auxiliary network of one unit."""
        return draw_layers(Auxiliary(shape, classes, self.choice.integer("hidden_layers")), seed=seed, name=name)


class Auxiliary(Head):
    """Cross-entropy of the auxiliary network's logits."""

    def __init__(self, shape: torch.Size, classes: int, hidden_layers: int) -> None:
        super().__init__()
        channels = features = int(shape[1])
        self.maps, self.classifier = nn.Sequential(), nn.Sequential()
        if len(shape) == 4:
            self.maps.append(nn.AvgPool2d(4, ceil_mode=True))
            for _ in range(3):
                self.maps.append(undrawn(nn.Conv2d, channels, channels, 1, bias=False))
                self.maps.extend([nn.BatchNorm2d(channels, track_running_stats=False), nn.ReLU()])
            features, hidden = pooled_features(shape, by=4), 4 * channels
            for _ in range(hidden_layers):
                self.classifier.append(undrawn(nn.Linear, features, hidden))
                self.classifier.extend([nn.BatchNorm1d(hidden, track_running_stats=False), nn.ReLU()])
                features = hidden
        self.classifier.append(undrawn(nn.Linear, features, classes))

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        return self.criterion(self.classifier(pooled(self.maps(h))), y)
