"""Small networks of other people, plain modules that know nothing of rules, for the tests of `attach` as a library.

torchvision's are made by its own constructors, with fewer blocks or narrower ones. The two without torchvision are
written in plain operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.vision_transformer import VisionTransformer

CLASSES = 5


@dataclass(frozen=True)
class Network:
    """`title` as docs/library.md names it; `make` draws the weights; `size`: the height and width of its images."""

    title: str
    make: Callable[[], nn.Module]
    size: int = 32

    def __call__(self, *, seed: int = 1, dtype: torch.dtype = torch.float64) -> nn.Module:
        """A new one, drawn from `seed` without a trace in the global random stream."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.make()
            for parameter in model.parameters():
                if not parameter.any():  # a classifier or a token that starts at zero would hide errors
                    nn.init.normal_(parameter, std=0.1)
        return model.to(dtype)

    def batch(self, *, count: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """The same images and labels every time."""
        draw = torch.Generator().manual_seed(2)
        images = torch.randn(count, 3, self.size, self.size, generator=draw, dtype=torch.float64)
        return images.to(dtype), torch.arange(count) % CLASSES


class NarrowBottleneck(models.resnet.Bottleneck):
    """A bottleneck with a quarter of the outputs."""

    expansion = 1


def _vgg() -> nn.Module:
    layers = models.vgg.make_layers([8, "M", 12, "M", 16, 16, "M", 16, 16, "M"], batch_norm=True)
    with torch.device("meta"):
        model = models.VGG(layers, num_classes=CLASSES, init_weights=False)
    model.features = models.vgg.make_layers([8, "M", 12, "M", 16, 16, "M", 16, 16, "M"], batch_norm=True)
    drop = [nn.Dropout(), nn.Dropout()]
    linears = [nn.Linear(16 * 7 * 7, 24), nn.Linear(24, 24), nn.Linear(24, CLASSES)]
    model.classifier = nn.Sequential(linears[0], nn.ReLU(True), drop[0], linears[1], nn.ReLU(True), drop[1], linears[2])
    return model


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al. 2021): patches, then blocks that mix tokens and channels in turn."""

    def __init__(self, *, patches: int = 16, width: int = 12, blocks: int = 2) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, stride=8)
        self.blocks = nn.ModuleList(MixerBlock(patches, width) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x).mean(1))
        return logits


class MixerBlock(nn.Module):
    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(patches, 10), nn.GELU(), nn.Linear(10, patches))
        self.channels = nn.Sequential(nn.Linear(width, 20), nn.GELU(), nn.Linear(20, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = x + self.channels(self.norm2(x))
        return mixed


class Transformer(nn.Module):
    """A vision transformer in plain operations, with a class token and a position embedding of its own."""

    def __init__(self, *, patches: int = 16, width: int = 12, blocks: int = 2) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, stride=8)
        self.token = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.1 * torch.randn(1, patches + 1, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads=2) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        logits: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return logits


class TransformerBlock(nn.Module):
    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.heads = nn.LayerNorm(width), nn.LayerNorm(width), heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 20), nn.GELU(), nn.Linear(20, width))

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        each = self.qkv(self.norm1(x)).reshape(count, tokens, 3, self.heads, width // self.heads)
        q, k, v = each.permute(2, 0, 3, 1, 4).unbind(0)
        attention = (q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((attention @ v).transpose(1, 2).reshape(count, tokens, width))
        transformed: Tensor = x + self.mlp(self.norm2(x))
        return transformed


NETWORKS = {
    "resnet50": Network(
        "torchvision's ResNet-50",
        lambda: models.ResNet(NarrowBottleneck, [1, 2, 1, 1], num_classes=CLASSES, width_per_group=8),
    ),
    "vgg11_bn": Network("VGG-11-BN", _vgg),
    "mobilenet_v2": Network(
        "MobileNetV2",
        lambda: models.MobileNetV2(
            CLASSES, width_mult=0.25, inverted_residual_setting=[[1, 16, 1, 1], [4, 24, 2, 2], [4, 32, 3, 2]]
        ),
    ),
    "densenet121": Network("DenseNet-121", lambda: models.DenseNet(4, (2, 3, 2, 2), 8, 2, num_classes=CLASSES)),
    "vit": Network(
        "VisionTransformer",
        lambda: VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=20, num_classes=CLASSES
        ),
    ),
    "transformer": Network("a ViT in plain operations", Transformer),
    "mixer": Network("MLP-Mixer", Mixer),
}
