"""captum's LRP: the layers that it has no rule for and needs none, and weights of several classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# What passes its input on, in other shapes at most, when a model is evaluated. captum's own IdentityRule breaks on
# nn.Flatten, whose shapes differ, and on nn.Identity, which returns the very tensor that it got.
PASSING = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


def give_rules(model: nn.Module) -> None:
    """Give the layers that pass their input on a rule that does the same with relevance; LRP takes it off again."""
    from captum.attr._core.lrp import SUPPORTED_NON_LINEAR_LAYERS

    for module in model.modules():
        passes = isinstance(module, PASSING) and type(module) not in SUPPORTED_NON_LINEAR_LAYERS
        if passes and not hasattr(module, "rule"):
            module.rule = _passing()


def has_rule(module: nn.Module) -> bool:
    """Whether captum knows the relevance of the module's output."""
    from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES

    return type(module) in SUPPORTED_LAYERS_WITH_RULES or getattr(module, "rule", None) is not None


def sum_of_classes(relevance: Callable[[Tensor], Any], weights: Tensor) -> Any:
    """The relevance of a weighted sum (N, K) of the logits, in which it is linear, from that of each class."""
    total: Any = None
    for k in weights.any(0).nonzero().flatten().tolist():
        found = relevance(torch.full_like(weights[:, 0], k, dtype=torch.long))
        parts = found if isinstance(found, tuple) else (found,)
        weighted = [part * weights[:, k].to(part).view(-1, *[1] * (part.ndim - 1)) for part in parts]
        total = weighted if total is None else [one + two for one, two in zip(total, weighted, strict=True)]
    return tuple(total) if isinstance(found, tuple) else total[0]


def _passing() -> Any:
    """A rule that leaves the gradient of a layer, which carries the relevance, as it is."""
    from captum.attr._utils.lrp_rules import PropagationRule

    class Passing(PropagationRule):  # type: ignore[misc]
        def forward_hook(self, module: nn.Module, inputs: Any, outputs: Any) -> None: ...

        def forward_hook_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None: ...

        def forward_pre_hook_activations(self, module: nn.Module, inputs: Any) -> None: ...

        def _manipulate_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None: ...

    return Passing()
