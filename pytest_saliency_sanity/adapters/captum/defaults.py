"""What captum leaves open and a method needs: windows, baselines, cells of features, and how much runs at once.

- Occlusion without `sliding_window_shapes`: an eighth of each side, all channels at once, in steps of half a window.
- `baselines` of methods that need a distribution: two inputs of zeros.
- `feature_mask` and `layer_mask`: a value is a feature, as in captum, up to 1,024 of them; of more, a grid of 8 × 8
  cells (64 along a line, 4 × 4 × 4 in a volume) over all channels. ShapleyValues tries each order: of more than 6
  features it takes 2 × 2 cells.
- `internal_batch_size` and `nt_samples_batch_size` are set where what runs at once would not fit in the bound below.
  `perturbations_per_eval` stays 1, as in captum: batches of other sizes are rounded differently, which differences of
  logits magnify to some 1e-5 of a map.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.layout import axis_of, current_channel_axis, space_of

# Values of inputs that go through the model at once.
AT_ONCE = 2**23
_MOST_FEATURES, _CELLS = 1024, 64
_MOST_ORDERED = 6


def completed(method: Any, made: Any, layer: Any, inputs: Any, others: Any = None) -> dict[str, Any]:
    """The options of `attribute`, in the types that captum asks for, with what it leaves open.

    Args:
        method: a `calls.Method`.
        made: the object whose `attribute` is called.
        layer: the module that it looks at, or None.
        others: what the model is called with behind the inputs.
    """
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    call = {name: _cast(name, value, parts[0].device) for name, value in method.call.items()}
    open_to = method.takes - call.keys()
    if "sliding_window_shapes" in open_to:
        call = {**_windows(inputs), **call}
    if "baselines" in open_to and _is_required(method.kind, "baselines"):
        call["baselines"] = _like(inputs, [part.new_zeros(2, *part.shape[1:]).detach() for part in parts])
    if "feature_mask" in open_to and (mask := _cells(method, parts)):
        call["feature_mask"] = _like(inputs, mask)
    if "layer_mask" in open_to and (
        mask := _cells(method, _layer_shapes(method, made, layer, inputs, others), 1)
    ):
        call["layer_mask"] = tuple(mask)
    return {**call, **_at_once(method, made, call, parts)}


def _cast(name: str, value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if name in ("feature_mask", "layer_mask") and isinstance(value, list):
        return torch.tensor(value, device=device)
    if name == "stdevs":
        return tuple(map(float, value)) if isinstance(value, (list, tuple)) else float(value)
    return _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _is_required(kind: Any, name: str) -> bool:
    parameter = inspect.signature(kind.attribute).parameters[name]
    return parameter.default is parameter.empty


def _like(inputs: Any, parts: Sequence[Any]) -> Any:
    return tuple(parts) if isinstance(inputs, tuple) else parts[0]


def _windows(inputs: Any) -> dict[str, Any]:
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    windows = [_window(part) for part in parts]
    steps = [tuple(max(1, side // 2) for side in window) for window in windows]
    return {"sliding_window_shapes": _like(inputs, windows), "strides": _like(inputs, steps)}


def _window(part: Tensor) -> tuple[int, ...]:
    """An eighth of each side, and all channels; of inputs without sides a 64th of the features."""
    if part.ndim < 3:
        return tuple(math.ceil(side / _CELLS) for side in part.shape[1:])
    channels = axis_of(part, current_channel_axis())
    return tuple(
        side if axis == channels else math.ceil(side / 8) for axis, side in enumerate(part.shape) if axis
    )


def _cells(method: Any, parts: Sequence[Tensor], axis: int | None = None) -> list[Tensor]:
    """A mask for each part, numbered on; none where there are few enough features."""
    ordered = method.is_a("ShapleyValues")
    features = sum(part[0].numel() for part in parts)
    if features <= (_MOST_ORDERED if ordered else _MOST_FEATURES):
        return []
    masks: list[Tensor] = []
    for part in parts:
        mask = _grid(part, current_channel_axis() if axis is None else axis, ordered)
        masks.append(mask + (int(masks[-1].max()) + 1 if masks else 0))
    return masks


def _grid(part: Tensor, axis: int | None, ordered: bool) -> Tensor:
    """(1, C, *S): the number of the cell that a value is in; all channels are in the same."""
    sides = space_of(part, axis) or tuple(part.shape[1:])
    number = torch.zeros((), dtype=torch.long, device=part.device)
    for side, count in zip(sides, _counts(len(sides), ordered), strict=True):
        count = min(side, count)
        along = torch.arange(side, device=part.device) * count // side
        number = number[..., None] * count + along
    if part.ndim > 2:
        number = number.unsqueeze(axis_of(part, axis) - 1)
    return number.expand(part.shape[1:])[None].clone()


def _counts(dimensions: int, ordered: bool) -> list[int]:
    if not ordered:
        return [round(_CELLS ** (1 / dimensions))] * dimensions
    return [4] if dimensions == 1 else [1] * (dimensions - 2) + [2, 2]


def _layer_shapes(method: Any, made: Any, layer: Any, inputs: Any, others: Any) -> list[Tensor]:
    from captum.attr import LayerActivation

    option = "attribute_to_layer_input"
    own = {option: method.call[option]} if option in method.call else {}
    found = LayerActivation(made.forward_func, layer).attribute(inputs, others, **own)
    return list(found) if isinstance(found, tuple) else [found]


def _at_once(method: Any, made: Any, call: dict[str, Any], parts: Sequence[Tensor]) -> dict[str, int]:
    """The options by which captum divides its work, where it takes them, the user has not, and it is needed."""
    count, values = len(parts[0]), sum(part[0].numel() for part in parts)
    open_to, found = method.takes - call.keys(), {}
    if "nt_samples_batch_size" in open_to and method.tunnel:
        samples = call.get("nt_samples", 5)
        fitting = max(1, AT_ONCE // (count * values))
        if fitting < samples:
            found["nt_samples_batch_size"] = fitting
        count *= min(samples, fitting)
    elif method.tunnel:
        count *= min(call.get("nt_samples", 5), call["nt_samples_batch_size"] or math.inf)
    if "internal_batch_size" in open_to and count * call.get("n_steps", 50) * values > AT_ONCE:
        found["internal_batch_size"] = max(count, AT_ONCE // values)
    return found
