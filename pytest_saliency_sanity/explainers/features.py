"""The spatial feature maps that a model makes on its way, found by watching the functions it calls.

Whether (N, 14, 14, 96) is 14 channels of 14x96 or 96 channels of 14x14 cannot be told from the numbers. It
is told from the functions: a convolution makes its channels the second axis, a linear layer or a LayerNorm
over one axis the last (and each expects them there in what it is given); permutations move them; what keeps
the shape keeps them where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pytest_saliency_sanity.explainers.interception import argument, function_name, tensors_in

# Class, distillation and register tokens in front of the patch tokens, where the grid has to be guessed.
USUAL_PREFIXES = (0, 1, 2, 5)
LONGEST_PREFIX = 16


@dataclass(frozen=True)
class Layout:
    """How a tensor is read as (N, C, *grid): its channel axis, and the tokens in front of the grid's."""

    channels: int
    grid: tuple[int, ...]
    prefix: int = 0

    def read(self, tensor: Tensor) -> Tensor:
        """(N, C, *grid) without the prefix tokens."""
        first = tensor.movedim(self.channels, 1)
        if first.dim() == 3:
            first = first[:, :, self.prefix :]
        return first.reshape(*first.shape[:2], *self.grid)


@dataclass(frozen=True)
class FeatureMap:
    """A tensor of the model's graph, with the layout in which it is a map over the input's positions."""

    tensor: Tensor
    layout: Layout

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return self.tensor.shape[self.layout.channels]


class FeatureMaps(TorchFunctionMode):
    """While active, collects in `found` the feature maps of inputs (n, C, *spatial), as they are made.

    `without_gradient` tells whether there are others, that have no gradient, `recurrent` which recurrent layers ran.
    """

    def __init__(self, n: int, spatial: tuple[int, ...]) -> None:
        super().__init__()
        self.n = n
        self.spatial = spatial
        self.found: list[FeatureMap] = []
        self.without_gradient = False
        self.recurrent: set[str] = set()
        self.patch_grid: tuple[int, ...] | None = None
        # By identity, with the tensor, which keeps the identity from being used again.
        self._channels: dict[int, tuple[Tensor, int]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = function_name(func)
        if isinstance(out, Tensor) and out.dim() > 2:
            self._notice(name, args, kwargs, out)
        if name.startswith(_RECURRENT):
            self.recurrent.add(name.split("_")[0].upper())
        return out

    def layout_of(self, tensor: Tensor) -> Layout | None:
        """The layout of any tensor; the channel axis is guessed by size where no function told it."""
        if tensor.dim() < 3 or len(tensor) != self.n:
            return None
        known = self._axis(tensor)
        layouts = [
            layout_of(tensor.shape, axis, self.spatial, self.patch_grid)
            for axis in ((1, -1) if known is None else (known,))
        ]
        fitting = [layout for layout in layouts if layout and _fits(layout.grid, self.spatial)]
        return next(iter(fitting), next(filter(None, layouts), None))

    def _notice(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
        given = argument(args, kwargs, 0, "input", "self")
        expected = _expected_axis(name, args, kwargs)
        if self._channels and expected and isinstance(given, Tensor) and self._axis(given) is None:
            self._keep(given, expected)
        axis = self._channel_axis(name, args, kwargs, out)
        if axis is not None:
            self._keep(out, axis)

    def _keep(self, tensor: Tensor, axis: int) -> None:
        self._channels[id(tensor)] = (tensor, axis)
        layout = layout_of(tensor.shape, axis, self.spatial, self.patch_grid)
        if layout is None or len(tensor) != self.n or prod(layout.grid) < 2:
            return
        if axis == 1:
            self.patch_grid = layout.grid
        if not _fits(layout.grid, self.spatial):
            return
        if tensor.requires_grad:
            self.found.append(FeatureMap(tensor, layout))
        else:
            self.without_gradient = True

    def _channel_axis(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
    ) -> int | None:
        expected = _expected_axis(name, args, kwargs)
        # A convolution or linear layer makes features of anything; the others only keep those there are.
        if name.startswith("conv") or (expected == -1 and (self._channels or name != "layer_norm")):
            return expected
        if name in _PERMUTATIONS:
            return self._permuted(_PERMUTATIONS[name], args, kwargs)
        return self._inherited(name, args, kwargs, out)

    def _inherited(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> int | None:
        for tensor in tensors_in((*args, *kwargs.values())):
            axis = self._axis(tensor) if tensor.dim() == out.dim() else None
            kept = axis == 1 and name.startswith(_KEPT_FIRST)
            if axis is not None and (kept or tensor.shape == out.shape):
                return axis
        return None

    def _permuted(
        self, order_of: Callable[..., list[int]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> int | None:
        x = argument(args, kwargs, 0, "input", "self")
        axis = self._axis(x)
        if axis is None:
            return None
        order = order_of(x.dim(), args[1:], kwargs)
        if order[0] != 0:
            return None
        new = order.index(axis % x.dim())
        return -1 if new == x.dim() - 1 > 1 else new

    def _axis(self, tensor: Any) -> int | None:
        return self._channels.get(id(tensor), (None, None))[1]


def layout_of(
    shape: Iterable[int], channels: int, spatial: tuple[int, ...], patch_grid: tuple[int, ...] | None = None
) -> Layout | None:
    """The layout of a tensor whose channel axis is 1 or -1, or None if it is no map over `spatial`.

    Tokens (N, T, D) are folded to `patch_grid`, the size of the map they were made from, or else to a grid
    of the proportions of `spatial`; what is left over in front are class tokens. Maps with their channels
    last need these proportions too: (N, windows, positions, C) is no map.
    """
    shape = tuple(shape)
    if channels not in (1, -1):
        return None
    positions = shape[2:] if channels == 1 else shape[1:-1]
    if channels == -1 and len(positions) == 1:
        return _folded(positions[0], spatial, patch_grid)
    if len(positions) != len(spatial) or (channels == -1 and not in_proportion(positions, spatial)):
        return None
    return Layout(channels, positions)


def in_proportion(grid: tuple[int, ...], spatial: tuple[int, ...]) -> bool:
    """Whether one patch size gives this grid, rounded up or down in each dimension."""
    smallest = max(side / (small + 1) for side, small in zip(spatial, grid, strict=True))
    largest = min(side / max(small - 1, 1e-9) for side, small in zip(spatial, grid, strict=True))
    return smallest < largest


def _folded(tokens: int, spatial: tuple[int, ...], patch_grid: tuple[int, ...] | None) -> Layout | None:
    if patch_grid and 0 <= tokens - prod(patch_grid) <= min(LONGEST_PREFIX, prod(patch_grid)):
        return Layout(-1, patch_grid, tokens - prod(patch_grid))
    for prefix in USUAL_PREFIXES:
        grid = _proportional(tokens - prefix, spatial)
        if grid:
            return Layout(-1, grid, prefix)
    return None


def _proportional(positions: int, spatial: tuple[int, ...]) -> tuple[int, ...] | None:
    if positions < 1:
        return None
    patch = (prod(spatial) / positions) ** (1 / len(spatial))
    grid = tuple(round(side / patch) for side in spatial)
    return grid if prod(grid) == positions else None


def _fits(grid: tuple[int, ...], spatial: tuple[int, ...]) -> bool:
    return all(small <= large for small, large in zip(grid, spatial, strict=True))


def _expected_axis(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Where a function expects the channels of its input, if it tells."""
    if name.startswith(_CHANNELS_FIRST):
        return 1
    if name == "linear" or (name in _PRODUCTS and _is_matrix(argument(args, kwargs, 1, "other"))):
        return -1
    if name == "layer_norm" and len(argument(args, kwargs, 1, "normalized_shape")) == 1:
        return -1
    return None


_CHANNELS_FIRST = (
    "conv",
    "max_pool",
    "_max_pool",
    "avg_pool",
    "adaptive_",
    "lp_pool",
    "fractional_",
    "interpolate",
    "upsample",
    "pixel_",
    "batch_norm",
    "group_norm",
    "instance_norm",
)
_RECURRENT = ("lstm", "gru", "rnn_")
_PRODUCTS = ("matmul", "__matmul__")
_KEPT_FIRST = (*_CHANNELS_FIRST, "pad", "cat", "concat", "mean", "amax", "sum")


def _is_matrix(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 2


def _permute_order(rank: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    given = args or (kwargs["dims"],)
    dims = given[0] if isinstance(given[0], (tuple, list, torch.Size)) else given
    return [dim % rank for dim in dims]


def _transpose_order(rank: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    first, second = argument(args, kwargs, 0, "dim0", "axis0"), argument(args, kwargs, 1, "dim1", "axis1")
    order = list(range(rank))
    order[first], order[second] = order[second], order[first]
    return order


def _movedim_order(rank: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    # The empty tensor of the same rank does the bookkeeping.
    probe = torch.empty(*range(rank), device="meta")
    source, destination = argument(args, kwargs, 0, "source"), argument(args, kwargs, 1, "destination")
    return list(probe.movedim(source, destination).shape)


_PERMUTATIONS: dict[str, Callable[[int, tuple[Any, ...], dict[str, Any]], list[int]]] = {
    "permute": _permute_order,
    "transpose": _transpose_order,
    "swapaxes": _transpose_order,
    "swapdims": _transpose_order,
    "movedim": _movedim_order,
    "moveaxis": _movedim_order,
}
