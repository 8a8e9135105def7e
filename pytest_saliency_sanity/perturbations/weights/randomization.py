"""The user's own model with its weights re-initialized, block by block, and then restored (Adebayo et al. 2018, 3).

Everything here changes the model object itself, so that an explainer which holds the model, or a layer of it,
sees the randomized weights; and everything happens within `preservation.preserved`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, TypedDict

from torch import nn
from typing_extensions import Unpack

from pytest_saliency_sanity.loans import Loan, lent, loan
from pytest_saliency_sanity.outputs import Forward, Inputs
from pytest_saliency_sanity.perturbations.restoring.preservation import Snapshot, preserved
from pytest_saliency_sanity.perturbations.restoring.refusals import check_randomizable
from pytest_saliency_sanity.perturbations.weights.addresses import owner, tensor_at, unwrapped
from pytest_saliency_sanity.perturbations.weights.blocks import Block, find_blocks
from pytest_saliency_sanity.perturbations.weights.initialization import (
    initialize,
    refresh_spectral_norm,
)
from pytest_saliency_sanity.perturbations.weights.uses import is_weight_of_layer
from pytest_saliency_sanity.text import shown

if TYPE_CHECKING:
    from typing_extensions import TypeIs


@dataclass(frozen=True)
class Step:
    """The state of the model: `index` of its `total` blocks are re-initialized, `blocks`, of which `new` in this step.

    For `independent`, `index` counts the block's place from the top, and `blocks` is that block alone.
    `trained` is the snapshot of the trained model, which `coverage` compares with.
    """

    index: int
    total: int
    blocks: tuple[str, ...]
    new: tuple[str, ...]
    network: nn.Module = field(repr=False, compare=False)
    used: tuple[Block, ...] = field(repr=False, compare=False)
    trained: Snapshot = field(repr=False, compare=False)


@loan
def cascading(
    model: nn.Module,
    blocks: Sequence[Block] | Inputs,
    *,
    seed: int = 0,
    draw: int = 0,
    depths: Sequence[int] | None = None,
    forward: Forward | None = None,
    snapshot: Snapshot | None = None,
) -> Iterator[Iterator[Step]]:
    """Re-initialize the blocks cumulatively, from the top down: yields an iterator that does so as it advances.

    `blocks` are those of `find_blocks`, or the inputs to find them with. `depths` are the numbers of blocks,
    1 to all, to stop at; None stops at each. Equal (seed, draw, name) give equal weights for any `depths`.
    `snapshot` is as in `preserved`.

        with cascading(model, blocks, depths=(1, 4, 10)) as steps:
            for step in steps:
                maps = explainer(model, inputs, targets)

    After the context the model is restored, and the iterator is exhausted. Raises ValueError for depths
    outside 1..len(blocks), and what `check_randomizable` raises.
    """
    blocks = _blocks(model, blocks, forward)
    order = tuple(reversed(blocks))
    with _stepping(model, blocks, order, seed, draw, depths, cumulative=True, snapshot=snapshot) as steps:
        yield steps


class Walk(TypedDict, total=False):
    """Which weights are drawn, and where to stop: as in `cascading`."""

    seed: int
    draw: int
    depths: Sequence[int] | None
    forward: Forward | None


@loan
def bottom_up(
    model: nn.Module, blocks: Sequence[Block] | Inputs, **walk: Unpack[Walk]
) -> Iterator[Iterator[Step]]:
    """As `cascading`, but from the block next to the input upward: `seed`, `draw`, `depths` and `forward`."""
    blocks = _blocks(model, blocks, walk.get("forward"))
    with _walking(model, blocks, blocks, True, walk) as steps:
        yield steps


@loan
def independent(
    model: nn.Module, blocks: Sequence[Block] | Inputs, **walk: Unpack[Walk]
) -> Iterator[Iterator[Step]]:
    """As `cascading`, but one block at a time, from the top; the others hold their trained weights."""
    blocks = _blocks(model, blocks, walk.get("forward"))
    with _walking(model, blocks, tuple(reversed(blocks)), False, walk) as steps:
        yield steps


def _walking(
    model: nn.Module, blocks: tuple[Block, ...], order: tuple[Block, ...], cumulative: bool, walk: Walk
) -> Loan[Iterator[Step]]:
    seed, draw, depths = walk.get("seed", 0), walk.get("draw", 0), walk.get("depths")
    if unknown := set(walk) - set(Walk.__annotations__):
        raise TypeError(
            f"unknown option {shown(min(unknown))}; choose from {', '.join(Walk.__annotations__)}"
        )
    return _stepping(model, blocks, order, seed, draw, depths, cumulative=cumulative)


@loan
def randomized(
    model: nn.Module,
    blocks: Sequence[Block] | Inputs,
    *,
    seed: int = 0,
    draw: int = 0,
    forward: Forward | None = None,
) -> Iterator[Step]:
    """Within this context all given blocks are re-initialized at once."""
    blocks = _blocks(model, blocks, forward)
    with cascading(model, blocks, seed=seed, draw=draw, depths=(len(blocks),)) as steps:
        yield next(steps)


@loan
def negated_head(
    model: nn.Module, blocks: Sequence[Block], *, snapshot: Snapshot | None = None
) -> Iterator[tuple[str, ...]]:
    """Within this context the last linear layer, weight and bias, is negated; yields the names negated.

    The last layer weight of the top block, in order of use, and the parameters used after it (its bias)
    change their sign. Where that layer ends the network, all logits change their sign exactly, f -> -f; where more
    follows (a norm, a ReLU), or its weight is tied, they do not. So the caller has to compare the logits.
    `snapshot` is as in `preserved`.
    """
    blocks = _blocks(model, blocks, None)
    check_randomizable(model)
    network = unwrapped(model)
    names = _head(network, blocks[-1])
    with preserved(model, snapshot):
        for name in names:
            tensor_at(network, name).data.neg_()
            refresh_spectral_norm(owner(network, name)[0])  # else its sigma changes sign as well
        yield names


def _blocks(model: nn.Module, given: Sequence[Block] | Inputs, forward: Forward | None) -> tuple[Block, ...]:
    if not _are_blocks(given):
        return find_blocks(model, given, forward=forward)
    if not given:
        raise ValueError("There are no blocks to re-initialize.")
    return tuple(given)


def _are_blocks(given: Sequence[Block] | Inputs) -> TypeIs[Sequence[Block]]:
    return isinstance(given, (tuple, list)) and all(isinstance(block, Block) for block in given)


@loan
def _stepping(
    model: nn.Module,
    blocks: tuple[Block, ...],
    order: tuple[Block, ...],
    seed: int,
    draw: int,
    depths: Sequence[int] | None,
    *,
    cumulative: bool,
    snapshot: Snapshot | None = None,
) -> Iterator[Iterator[Step]]:
    check_randomizable(model)
    stops = _stops(depths, len(order))
    with preserved(model, snapshot) as trained:
        walk = _cumulative if cumulative else _one_at_a_time
        steps = walk(Step(0, len(order), (), (), unwrapped(model), blocks, trained), order, stops, seed, draw)
        # Advanced later, it would change the model, and nothing would restore it.
        with lent(lambda: steps, steps.close):
            yield steps


def _stops(depths: Sequence[int] | None, total: int) -> list[int]:
    if depths is None:
        return list(range(1, total + 1))
    wrong = [depth for depth in depths if not (isinstance(depth, Integral) and 1 <= depth <= total)]
    if wrong or not depths:
        raise ValueError(f"depths= are numbers of blocks, 1 to {total} for this model, got {shown(depths)}.")
    return sorted(set(depths))


def _cumulative(
    start: Step, order: tuple[Block, ...], stops: list[int], seed: int, draw: int
) -> Generator[Step, None, None]:
    done = 0
    names = tuple(block.name for block in order)
    for stop in stops:
        _initialize(start, order[done:stop], seed, draw)
        yield _step(start, stop, names[:stop], names[done:stop])
        done = stop


def _one_at_a_time(
    start: Step, order: tuple[Block, ...], stops: list[int], seed: int, draw: int
) -> Generator[Step, None, None]:
    for stop in stops:
        block = order[stop - 1]
        _initialize(start, [block], seed, draw)
        yield _step(start, stop, (block.name,), (block.name,))
        _put_back(start, block)


def _step(start: Step, index: int, blocks: tuple[str, ...], new: tuple[str, ...]) -> Step:
    return Step(index, start.total, blocks, new, start.network, start.used, start.trained)


def _initialize(start: Step, blocks: Sequence[Block], seed: int, draw: int) -> None:
    for block in blocks:
        names = (*block.parameters, *block.buffers)
        initialize(start.network, names, start.trained.value, seed=seed, draw=draw)


def _put_back(start: Step, block: Block) -> None:
    for name in (*block.parameters, *block.buffers):
        tensor = tensor_at(start.network, name)
        tensor.data.copy_(start.trained.value(tensor))


def _head(network: nn.Module, top: Block) -> tuple[str, ...]:
    names = top.parameters
    weights = [place for place, name in enumerate(names) if is_weight_of_layer(network, name)]
    if not weights:
        raise ValueError(f"The top block {top.name!r} has no linear layer to negate, only {list(names)}.")
    last = weights[-1]
    return (names[last], *(name for name in names[last + 1 :] if not _is_magnitude(network, name)))


def _is_magnitude(network: nn.Module, name: str) -> bool:
    # weight_norm's g beside v: with both negated the weight is what it was.
    layer, local = owner(network, name)
    return isinstance(layer, nn.utils.parametrize.ParametrizationList) or local.endswith("_g")
