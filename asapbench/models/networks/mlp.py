"""The fully connected network of A.2: 784-10-10-10, linear, or with BatchNorm and ReLU after each hidden layer."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    """(N, C, H, W) or (N, inputs) -> (N, classes); `depth` hidden layers of `hidden` units."""

    def __init__(
        self, *, inputs: int, classes: int, hidden: int, depth: int, nonlinear: bool, logits_batchnorm: bool
    ) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers.append(nn.Linear(inputs, hidden))
            if nonlinear:
                layers += [nn.BatchNorm1d(hidden), nn.ReLU()]
            inputs = hidden
        self.hidden = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, classes)
        self.logits_bn = nn.BatchNorm1d(classes) if nonlinear and logits_batchnorm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.logits_bn(self.fc(self.hidden(self.flatten(x))))
        return logits
