"""The networks that thresholds are chosen on: of other kinds than those they are measured on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10


def lenet() -> nn.Module:
    """LeNet-5's layers with unpadded convolutions, max-pooling and ReLUs."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 5 * 5, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES),
    )  # fmt: skip


def all_convolutional() -> nn.Module:
    """Strides in place of pooling; the head is a 1x1 convolution, averaged over space."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(),
        nn.Conv2d(48, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def mlp_bn() -> nn.Module:
    """Three linear layers with BatchNorm."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, 192, bias=False), nn.BatchNorm1d(192), nn.ReLU(),
        nn.Linear(192, 96, bias=False), nn.BatchNorm1d(96), nn.ReLU(),
        nn.Linear(96, CLASSES),
    )  # fmt: skip


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, LayerNorm, a GELU perceptron over channels, layer scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.project = nn.Linear(2 * width, width)
        self.layer_scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm(self.depthwise(x).movedim(1, -1))
        residual = self.layer_scale * self.project(F.gelu(self.expand(residual)))
        return x + residual.movedim(-1, 1)


def convnext() -> nn.Module:
    """Patches of 4x4 pixels, three blocks, global average pooling and a norm before the head."""
    return nn.Sequential(
        nn.Conv2d(1, 48, 4, stride=4), ChannelNorm(48),
        ConvNeXtBlock(48), ConvNeXtBlock(48), ConvNeXtBlock(48),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(48), nn.Linear(48, CLASSES),
    )  # fmt: skip


class ReluEncoderBlock(nn.Module):
    """Attention with one linear layer for queries, keys and values; a perceptron that calls F.relu."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self._attend(self.norm1(tokens))
        return tokens + self.down(F.relu(self.up(self.norm2(tokens))))

    def _attend(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        queries, keys, values = self.qkv(tokens).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return self.out(attended.transpose(1, 2).reshape(batch, length, width))


class MeanPooledTransformer(nn.Module):
    """Tokens from two strided convolutions; no class token: the head reads the mean token."""

    def __init__(self, width: int = 40, depth: int = 2, heads: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Sequential(
            nn.Conv2d(1, 20, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(20, width, 4, stride=2)
        )
        self.position = nn.Parameter(0.5 * torch.randn(1, 36, width))
        self.blocks = nn.Sequential(*(ReluEncoderBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.tokens(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(1))


def wide_cnn() -> nn.Module:
    """Wide and shallow: two convolutions and one linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv2d(32, 96, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(96 * 7 * 7, CLASSES),
    )  # fmt: skip


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, linear projection, as in MobileNetV2, with ReLU6."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        hidden = 2 * channels
        self.skip = stride == 1 and channels == width
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True), nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skip else self.layers(x)


def mobile_net() -> nn.Module:
    """Three inverted residual blocks between two plain convolutions; dropout before the head."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU6(inplace=True),
        InvertedResidual(12, 12, 1), InvertedResidual(12, 32, 2), InvertedResidual(32, 32, 1),
        nn.Conv2d(32, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU6(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(96, CLASSES),
    )  # fmt: skip


def group_norm_silu() -> nn.Module:
    """Convolutions with GroupNorm and SiLU: not one ReLU."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.SiLU(), nn.AvgPool2d(2),
        nn.Conv2d(24, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.SiLU(), nn.AvgPool2d(2),
        nn.Conv2d(32, 48, 3, padding=1), nn.GroupNorm(4, 48), nn.SiLU(),
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(48 * 4, CLASSES),
    )  # fmt: skip


DEVELOPMENT: dict[str, Callable[[], nn.Module]] = {
    "lenet": lenet,
    "all_convolutional": all_convolutional,
    "mlp_bn": mlp_bn,
    "convnext": convnext,
    "mean_pooled_transformer": MeanPooledTransformer,
    "wide_cnn": wide_cnn,
    "mobile_net": mobile_net,
    "group_norm_silu": group_norm_silu,
}
