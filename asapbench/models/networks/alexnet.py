"""The three-convolution AlexNet of App. C: 64-128-256 channels, then 1024-1024-classes.

`kernel=3` is the network as printed: stride 1, padding 2, max-pool 2 (32 -> 34 -> 17 -> 19 -> 9 -> 11 -> 5).
`kernel=5` is the released code's: stride 1, padding 2, max-pool 2 in ceil mode (32 -> 16 -> 8 -> 4).
"""

from __future__ import annotations

from torch import Tensor, nn


class AlexNet(nn.Module):
    """(N, channels, size, size) -> (N, classes)."""

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        classes: int,
        width: int,
        kernel: int,
        hidden: int,
        logits_batchnorm: bool,
        conv_bias: bool,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for outputs in (width, 2 * width, 4 * width):
            layers += [
                nn.Conv2d(inputs, outputs, kernel, padding=2, bias=conv_bias),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=kernel == 5),
            ]
            inputs = outputs
            size = (size + 5 - kernel + (1 if kernel == 5 else 0)) // 2
        self.features = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential(
            nn.Linear(inputs * size * size, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
        )
        self.fc = nn.Linear(hidden, classes)
        self.logits_bn = nn.BatchNorm1d(classes) if logits_batchnorm else nn.Identity()

    @property
    def unit_ends(self) -> list[str]:
        """The submodules that end a stage: its max-pool."""
        return [f"features.{i}" for i, module in enumerate(self.features) if isinstance(module, nn.MaxPool2d)]

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.logits_bn(self.fc(self.hidden(self.flatten(self.features(x)))))
        return logits
