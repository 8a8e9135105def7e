"""The paths that other images take: experts, early exits and branches that the first two images do not run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from pytest_saliency_sanity.outputs import Forward, Inputs, batch_size
from pytest_saliency_sanity.perturbations.weights.addresses import holders, submodule
from pytest_saliency_sanity.perturbations.weights.execution import (
    Execution,
    note_gradients,
    selected,
    undisturbed,
    watched,
)
from pytest_saliency_sanity.perturbations.weights.gradients import reached, silent

BATCH = 8  # images of which a gradient is taken at a time


def on_all_paths(
    network: nn.Module, execution: Execution, inputs: Inputs, forward: Forward | None = None
) -> Execution:
    """The execution, of the first images, with what the others run beside it.

    They are watched only where a parameter was not used and the path can depend on the image: all in one batch,
    and where that leaves something unused one by one, for a path may be chosen for a whole batch.
    """
    with undisturbed(network), silent():
        for batch in _batches(inputs):
            if not execution.varies or not _unused(network, execution):
                break
            known = execution.last_use
            execution = _joined(network, execution, watched(network, batch, forward))
            for part in _parts(batch):
                if not (execution.last_use.keys() - known.keys()) - execution.reached:
                    break
                note_gradients(execution, network, reached(network, part, forward))
    return execution


def _batches(inputs: Inputs) -> Iterator[Inputs]:
    images = batch_size(inputs)
    yield selected(inputs, 0, images)
    for image in range(images):
        yield selected(inputs, image, image + 1)


def _parts(batch: Inputs) -> Iterator[Inputs]:
    for start in range(0, batch_size(batch), BATCH):
        yield selected(batch, start, start + BATCH)


def _unused(network: nn.Module, execution: Execution) -> bool:
    return any(id(p) not in execution.last_use for p in network.parameters())


def _joined(network: nn.Module, execution: Execution, other: Execution) -> Execution:
    """What only `other` uses, each placed after what precedes it there and is used in both."""
    names = {id(tensor): name for name, tensor in [*network.named_parameters(), *network.named_buffers()]}
    order = sorted((key for key in names if key in other.last_use), key=other.last_use.__getitem__)
    last_use, place = dict(execution.last_use), -1.0
    for rank, key in enumerate(order, 1):
        if key in execution.last_use:
            place = execution.last_use[key]
        else:
            wanted = place + rank / (len(order) + 1)
            last_use[key] = _within_its_module(network, execution, names[key], wanted)
    return replace(execution, last_use=last_use)


def _within_its_module(network: nn.Module, execution: Execution, name: str, position: float) -> float:
    """The position, moved into the time in which the innermost module around it ran that did."""
    for path in reversed(holders(name)):
        intervals = execution.intervals.get(id(submodule(network, path)))
        if intervals:
            start, end = intervals[-1]
            return min(max(position, start), end)
    return position


# What no image uses.


def counterparts(network: nn.Module, execution: Execution) -> dict[str, str]:
    """Names of unused parameters and buffers, and of what is used in their place by the nearest of their siblings.

    Siblings are members of one ModuleList or ModuleDict that are of one class. What cannot run for any image is
    left alone: another task's head, or anything that was not executed where the path does not depend on the image.
    """
    tensors = {name: id(tensor) for name, tensor in [*network.named_parameters(), *network.named_buffers()]}
    used = {name for name, key in tensors.items() if key in execution.last_use}
    found = {}
    for name in tensors.keys() - used:
        for path in holders(name):
            prefix = f"{path}." if path else ""
            member, _, local = name.removeprefix(prefix).partition(".")
            siblings = [prefix + sibling for sibling in _siblings(submodule(network, path), member)]
            in_use = [f"{sibling}.{local}" for sibling in siblings if f"{sibling}.{local}" in used]
            if in_use and _may_run(execution, tensors, prefix + member):
                found[name] = in_use[0]
    return {name: found[name] for name in tensors if name in found}


def _siblings(container: nn.Module, member: str) -> list[str]:
    """The other members of a list that are of the same class, the nearest first."""
    if not isinstance(container, (nn.ModuleList, nn.ModuleDict)):
        return []
    names, kinds = list(container._modules), {name: type(part) for name, part in container._modules.items()}
    others = [name for name in names if name != member and kinds[name] is kinds[member]]
    return sorted(others, key=lambda name: abs(names.index(name) - names.index(member)))


def _may_run(execution: Execution, tensors: dict[str, int], path: str) -> bool:
    within = {key for name, key in tensors.items() if name.startswith(f"{path}.")}
    return execution.varies or bool(
        within & execution.connected
    )  # that runs, multiplied by 0 for these images
