"""The networks that verdicts are measured on. No threshold is chosen on these."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10


def plain_cnn() -> nn.Module:
    """Three convolutions and two linear layers, every ReLU a module of its own."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, CLASSES),
    )  # fmt: skip


class FunctionalCNN(nn.Module):
    """No activation is a module: each ReLU is a call, spelled in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.third = nn.Conv2d(24, 32, 3, stride=2, padding=1)
        self.hidden = nn.Linear(32 * 7 * 7, 48)
        self.head = nn.Linear(48, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.first(images))
        x = torch.relu(self.second(x))
        x = self.third(x).relu_()
        x = F.relu(self.hidden(x.flatten(1)), inplace=True)
        return self.head(x)


def vgg_bn() -> nn.Module:
    """Pairs of 3x3 convolutions with BatchNorm and in-place ReLUs between poolings."""
    return nn.Sequential(
        *_conv_bn_relu(1, 8), *_conv_bn_relu(8, 8), nn.MaxPool2d(2),
        *_conv_bn_relu(8, 16), *_conv_bn_relu(16, 16), nn.MaxPool2d(2),
        *_conv_bn_relu(16, 32), *_conv_bn_relu(32, 32), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 3 * 3, 64), nn.ReLU(inplace=True), nn.Linear(64, CLASSES),
    )  # fmt: skip


def _conv_bn_relu(channels: int, width: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, as in ResNet-18; its one ReLU module runs twice."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity() if stride == 1 else _projection(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(residual + self.shortcut(x))


def _projection(channels: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))


class ResidualNet(nn.Module):
    """Five residual blocks over three resolutions, global average pooling, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True)
        )
        self.layer1 = ResidualBlock(12, 12, 1)
        self.layer2 = nn.Sequential(ResidualBlock(12, 24, 2), ResidualBlock(24, 24, 1))
        self.layer3 = nn.Sequential(ResidualBlock(24, 48, 2), ResidualBlock(48, 48, 1))
        self.fc = nn.Linear(48, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.stem(images))))
        return self.fc(x.mean((2, 3)))


def mlp() -> nn.Module:
    """Four linear layers, dropout after the first."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, 256), nn.ReLU(), nn.Dropout(0.4),
        nn.Linear(256, 96), nn.ReLU(),
        nn.Linear(96, 64), nn.ReLU(),
        nn.Linear(64, CLASSES),
    )  # fmt: skip


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and a GELU perceptron, each beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.norm2(tokens))


class VisionTransformer(nn.Module):
    """6x6 tokens of overlapping 8x8 pixels, a class token and a learned position embedding."""

    def __init__(self, width: int = 40, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 8, stride=4)
        self.class_token = nn.Parameter(0.5 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.5 * torch.randn(1, 37, width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], dim=1)
        tokens = self.norm(self.blocks(tokens + self.position))
        return self.head(tokens[:, 0])


class HeadFirst(nn.Module):
    """Registers its layers from the head down, and runs one in-place ReLU after each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, CLASSES)
        self.hidden = nn.Linear(24 * 7 * 7, 64)
        self.relu = nn.ReLU(inplace=True)
        self.deep = nn.Conv2d(24, 24, 3, padding=1)
        self.middle = nn.Conv2d(16, 24, 3, padding=1)
        self.early = nn.Conv2d(1, 16, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(self.relu(self.early(images)), 2)
        x = F.max_pool2d(self.relu(self.middle(x)), 2)
        x = self.relu(self.deep(x))
        return self.head(self.relu(self.hidden(x.flatten(1))))


EVALUATION: dict[str, Callable[[], nn.Module]] = {
    "plain_cnn": plain_cnn,
    "functional_cnn": FunctionalCNN,
    "vgg_bn": vgg_bn,
    "residual": ResidualNet,
    "mlp": mlp,
    "vision_transformer": VisionTransformer,
    "head_first": HeadFirst,
}
