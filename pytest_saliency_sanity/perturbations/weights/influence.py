"""Which of the parameters that a forward pass uses the logits depend on.

Auxiliary heads, the heads of other tasks and box regressors run and reach no logit. A gradient that is not zero
shows that a parameter does reach them. It is not seen through a hard gate (argmax, a comparison), nor where the
trained value of another parameter is 0; so what has none is re-initialized, in the trained and in re-initialized
networks, and is left out where that changes no logit.

In place, as torch.func.functional_call is wrong for 3 of 13 networks: scripted, with weights that stand in a list, with
two parameters of one memory (`python -m tests.benchmarks.libraries networks`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, Inputs, batch_size, logits
from pytest_saliency_sanity.perturbations.restoring.preservation import Snapshot, preserved
from pytest_saliency_sanity.perturbations.restoring.streams import random_state, restoring
from pytest_saliency_sanity.perturbations.weights.addresses import holders, owner, tensor_at
from pytest_saliency_sanity.perturbations.weights.execution import Execution, selected, undisturbed
from pytest_saliency_sanity.perturbations.weights.gradients import reached, silent
from pytest_saliency_sanity.perturbations.weights.initialization import (
    initialize,
    is_layer_weight,
    is_redrawn_buffer,
)

DRAWS = 4  # re-initializations that must change no logit, in the trained network and in re-initialized ones
PIXELS = 2**18  # input values that they are tried on: 2 to 8 images
BATCH = 8  # the most images at a time


def depended_on(
    network: nn.Module, execution: Execution, inputs: Inputs, forward: Forward | None = None
) -> Execution:
    """The execution without what no logit depends on; as it is where none depends on anything."""
    if not _doubtful(network, execution, execution.reached):
        return execution
    with preserved(network) as trained, undisturbed(network), silent():
        trial = _Trial(network, selected(inputs, 0, _images(inputs)), forward, trained, execution)
        known = execution.reached | trial.reached()
        if any(
            id(tensor_at(network, name)) in execution.connected
            for name in _doubtful(network, execution, known)
        ):
            known |= _reached_by_any(network, inputs, forward)
        doubtful = _doubtful(network, execution, known)
        idle = set(doubtful) - {name for names in _deciding(trial, _by_owner(doubtful)) for name in names}
    return _without(network, execution, idle)


def _images(inputs: Inputs) -> int:
    parts = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    return max(2, min(BATCH, PIXELS // max(1, sum(part[0].numel() for part in parts))))


def _reached_by_any(network: nn.Module, inputs: Inputs, forward: Forward | None) -> set[int]:
    """On which parameters there is a gradient for any image: an expert may be multiplied by 0 for the first."""
    parts = (selected(inputs, start, start + BATCH) for start in range(0, batch_size(inputs), BATCH))
    return {key for part in parts for key in reached(network, part, forward)[0]}


def _doubtful(network: nn.Module, execution: Execution, known: set[int]) -> list[str]:
    """The used parameters without a gradient; a bias beside a weight that has one is not in doubt."""
    used = [(name, p) for name, p in network.named_parameters() if id(p) in execution.last_use]
    certain = {name.rpartition(".")[0] for name, p in used if id(p) in known}
    return [
        name
        for name, p in used
        if id(p) not in known
        and (name.rpartition(".")[0] not in certain or is_layer_weight(*owner(network, name), p))
    ]


def _by_owner(names: Sequence[str]) -> list[list[str]]:
    groups = defaultdict(list)
    for name in names:
        groups[name.rpartition(".")[0]].append(name)
    return list(groups.values())


@dataclass(frozen=True)
class _Trial:
    """A network and the images on which it is tried what its logits depend on."""

    network: nn.Module
    inputs: Inputs
    forward: Forward | None
    trained: Snapshot
    execution: Execution
    known: dict[object, Tensor] = field(default_factory=dict)  # logits by what was re-initialized

    def reached(self) -> set[int]:
        """What has a gradient where no weight is at its trained value."""
        with preserved(self.network, self.trained):
            self._draw(self.everything(), 0)
            return reached(self.network, self.inputs, self.forward)[0]

    def everything(self) -> list[str]:
        """All that is used, as in the re-initialized network."""
        parameters = [n for n, p in self.network.named_parameters() if id(p) in self.execution.last_use]
        buffers = [
            n for n, b in self.network.named_buffers() if is_redrawn_buffer(*owner(self.network, n), b)
        ]
        return parameters + buffers

    def logits(self, names: Sequence[str] = (), base: int | None = None, draw: int = 0) -> Tensor:
        """With `names` re-initialized, in the network whose other weights are trained, or drawn as `base`."""
        with preserved(self.network, self.trained), entered(torch.no_grad()), restoring(random_state()):
            if base is not None:
                self._draw(self.everything(), base)
            self._draw(names, draw)
            return logits(self.network, self.inputs, self.forward).detach().clone()

    def without_change(self, base: int | None) -> Tensor:
        """The logits of the network whose weights are trained, or drawn as `base`."""
        if base not in self.known:
            self.known[base] = self.logits(base=base)
        return self.known[base]

    def _draw(self, names: Sequence[str], draw: int) -> None:
        initialize(self.network, names, self.trained.value, draw=draw)


def _deciding(trial: _Trial, groups: list[list[str]]) -> list[list[str]]:
    """The groups of names whose re-initialization changes a logit, halving where one among many does."""
    if not groups or not _changes_logits(trial, [name for names in groups for name in names]):
        return []
    if len(groups) == 1:
        return groups
    half = len(groups) // 2
    return _deciding(trial, groups[:half]) + _deciding(trial, groups[half:]) or groups


def _changes_logits(trial: _Trial, names: list[str]) -> bool:
    return any(
        not _same(trial.without_change(base), trial.logits(names, base, DRAWS + draw))
        for draw in range(DRAWS)
        for base in (None, draw)
    )


def _same(left: Tensor, right: Tensor) -> bool:
    return bool(((left == right) | (left.isnan() & right.isnan())).all())


def _without(network: nn.Module, execution: Execution, idle: set[str]) -> Execution:
    used = {name for name, p in network.named_parameters() if id(p) in execution.last_use}
    if used <= idle:
        return execution
    dropped = {id(tensor_at(network, name)) for name in idle}
    dropped |= {id(b) for name, b in network.named_buffers() if _is_idle_buffer(name, used, idle)}
    left = {key: position for key, position in execution.last_use.items() if key not in dropped}
    return replace(execution, last_use=left, idle=dropped)


def _is_idle_buffer(name: str, used: set[str], idle: set[str]) -> bool:
    """Whether the innermost module around it that has used parameters has none that a logit depends on."""
    for path in reversed(holders(name)):
        beside = {other for other in used if path in holders(other)}
        if beside:
            return beside <= idle
    return False
