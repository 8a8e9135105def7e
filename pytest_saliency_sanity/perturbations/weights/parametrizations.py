"""Parametrized weights (torch.nn.utils.parametrize): drawn as weights, and assigned through `right_inverse`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from pytest_saliency_sanity.loans import entered, lent, loan
from pytest_saliency_sanity.perturbations.restoring.modes import evaluating
from pytest_saliency_sanity.perturbations.restoring.streams import replayed, stream
from pytest_saliency_sanity.perturbations.weights.addresses import submodule
from pytest_saliency_sanity.signals import is_interruption

Draw = Callable[[nn.Module, str, Tensor, torch.Generator], Tensor]


def keeps_state(layer: nn.Module) -> bool:
    """Whether a module is a parametrization whose buffers `right_inverse` may set, as orthogonal's `base`."""
    return hasattr(layer, "right_inverse") and not isinstance(layer, ParametrizationList)


def raw_tensors(parts: ParametrizationList) -> dict[str, Tensor]:
    """What the first parametrization takes, by local name: original, or original0, original1, ..."""
    held = {**parts._parameters, **parts._buffers}
    return {name: tensor for name, tensor in held.items() if tensor is not None}


def made_of(parts: ParametrizationList, place: int | None = None, raw: Sequence[Tensor] = ()) -> Tensor:
    """What the parametrizations before `place` make of raw tensors, the present ones if none are given."""
    value = tuple(raw) or tuple(raw_tensors(parts).values())
    for part in list(parts)[:place]:
        value = (part(*value),)
    return value[0]


def assign(
    network: nn.Module,
    names: Sequence[str],
    trained: Callable[[Tensor], Tensor],
    draw: Draw,
    key: tuple[int, int],
) -> set[str]:
    """Draw the parametrized weights all of whose raw tensors are named; the names that this was done for.

    `draw` is `initialization.redrawn`, `key` the seed and the number of the draw. Left alone are parametrizations
    without a right inverse, and those that refuse the drawn weight or make zeros, NaN or infinities of it.
    """
    done: set[str] = set()
    for path in dict.fromkeys(name.rpartition(".")[0] for name in names):
        part = submodule(network, path)
        if isinstance(part, ParametrizationList) and all(map(keeps_state, part)):
            weight = _Weight(network, path, part)
            if weight.originals.keys() <= set(names) and _assigned(weight, trained, draw, key):
                done |= weight.originals.keys()
    return done


@dataclass(frozen=True)
class _Weight:
    """A parametrized tensor: `path` is that of its list of parametrizations, layer.parametrizations.name."""

    network: nn.Module
    path: str
    parts: ParametrizationList

    @property
    def originals(self) -> dict[str, Tensor]:
        """The raw tensors by qualified name."""
        return {f"{self.path}.{local}": tensor for local, tensor in raw_tensors(self.parts).items()}

    @property
    def place(self) -> tuple[str, str]:
        """The path of the layer, and the name of the tensor there."""
        holder, _, name = self.path.rpartition(".")
        return holder.rpartition(".")[0], name

    def inverted(self, value: Tensor) -> list[Tensor]:
        """Raw tensors that give `value`, or what the parametrization makes of it."""
        for part in reversed(self.parts):
            value = _right_inverse(part, value)
        return [value] if isinstance(value, Tensor) else list(value)


def _right_inverse(part: Any, value: Any) -> Any:
    return part.right_inverse(value)


def _assigned(weight: _Weight, trained: Callable[[Tensor], Tensor], draw: Draw, key: tuple[int, int]) -> bool:
    originals = list(weight.originals.values())
    path, name = weight.place
    numbers = stream(*key, f"{path}.{name}" if path else name)
    with entered(torch.no_grad()), evaluating(weight.parts), replayed(numbers.initial_seed()):
        before = made_of(weight.parts, raw=[trained(original) for original in originals])
        drawn = draw(submodule(weight.network, path), name, before, numbers).to(before.device, before.dtype)
        with _own_buffers(weight.parts) as accept:
            values = _inverted(weight, drawn)
            if [(v.shape, v.dtype) for v in values] != [(o.shape, o.dtype) for o in originals]:
                return False
            accept()
    for original, value in zip(originals, values, strict=True):
        original.data.copy_(value)
    return True


def _inverted(weight: _Weight, drawn: Tensor) -> list[Tensor]:
    """The raw tensors for `drawn`; none where they cannot be had or do not give a weight."""
    try:
        values = weight.inverted(drawn)
        made = made_of(weight.parts, raw=values)
    except Exception as error:
        if is_interruption(error):
            raise
        return []
    return values if bool(made.isfinite().all()) and bool(made.any()) else []


@loan
def _own_buffers(parts: ParametrizationList) -> Iterator[Callable[[], None]]:
    """A context after which every buffer is the object that it was, with its new values where they are accepted."""
    slots: list[tuple[dict[str, Any], dict[str, Tensor | None]]] = [
        (module._buffers, dict(module._buffers)) for part in parts for module in part.modules()
    ]
    accepted: list[bool] = []

    def give_back() -> None:
        for buffers, before in slots:
            for name, buffer in before.items():
                if buffers[name] is not buffer and buffer is not None:
                    if accepted:
                        buffer.data.copy_(buffers[name])
                    buffers[name] = buffer

    with lent(lambda: None, give_back):
        yield lambda: accepted.append(True)
