"""What keeps a tensor or an array alive: the variable, attribute or cache that leads to it.

It looks at every object of the process, some tenths of a second each time: for what is already known to be kept.
"""

from __future__ import annotations

import functools
import gc
import itertools
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.autograd.graph import Node

from pytest_saliency_sanity.examination.kept_memory import bytes_of

_FAR = 6  # steps from the tensor to what has a name
_TRIED, _NAMED = 12, 3  # of what is new; only a graph keeps what its nodes have saved, which then has no name
_CONTAINERS = (list, tuple, dict, set, deque)


@dataclass(frozen=True)
class Keeper:
    """What keeps something alive.

    Attributes:
        name: in words, e.g. "`KEPT` of my_explainers (a list)".
        bounded: whether it drops what is old by itself: a deque with `maxlen`, a functools cache with `maxsize`.
    """

    name: str
    bounded: bool = False


def keepers_of_new(call: Callable[[], object]) -> tuple[Keeper, ...]:
    """What keeps the tensors, arrays and graphs that `call` leaves behind, of the largest first; of few of them."""
    return _keepers(call, _tensors_and_nodes) or _keepers(call, _arrays)


def _keepers(call: Callable[[], object], listed: Callable[[], list[Any]]) -> tuple[Keeper, ...]:
    before = listed()  # held, so that no address is used again
    known = set(map(id, before))
    call()
    gc.collect()
    new = sorted((one for one in listed() if id(one) not in known), key=bytes_of, reverse=True)
    found = (keeper_of(one, [new, before]) for one in itertools.islice(new, _TRIED))
    return tuple(itertools.islice((keeper for keeper in found if keeper is not None), _NAMED))


def keeper_of(thing: Any, ignored: Sequence[Any] = ()) -> Keeper | None:
    """What keeps `thing` alive, apart from frames that run, and from what is ignored."""
    trail, found = [thing], [thing]
    ours = {id(trail), *map(id, ignored)}
    for _ in range(_FAR):
        ours.add(id(found))
        referrers = [one for one in gc.get_referrers(*found) if _is_new(one, ours, trail)]
        for one in referrers:
            if keeper := _named(one, trail):
                return keeper
        found = [one for one in referrers if isinstance(one, (*_CONTAINERS, types.CellType))]
        trail += found
        if not found:
            break
    return None


def _is_new(one: Any, ours: set[int], trail: Sequence[Any]) -> bool:
    return (
        id(one) not in ours
        and not isinstance(one, types.FrameType)
        and all(one is not known for known in trail)
    )


def _tensors_and_nodes() -> list[Any]:
    everything = gc.get_objects()
    kinds = {kind for kind in set(map(type, everything)) if issubclass(kind, (Tensor, Node))}
    return [one for one in everything if type(one) in kinds]


def _arrays() -> list[Any]:
    """The garbage collector does not list the arrays of numpy, but what refers to them."""
    found = {id(one): one for one in gc.get_referents(*gc.get_objects()) if type(one) is np.ndarray}
    return list(found.values())


def _named(one: Any, trail: Sequence[Any]) -> Keeper | None:
    """The keeper, where `one` holds by a name something on the trail, which begins with what is kept."""
    if isinstance(one, functools._lru_cache_wrapper):
        return Keeper(f"the cache of {_label(one)}", one.cache_parameters()["maxsize"] is not None)
    owner = _owner(one) if type(one) is dict else one
    held = {id(thing) for thing in trail}
    names = [name for name, value in _contents(owner) if id(value) in held]
    if not names:
        return None
    container = next((thing for thing in trail if isinstance(thing, _CONTAINERS)), None)
    kind = "" if container is None else f" (a {type(container).__name__})"
    return Keeper(f"`{names[0]}` of {_label(owner)}{kind}", getattr(container, "maxlen", None) is not None)


def _owner(content: dict[Any, Any]) -> Any:
    """The module, class or object whose attributes a dict holds; None for a dict of its own."""
    for one in gc.get_referrers(content):
        if isinstance(one, type) and vars(one).keys() == content.keys():
            return one
        if _attributes(one) is content:
            return one
    return None


def _contents(one: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds by name: the variables of a module or a closure, the attributes of anything else."""
    if isinstance(one, types.FunctionType):
        yield from zip(one.__code__.co_freevars, one.__closure__ or (), strict=False)
    if isinstance(one, type):
        yield from vars(one).items()
    elif one is not None and not isinstance(one, _CONTAINERS):
        yield from _attributes(one).items()


def _attributes(one: Any) -> dict[str, Any]:
    try:
        attributes = object.__getattribute__(one, "__dict__")  # a proxy's own may be anything
    except AttributeError:
        return {}
    return attributes if type(attributes) is dict else {}


def _label(one: Any) -> str:
    if isinstance(one, types.ModuleType):
        return one.__name__
    if isinstance(one, (types.FunctionType, type, functools._lru_cache_wrapper)):
        return one.__qualname__.replace("<locals>.", "")
    return type(one).__name__
