"""What an adapter makes of an explainer: a function (model, inputs, targets) -> map, and the model it is bound to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

Explain = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Quadrature:
    """The steps that an explainer takes along its path.

    Attributes:
        steps: how many.
        with_steps: the same explainer with another number of them.
    """

    steps: int
    with_steps: Callable[[int], Explain]


class UnusableExplainer(TypeError):
    """What was passed as an explainer cannot be called as one; the sentence says what can be passed instead."""


@dataclass(frozen=True)
class Adapted:
    """An explainer of another library, or with other arguments, called as `(model, inputs, targets)`.

    Attributes:
        explain: (model, inputs, targets) -> map.
        __name__: what messages call it.
        bound: whether it explains one model only: an object that was built for it, or a function that holds it.
        holds: the modules that it is known to hold; empty where nobody can tell.
        factory: what to pass instead where it is bound, e.g. "captum.attr.IntegratedGradients".
        called_as: what to say of how it is called, where it raises; "" where it takes (model, inputs, targets).
        quadrature: the steps that it takes along its path; None where there is no path, or nobody can tell.
    """

    explain: Explain
    __name__: str
    bound: bool = False
    holds: tuple[nn.Module, ...] = ()
    factory: str = "a function `lambda model: ...` that builds it"
    called_as: str = ""
    quadrature: Quadrature | None = None

    def __call__(self, model: nn.Module, inputs: Any, targets: Any) -> Any:
        """The maps of the inputs, in the library's own shape."""
        self.check_model(model)
        return self.explain(model, inputs, targets)

    def check_model(self, model: nn.Module) -> None:
        """Raise UnusableExplainer where it holds a model, and not this one: it would explain the one it holds."""
        if self.holds and not any(_shares(held, model) for held in self.holds):
            raise UnusableExplainer(
                f"{self.__name__} holds another model than the one that is audited (a copy of it, or an earlier one), "
                f"and would explain that one; pass {self.factory}, which is built for the model at hand"
            )

    def check_unbound(self, check: str) -> None:
        """Raise UnusableExplainer where it is bound to one model, and the check explains others.

        Args:
            check: what the check does, e.g. "data sensitivity trains other networks".
        """
        if self.bound:
            raise UnusableExplainer(
                f"{check}, and {self.__name__} is bound to one model; pass {self.factory}, which is built for each "
                f"network"
            )


def _shares(held: nn.Module, model: nn.Module) -> bool:
    """Whether one of the two is a part of the other, or wraps parts of it."""
    if held is model:
        return True
    own = {id(module) for module in model.modules()}
    return any(id(module) in own for module in held.modules())
