"""What the model itself leaves behind in its forward pass: hooks and modules that no explainer is to be blamed for.

Some models install hooks on themselves when they are first asked for attentions (transformers 5), and some build a
layer when they first see an input. Whatever appears between the beginning and the end of a forward pass is the
model's own doing; what an explainer registers before or after it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pytest_saliency_sanity.loans import loan
from pytest_saliency_sanity.perturbations.weights.execution import hooked

_PASSES = 8  # forward passes that are looked at: what is installed once is installed in the first ones
Entry = tuple[str, str, Any, int]  # module, registry, key, and the identity of what is there


@dataclass
class OwnDoing:
    """What changed in the registries of a model: all in all, and within its forward passes."""

    changed: set[Entry] = field(default_factory=set)
    own: set[Entry] = field(default_factory=set)

    def of(self, aspect: str) -> set[str]:
        """The modules in which nothing else of an aspect changed, "hooks" or "modules"; empty for others."""
        changed, own = (
            {entry for entry in some if _aspect(entry) == aspect} for some in (self.changed, self.own)
        )
        return {entry[0] for entry in own} - {entry[0] for entry in changed - own}


@loan
def watched(model: nn.Module, found: OwnDoing) -> Iterator[OwnDoing]:
    """Within this context, what the model's forward passes register is noted in `found`."""
    running, passes = list[Any](), list[int]()
    start, before = _entries(model), list[set[Entry]]()
    modules = {id(module) for module in model.modules()}

    def enter(module: nn.Module, arguments: Any) -> None:
        if not running and id(module) in modules and len(passes) < _PASSES:
            passes.append(1)
            running.append(module)
            before.append(_entries(model))

    def leave(module: nn.Module, arguments: Any, output: Any) -> None:
        if running and running[-1] is module:
            running.clear()
            found.own |= _entries(model) ^ before.pop()

    with hooked(enter, leave, always=True):
        yield found
        found.changed |= _entries(model) ^ start


def _entries(model: nn.Module) -> set[Entry]:
    """What its modules hold in their registries, their classes, and methods of theirs that were replaced."""
    return {
        (name, registry, key, id(value))
        for name, module in model.named_modules()
        for registry, content in ({"class": type(module)} | vars(module)).items()
        for key, value in _content(registry, content)
    }


def _content(registry: str, content: Any) -> list[tuple[Any, Any]]:
    if registry == "_modules" or registry.endswith("hooks"):
        return list(content.items())
    return [(None, content)] if registry in ("class", "forward") else []


def _aspect(entry: Entry) -> str:
    return "modules" if entry[1] in ("_modules", "class", "forward") else "hooks"
