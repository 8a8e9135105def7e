"""Changes that the model itself makes in its forward pass: the explainer is not responsible for them.

Some models install hooks on themselves when they are first asked for attentions (transformers 5), some build a layer
when they first see an input, and some count their calls, or note the range of what they see, in buffers. All
that appears between the beginning and the end of a forward pass is done by the model; what an explainer does before or
after it is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_saliency_sanity.loans import loan
from pytest_saliency_sanity.outputs import unreadable
from pytest_saliency_sanity.perturbations.restoring.changes import checksum
from pytest_saliency_sanity.perturbations.restoring.modes import mode_of
from pytest_saliency_sanity.perturbations.weights.execution import hooked

_PASSES = 8  # forward passes that are looked at: what is installed once is installed in the first ones
Entry = tuple[str, str, Any, int]  # module, registry, key, and the identity of what is there


@dataclass
class OwnDoing:
    """What changed in a model: within its forward passes, and otherwise.

    Attributes:
        changed: entries of its registries, all in all.
        own: entries of its registries, within forward passes.
        moved: names of buffers that changed within forward passes, with all modules in the mode they were in.
        foreign: names of buffers that changed otherwise.
    """

    changed: set[Entry] = field(default_factory=set)
    own: set[Entry] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)

    def of(self, aspect: str) -> set[str]:
        """What only the model has changed: its "buffers", or modules in which nothing else of an aspect changed."""
        if aspect == "buffers":
            return self.moved - self.foreign
        changed, own = (
            {entry for entry in some if _aspect(entry) == aspect} for some in (self.changed, self.own)
        )
        return {entry[0] for entry in own} - {entry[0] for entry in changed - own}


@loan
def watched(model: nn.Module, found: OwnDoing, buffers: bool) -> Iterator[OwnDoing]:
    """Within this context, what the model's forward passes leave behind is noted in `found`; in buffers if asked."""
    running, passes = list[Any](), list[int]()
    start, before = _entries(model), list[set[Entry]]()
    modules = {id(module) for module in model.modules()}
    modes, known = _modes(model), _buffers(model) if buffers else {}

    def look(changed: set[str]) -> None:
        now = _buffers(model) if buffers else {}
        changed |= {name for name in now.keys() | known.keys() if now.get(name) != known.get(name)}
        known.clear()
        known.update(now)

    def enter(module: nn.Module, arguments: Any) -> None:
        if running or id(module) not in modules:
            return
        running.append(module)
        look(found.foreign)
        if len(passes) < _PASSES:
            passes.append(1)
            before.append(_entries(model))

    def leave(module: nn.Module, arguments: Any, output: Any) -> None:
        if running and running[-1] is module:
            running.clear()
            look(found.moved if _modes(model) == modes else found.foreign)
            if before:
                found.own |= _entries(model) ^ before.pop()

    with hooked(enter, leave, always=True):
        yield found
        found.changed |= _entries(model) ^ start
        look(found.foreign)


def _modes(model: nn.Module) -> list[bool | None]:
    return [mode_of(module) for module in model.modules()]


def _buffers(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """The contents of its buffers, in short; for buffers without bytes, their identities."""
    return {name: _short(buffer) for name, buffer in model.named_buffers()}


def _short(buffer: Tensor) -> tuple[Any, ...]:
    if unreadable(buffer) or is_lazy(buffer):
        return (id(buffer),)
    return tuple(buffer.shape), checksum(buffer)


def _entries(model: nn.Module) -> set[Entry]:
    """What its modules hold in their registries, their classes, and methods of theirs that were replaced."""
    return {
        (name, registry, key, id(value))
        for name, module in model.named_modules()
        for registry, content in ({"class": type(module)} | vars(module)).items()
        for key, value in _content(registry, content)
    }


def _content(registry: str, content: Any) -> list[tuple[Any, Any]]:
    if isinstance(content, Mapping) and (registry == "_modules" or registry.endswith("hooks")):
        return list(content.items())
    return [(None, content)] if registry in ("class", "forward") else []


def _aspect(entry: Entry) -> str:
    return "modules" if entry[1] in ("_modules", "class", "forward") else "hooks"
