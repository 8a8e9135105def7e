"""Small untrained networks, each with one thing that makes randomization go wrong elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

CLASSES = 5


def images(n: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    """Noise, (n, 3, 8, 8)."""
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(dtype)


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(),
        nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, CLASSES),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Sequential(nn.Conv2d(width, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class SmallResNet(nn.Module):
    """Stem, two stages of two residual blocks, head: six blocks; and an auxiliary head for training only."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.AuxLogits = nn.Sequential(nn.Flatten(), nn.Linear(width * 64, CLASSES))
        self.layer1 = nn.Sequential(Residual(width), Residual(width))
        self.layer2 = nn.Sequential(Residual(width, 2), Residual(width))
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        aux = self.AuxLogits(x) if self.training else None
        x = self.fc(self.layer2(self.layer1(x)).mean((2, 3)))
        return x if aux is None else x + aux


class Layer(nn.Module):
    """A transformer layer whose attention is called functionally, with layer scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.scale * self.mlp(self.norm2(x))


class SmallViT(nn.Module):
    """Class token, position embedding, in_proj, layer scale, a final norm: patches, two layers, head."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, 5, width))
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.layers = nn.ModuleList(Layer(width) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], 1) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


class HeadFirst(nn.Module):
    """Registers its head first and its layers in reverse."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, CLASSES)
        self.third = nn.Linear(16, 16)
        self.second = nn.Linear(16, 16)
        self.first = nn.Linear(192, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1).to(next(self.parameters()).dtype)))
        return self.head(F.relu(self.third(F.relu(self.second(x)))))


class Functional(nn.Module):
    """Raw parameters only, used functionally, registered top down."""

    def __init__(self) -> None:
        super().__init__()
        self.w3, self.b3 = nn.Parameter(torch.randn(16, CLASSES) / 4), nn.Parameter(torch.zeros(CLASSES))
        self.w2, self.b2 = nn.Parameter(torch.randn(16, 16) / 4), nn.Parameter(torch.zeros(16))
        self.w1, self.b1 = nn.Parameter(torch.randn(4, 3, 3, 3) / 4), nn.Parameter(torch.zeros(4))
        self.w0 = nn.Parameter(torch.randn(16, 64) / 8)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.w1, self.b1, stride=2, padding=1)).flatten(1)
        x = F.relu(F.linear(F.relu(F.linear(x, self.w0)), weight=self.w2, bias=self.b2))
        return x @ self.w3 + self.b3


class Tied(nn.Module):
    """The first layer's weight is the head's as well, as one object, which `decoder` registers first."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(192, 192)
        self.encoder = nn.Linear(192, 192)
        self.decoder.weight = self.encoder.weight
        self.middle = nn.Linear(192, 192)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(F.relu(self.middle(F.relu(self.encoder(x.flatten(1))))))


class TiedFunctionally(nn.Module):
    """The decoder takes the encoder's weight, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(192, 16)
        self.middle = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.relu(self.middle(F.relu(self.encoder(x.flatten(1))))), self.encoder.weight.t())


def parametrized() -> nn.Module:
    return nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU(),
        parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)), nn.ReLU(),
        nn.utils.spectral_norm(nn.Conv2d(4, 4, 3)), nn.ReLU(), nn.Flatten(),
        parametrizations.weight_norm(nn.Linear(16, CLASSES)),
    )  # fmt: skip


def lazy() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(8), nn.ReLU(),
        nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(CLASSES),
    )  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, CLASSES)
        self.lstm = nn.LSTM(24, 6, 2, batch_first=True)
        self.embed = nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(x.flatten(2).transpose(1, 2).reshape(len(x), 8, 24)))[0][:, -1])


KINDS = {
    "mlp": mlp,
    "resnet": SmallResNet,
    "vit": SmallViT,
    "head_first": HeadFirst,
    "functional": Functional,
    "tied": Tied,
    "tied_functionally": TiedFunctionally,
    "parametrized": parametrized,
    "lazy": lazy,
    "recurrent": Recurrent,
}


def build(kind: str, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, with seeded weights, lazy ones still lazy."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KINDS[kind]().eval()
