"""A network's blocks in the order in which they run, grouped as Adebayo et al. (2018) randomize them.

Ours, as torch.fx sees the right blocks of 8 of 19 networks of the tests, torch.export of 11, and the order of
registration is right for 9 (`python -m tests.benchmarks.libraries networks`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from pytest_saliency_sanity.outputs import Forward, Inputs
from pytest_saliency_sanity.perturbations.restoring.refusals import check_randomizable
from pytest_saliency_sanity.perturbations.weights.addresses import (
    holders,
    unwrapped,
)
from pytest_saliency_sanity.perturbations.weights.execution import Execution, executed
from pytest_saliency_sanity.perturbations.weights.influence import depended_on
from pytest_saliency_sanity.perturbations.weights.initialization import (
    LAYERS_WITH_FAN,
)
from pytest_saliency_sanity.perturbations.weights.paths import on_all_paths
from pytest_saliency_sanity.perturbations.weights.uses import (
    Use,
    is_weight_of_layer,
    sibling_uses,
    tensor_uses,
    used_parameters,
)
from pytest_saliency_sanity.text import shown

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
SHARES = (0.5, 0.25, 0.0)
FEWEST = 4  # with fewer blocks, upper part, half and whole of a cascade would be the same


@dataclass(frozen=True)
class Block:
    """Parameters that are re-initialized together, by qualified names within the unwrapped network.

    `parameters` are in order of use; of tensors that share one memory, one name is listed. `buffers` are
    those that re-initialization changes. `layers` are the modules that hold either; "" is the network itself.
    """

    name: str
    parameters: tuple[str, ...]
    buffers: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


def find_blocks(
    model: nn.Module,
    inputs: Inputs,
    *,
    forward: Forward | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Block, ...]:
    """The blocks of `model` in execution order, the one next to the input first.

    The model runs on the first two inputs, and with a gradient on the first, or on both where that one does not
    reach all parameters, in evaluation mode (lazy modules are initialized by that); where what runs depends on
    the image, on all inputs, and members of a list that none of them uses (experts, early exits) are in the
    block of a member that is used. The last use of a parameter gives its place, so that a tied weight belongs
    to its topmost use; what no logit depends on (auxiliary heads, also those that run) is in no block: a few
    more passes find out where the gradient leaves it open. Containers (Sequential, ModuleList, ...) are split
    into their children, any other module is split if it is the root or holds more than half of the network's
    layers (a backbone, an encoder); where this leaves fewer than four blocks, smaller modules too. Norm layers,
    vectors and tokens join the block before them in execution order, else the one after them.

    `names` picks the blocks by hand: modules or parameters of any depth, in any order. What is not named is
    then in no block.

    Raises ValueError for unknown names, names of what no logit depends on, and names that overlap; ValueError or
    TypeError for models that cannot be randomized (`refusals.check_randomizable`).
    """
    check_randomizable(model, lazy=True)
    network = unwrapped(model)
    execution = on_all_paths(network, executed(network, inputs, forward), inputs, forward)
    execution = depended_on(network, execution, inputs, forward)
    check_randomizable(model)
    if names is not None:
        return _named_blocks(network, execution, names)
    return _automatic_blocks(network, execution)


def _automatic_blocks(network: nn.Module, execution: Execution) -> tuple[Block, ...]:
    for share in SHARES:
        uses = tensor_uses(network, execution, _grouping(network, execution, share))
        blocks = _joined(_units([*uses, *sibling_uses(network, execution, uses)]))
        if len(blocks) >= FEWEST:
            break
    return tuple(_block(unit, members) for unit, members in blocks)


# Which tensors are used, when, and where they belong.


# How they are grouped.


def _grouping(network: nn.Module, execution: Execution, share: float) -> Callable[[str], str | None]:
    opened = _opened(network, execution, share)

    def unit(name: str) -> str:
        return next((prefix for prefix in holders(name) if prefix not in opened), name)

    return unit


def _opened(network: nn.Module, execution: Execution, share: float) -> set[str]:
    layers, total = _layer_counts(network, execution)
    opened = {""}
    for path, module in network.named_modules(remove_duplicate=False):
        large = layers[path] > max(1, share * total)
        if _is_container(module) or (large and not isinstance(module, LAYERS_WITH_FAN)):
            opened.add(path)
    return opened


def _is_container(module: nn.Module) -> bool:
    # Of exactly these types: a subclass (torchvision's Conv2dNormActivation) is a layer with a meaning.
    scripted = getattr(module, "original_name", None)
    return type(module) in CONTAINERS or scripted in {kind.__name__ for kind in CONTAINERS}


def _layer_counts(network: nn.Module, execution: Execution) -> tuple[dict[str, int], int]:
    """How many used layer weights each module holds, itself or below, and their total."""
    counts: dict[str, int] = defaultdict(int)
    for _, names in used_parameters(network, execution):
        if is_weight_of_layer(network, names[0]):
            for prefix in holders(names[0]):
                counts[prefix] += 1
    return counts, counts[""]


def _units(uses: list[Use]) -> list[tuple[str, list[Use]]]:
    units = defaultdict(list)
    for use in sorted(uses, key=_order):
        units[use.unit].append(use)
    return sorted(units.items(), key=lambda unit: _order(unit[1][-1]))


def _order(use: Use) -> tuple[float, bool, int]:
    return (use.position, not use.is_weight, use.rank)


def _joined(units: list[tuple[str, list[Use]]]) -> list[tuple[str, list[Use]]]:
    """Units without a layer's weight join the unit before them, leading ones the first that has one."""
    if not any(_has_weight(members) for _, members in units):
        return units
    blocks: list[tuple[str, list[Use]]] = []
    leading: list[Use] = []
    for unit, members in units:
        if _has_weight(members):
            blocks.append((unit, [*leading, *members]))
            leading = []
        elif blocks:
            blocks[-1][1].extend(members)
        else:
            leading.extend(members)
    return blocks


def _has_weight(members: list[Use]) -> bool:
    return any(use.is_weight for use in members)


def _block(unit: str, members: list[Use]) -> Block:
    parameters = tuple(use.name for use in members if not use.is_buffer)
    buffers = tuple(use.name for use in members if use.is_buffer)
    layers = dict.fromkeys(name.rpartition(".")[0] for name in [*parameters, *buffers])
    return Block(unit, parameters, buffers, tuple(layers))


# Blocks picked by name.


def _named_blocks(network: nn.Module, execution: Execution, names: Sequence[str]) -> tuple[Block, ...]:
    _check_names(network, execution, names)
    # Without intervals: a weight stays where its user put it, though another layer may use it last.
    uses = tensor_uses(network, replace(execution, intervals={}), lambda name: _named_unit(name, names))
    siblings = sibling_uses(network, execution, uses)
    uses += [use for use in siblings if _named_unit(use.name, names) == use.unit]
    units = {unit: members for unit, members in _units(uses) if any(not use.is_buffer for use in members)}
    idle = [name for name in names if name not in units]
    if idle:
        runs = any(
            _covers(idle[0], name) and id(p) in execution.idle for name, p in network.named_parameters()
        )
        what = "No logit depends on any" if runs else "The forward pass uses no"
        raise ValueError(f"{what} parameter of {idle[0]!r}; {_choices(network, execution)}.")
    return tuple(_block(unit, members) for unit, members in units.items())


def _check_names(network: nn.Module, execution: Execution, names: Sequence[str]) -> None:
    listed = isinstance(names, Sequence) and not isinstance(names, (str, bytes)) and len(names)
    if not listed or not all(isinstance(name, str) for name in names):
        raise ValueError(f"names= must be a sequence of names of modules or parameters, got {shown(names)}.")
    known = {name for name, _ in network.named_modules(remove_duplicate=False)}
    known |= {name for name, _ in network.named_parameters(remove_duplicate=False)}
    for name in names:
        if name not in known:
            raise ValueError(f"{type(network).__name__} has no {name!r}; {_choices(network, execution)}.")
    for _, tied in used_parameters(network, execution):
        claims = [claim for claim in names if any(_covers(claim, name) for name in tied)]
        if len(claims) > 1:
            both = " and ".join(map(repr, claims[:2]))
            raise ValueError(f"names= puts the parameter {tied[0]!r} into two blocks, {both}.")


def _named_unit(name: str, names: Sequence[str]) -> str | None:
    return next((claim for claim in names if _covers(claim, name)), None)


def _covers(claim: str, name: str) -> bool:
    return claim in ("", name) or name.startswith(f"{claim}.")


def _choices(network: nn.Module, execution: Execution) -> str:
    blocks = [block.name for block in _automatic_blocks(network, execution)]
    return f"its blocks are {', '.join(map(repr, blocks))}, and any module or parameter within can be named"
