"""Which tensors a forward pass uses, when, and which block each belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor, nn

from pytest_saliency_sanity.perturbations.weights.addresses import (
    owner,
    submodule,
    tensor_at,
)
from pytest_saliency_sanity.perturbations.weights.execution import Execution
from pytest_saliency_sanity.perturbations.weights.initialization import (
    is_layer_weight,
    is_redrawn_buffer,
)
from pytest_saliency_sanity.perturbations.weights.paths import counterparts


@dataclass(frozen=True)
class Use:
    """A tensor that the forward pass uses, under one of its names, and the block-to-be it is part of."""

    name: str
    position: float
    rank: int
    unit: str
    is_weight: bool
    is_buffer: bool


def tensor_uses(network: nn.Module, execution: Execution, grouping: Callable[[str], str | None]) -> list[Use]:
    """What is used, in the order of registration; `grouping` gives the block of a name, or None."""
    uses = []
    for rank, (position, names) in enumerate(used_parameters(network, execution)):
        name, unit = _home(network, execution, grouping, position, names)
        if unit is not None:
            uses.append(Use(name, position, rank, unit, is_weight_of_layer(network, name), False))
    return uses + list(_buffer_uses(network, execution, grouping, uses))


def used_parameters(network: nn.Module, execution: Execution) -> list[tuple[float, list[str]]]:
    """(last use, names) of each used parameter; those that share one memory under all their names."""
    names: dict[tuple[object, ...], list[str]] = defaultdict(list)
    positions: dict[tuple[object, ...], float] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        key = _memory(parameter)
        names[key].append(name)
        position = execution.last_use.get(id(parameter))
        if position is not None:
            positions[key] = max(position, positions.get(key, position))
    return [(positions[key], tied) for key, tied in names.items() if key in positions]


def _memory(tensor: Tensor) -> tuple[object, ...]:
    return (tensor.device, tensor.data_ptr(), tensor.numel()) if tensor.numel() else (id(tensor),)


def _home(
    network: nn.Module,
    execution: Execution,
    grouping: Callable[[str], str | None],
    position: float,
    names: list[str],
) -> tuple[str, str | None]:
    """The name and unit under which a parameter was last used."""
    units = [(name, unit) for name in names if (unit := grouping(name)) is not None]
    running = [pair for pair in units if _runs(network, execution, pair, position)]
    silent = [pair for pair in units if _is_silent(network, execution, pair)]
    # Used while its module was not running: a tied weight taken by another layer, a unit of its own.
    return next(iter([*running, *silent]), (names[0], names[0] if units else None))


def _runs(network: nn.Module, execution: Execution, pair: tuple[str, str], position: float) -> bool:
    name, unit = pair
    return name != unit and execution.during(submodule(network, unit), position)


def _is_silent(network: nn.Module, execution: Execution, pair: tuple[str, str]) -> bool:
    name, unit = pair
    return name == unit or id(submodule(network, unit)) not in execution.intervals


def _buffer_uses(
    network: nn.Module, execution: Execution, grouping: Callable[[str], str | None], uses: list[Use]
) -> Iterator[Use]:
    units = {use.unit: use for use in uses}
    for rank, (name, buffer) in enumerate(network.named_buffers(), len(uses)):
        unit, position = grouping(name), execution.last_use.get(id(buffer))
        if unit is None or not is_redrawn_buffer(*owner(network, name), buffer):
            continue
        if position is None and unit in units:
            position = units[unit].position
        if position is not None:
            yield Use(name, position, rank, unit, False, True)


def sibling_uses(network: nn.Module, execution: Execution, uses: list[Use]) -> list[Use]:
    """What other images than these may use in place of what is used: it is re-initialized with it."""
    known = {use.name: use for use in uses}
    return [
        # Before what is used: that is the last, and the head's own.
        replace(known[used], name=name, position=known[used].position - 0.5)
        for name, used in counterparts(network, execution).items()
        if used in known
    ]


def is_weight_of_layer(network: nn.Module, name: str) -> bool:
    """Whether the parameter of this name is what its layer multiplies by."""
    return is_layer_weight(*owner(network, name), tensor_at(network, name))
