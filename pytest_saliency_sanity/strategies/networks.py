"""Small classifiers of images that are built from a plan, which their repr shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.text import shown

KINDS = ("perceptron", "convolutional", "residual", "attention")


@dataclass(frozen=True)
class Plan:
    """What a network is built of.

    Attributes:
        kind: one of `KINDS`.
        shape: (C, H, W) of its inputs.
        classes: K, the number of logits.
        depth: how many hidden layers or blocks.
        width: channels or features of each.
        batch_norm: whether each hidden layer has one, with statistics that are not those of a new one.
        functional: whether ReLU is a function rather than a module.
        bias: whether layers have one.
        seed: of its weights.
    """

    kind: str = "perceptron"
    shape: tuple[int, int, int] = (1, 6, 6)
    classes: int = 2
    depth: int = 1
    width: int = 4
    batch_norm: bool = False
    functional: bool = False
    bias: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {shown(self.kind)}")


class Network(nn.Module):
    """A classifier of images (N, C, H, W), in evaluation mode; the same plan gives the same weights."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            first = _FIRST[plan.kind](plan)
            hidden = [_BLOCKS[plan.kind](plan) for _ in range(plan.depth)]
            self.body = nn.Sequential(first, *hidden, nn.Flatten())
            features = self.body.eval()(torch.zeros(1, *plan.shape)).shape[1]
            self.head = nn.Linear(features, plan.classes, bias=plan.bias)
            for module in self.modules():
                _settle(module)
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.head(self.body(inputs))  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        """The plan, as it is typed again."""
        return f"Network({self.plan!r})"


class _Function(nn.Module):
    """ReLU as a function."""

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(inputs)


class _Residual(nn.Module):
    """x + ReLU(layer(x))."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.layer(inputs)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    """x + attention(x) of one head, over tokens (N, L, D)."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.queries, self.keys, self.values = (nn.Linear(width, width, bias=bias) for _ in range(3))

    def forward(self, tokens: Tensor) -> Tensor:
        scores = self.queries(tokens) @ self.keys(tokens).mT / tokens.shape[-1] ** 0.5
        return tokens + scores.softmax(-1) @ self.values(tokens)  # type: ignore[no-any-return]


class _Tokens(nn.Module):
    """(N, C, H, W) as (N, H W, C)."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(2).mT


def _active(plan: Plan, layer: nn.Linear | nn.Conv2d, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    _pair(layer)
    norms = [norm(plan.width)] if plan.batch_norm else []
    return nn.Sequential(layer, *norms, _Function() if plan.functional else nn.ReLU())


def _pair(layer: nn.Linear | nn.Conv2d) -> None:
    """Half of the features are the other half's opposites: at no input are all ReLUs off."""
    with torch.no_grad():
        half = len(layer.weight) // 2
        layer.weight[half : 2 * half] = -layer.weight[:half]
        if layer.bias is not None:
            layer.bias.abs_()


def _dense(plan: Plan, features: int) -> nn.Sequential:
    return _active(plan, nn.Linear(features, plan.width, bias=plan.bias), nn.BatchNorm1d)


def _convolution(plan: Plan, channels: int) -> nn.Sequential:
    return _active(plan, nn.Conv2d(channels, plan.width, 3, padding=1, bias=plan.bias), nn.BatchNorm2d)


def _first_dense(plan: Plan) -> nn.Module:
    channels, height, width = plan.shape
    return nn.Sequential(nn.Flatten(), _dense(plan, channels * height * width))


def _first_tokens(plan: Plan) -> nn.Module:
    side = 1 if min(plan.shape[1:]) < 4 else 2
    return nn.Sequential(nn.Conv2d(plan.shape[0], plan.width, side, side, bias=plan.bias), _Tokens())


_FIRST: dict[str, Callable[[Plan], nn.Module]] = {
    "perceptron": _first_dense,
    "convolutional": lambda plan: _convolution(plan, plan.shape[0]),
    "residual": lambda plan: _convolution(plan, plan.shape[0]),
    "attention": _first_tokens,
}
_BLOCKS: dict[str, Callable[[Plan], nn.Module]] = {
    "perceptron": lambda plan: _dense(plan, plan.width),
    "convolutional": lambda plan: _convolution(plan, plan.width),
    "residual": lambda plan: _Residual(_convolution(plan, plan.width)),
    "attention": lambda plan: _Attention(plan.width, plan.bias),
}


def _settle(module: nn.Module) -> None:
    """Give a BatchNorm statistics as if it had seen data."""
    if not isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return
    if module.running_mean is not None and module.running_var is not None:
        nn.init.uniform_(module.running_mean, -0.2, 0.2)
        nn.init.uniform_(module.running_var, 0.5, 1.5)
