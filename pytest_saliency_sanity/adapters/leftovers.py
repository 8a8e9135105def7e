"""What a library leaves on a model's modules is taken off again: hooks, attributes, replaced values of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.loans import Loan, lent

# DeepLift leaves `input`, `input_ref` and `output` where a module's backward pass does not run; LRP `activations`, and
# it deletes the user's own `rule` (captum 0.7 to 0.9).
_ATTRIBUTES = ("activations", "input", "input_ref", "output", "output_ref", "rule")


@dataclass(frozen=True)
class _State:
    module: nn.Module
    hooks: tuple[tuple[Any, Any], ...]
    attributes: dict[str, Any]
    values: tuple[tuple[Tensor, Tensor], ...]


def left_as_it_was(*models: nn.Module) -> Loan[None]:
    """Within this context, hooks and attributes may be left on the modules, and parameters be given other values."""
    noted: list[_State] = []

    def take() -> None:
        noted.extend(_state(module) for model in models for module in model.modules())

    def give_back() -> None:
        for state in noted:
            _give_back(state)

    return lent(take, give_back)


def _state(module: nn.Module) -> _State:
    own = vars(module)
    return _State(
        module,
        tuple(
            (value, value.copy()) for name, value in own.items() if "hooks" in name and hasattr(value, "copy")
        ),
        {name: own[name] for name in _ATTRIBUTES if name in own},
        tuple((value, value.data) for value in own["_parameters"].values() if value is not None),
    )


def _give_back(state: _State) -> None:
    for registry, before in state.hooks:
        if registry != before:
            registry.clear()
            registry.update(before)
    for name in _ATTRIBUTES:
        vars(state.module).pop(name, None)
    vars(state.module).update(state.attributes)
    for parameter, value in state.values:
        if parameter.data_ptr() != value.data_ptr():
            parameter.data = value
