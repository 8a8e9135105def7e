"""Dense predictions: where the head begins that turns a network's features into a map of logits.

A map of logits is a spatial feature map too, and the last one; a class activation map of it is the prediction itself,
and says nothing of why. What counts as the head is told by the modules: the outermost one that is given features and
returns a map with as many channels as the prediction has (`classifier` in torchvision's segmentation networks).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pytest_saliency_sanity.explainers.features import FeatureMap, FeatureMaps, in_proportion
from pytest_saliency_sanity.loans import Loan, lent


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        module: the module.
        begun: how many feature maps there were when it began.
        bare: whether it returned a tensor, and not something that holds tensors.
        returned: the tensors that it returned.
    """

    module: nn.Module
    begun: int
    bare: bool
    returned: tuple[Tensor, ...]


def watching_calls(model: Any, maps: FeatureMaps) -> Loan[list[Call]]:
    """The calls of the modules of `model` in the order in which they end, as long as the context is open."""
    calls: list[Call] = []
    begun: dict[nn.Module, list[int]] = {}
    handles: list[RemovableHandle] = []

    def begin(module: nn.Module, args: Any) -> None:
        begun.setdefault(module, []).append(len(maps.found))

    def end(module: nn.Module, args: Any, output: Any) -> None:
        if begun.get(module):  # a module that is called by a hook of its own has no beginning
            bare = isinstance(output, Tensor)
            calls.append(Call(module, begun[module].pop(), bare, tuple(_tensors(output))))

    def watch() -> list[Call]:
        for module in model.modules() if isinstance(model, nn.Module) else ():
            handles.append(module.register_forward_pre_hook(begin))
            handles.append(module.register_forward_hook(end))
        return calls

    return lent(watch, lambda: list(map(RemovableHandle.remove, handles)))


def before_head(
    model: Any,
    maps: FeatureMaps,
    calls: Sequence[Call],
    classes: int,
    gradient_at: Callable[[Tensor], Tensor | None],
) -> list[FeatureMap] | None:
    """The feature maps that are made before the head, in a network that predicts a map; None in any other.

    Those with as many channels as the prediction are left out if there are others: scores of several depths that
    are upsampled and added (Long et al. 2015) are predictions as well.

    Args:
        model: the network.
        maps: its feature maps.
        calls: of its modules, see `watching_calls`.
        classes: the number of its logits.
        gradient_at: the gradient of the scores at a tensor; None where they do not depend on it.
    """
    predicting = _predicting_call(model, maps, calls, classes, gradient_at)
    if predicting is None:
        return None
    call, channels = predicting
    head = _head_start(maps, calls, call.begun, channels, gradient_at)
    features = maps.found[call.begun : head]
    wider = [feature for feature in features if feature.channels != channels]
    return wider or ([] if head is None else features)


def _predicting_call(
    model: Any,
    maps: FeatureMaps,
    calls: Sequence[Call],
    classes: int,
    gradient_at: Callable[[Tensor], Tensor | None],
) -> tuple[Call, int] | None:
    """The call of a whole network that returned a map of logits, and the map's channels."""
    for call in reversed(calls):
        whole = call.module is model
        if not whole and (call.begun or not any(call.module.children())):
            continue
        for tensor in call.returned:
            read = _positions(maps, tensor)
            if read is None or not (whole or not call.bare or read[1] == maps.spatial):
                continue
            channels, gradient = read[0], gradient_at(tensor)
            if gradient is None or not _ends_with(maps, channels, gradient_at):
                continue
            alike = channels == classes and (whole or not call.bare)
            if alike or _of_one_channel(maps, tensor, gradient):
                return call, channels
    return None


def _positions(maps: FeatureMaps, tensor: Tensor) -> tuple[int, tuple[int, ...]] | None:
    """(channels, grid) of a map over the input's positions; a map (N, *S), as of depths, has one channel."""
    if len(tensor) != maps.n:
        return None
    if tensor.dim() == len(maps.spatial) + 1 and in_proportion(tensor.shape[1:], maps.spatial):
        return 1, tuple(tensor.shape[1:])
    layout = maps.layout_of(tensor) if tensor.dim() == len(maps.spatial) + 2 else None
    if layout is None or prod(layout.grid) < 2:
        return None
    return tensor.shape[layout.channels], tuple(layout.grid)


def _of_one_channel(maps: FeatureMaps, tensor: Tensor, gradient: Tensor) -> bool:
    """Whether the score of each image depends on one channel alone, as it does on a map of logits."""
    layout = maps.layout_of(tensor) if tensor.dim() == len(maps.spatial) + 2 else None
    if layout is None:
        return bool(gradient.any())
    return int((layout.read(gradient) != 0).flatten(2).any(2).sum(1).max()) == 1


def _ends_with(maps: FeatureMaps, channels: int, gradient_at: Callable[[Tensor], Tensor | None]) -> bool:
    """Whether the last feature map that the scores depend on has so many channels: nothing is made of it."""
    last = next((one for one in reversed(maps.found) if gradient_at(one.tensor) is not None), None)
    return last is not None and last.channels == channels


def _head_start(
    maps: FeatureMaps,
    calls: Sequence[Call],
    begun: int,
    channels: int,
    gradient_at: Callable[[Tensor], Tensor | None],
) -> int | None:
    """How many feature maps there were when the head began; None where no module is the head."""
    for call in reversed(calls):  # of modules within one another the outer one ends last
        if call.begun <= begun or not any(weight.dim() > 1 for weight in call.module.parameters()):
            continue
        for tensor in call.returned:
            read = _positions(maps, tensor)
            if read is not None and read[0] == channels and gradient_at(tensor) is not None:
                return call.begun
    return None


def _tensors(returned: Any) -> Iterator[Tensor]:
    if isinstance(returned, Tensor):
        yield from _all_tensors((returned,))
    elif isinstance(returned, Mapping):
        yield from _all_tensors(returned.values())
    elif isinstance(returned, (tuple, list)):
        yield from _all_tensors(returned)
    elif dataclasses.is_dataclass(returned):
        yield from _all_tensors(getattr(returned, field.name) for field in dataclasses.fields(returned))


def _all_tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    return (value for value in values if isinstance(value, Tensor) and value.dim() > 0)
