"""Training and evaluation mode, module by module.

The attribute is set, and no method called: a model's own `train` may take other arguments, or be refused, as that of
an exported program is. A frozen scripted module has no mode.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from torch import Tensor, nn

from pytest_saliency_sanity.loans import Loan, lent

Model = TypeVar("Model", bound=nn.Module)


def evaluating(model: nn.Module) -> Loan[None]:
    """Evaluation mode inside the context; every module's own mode afterwards.

    Value ranges that quantization-aware training has observed are kept fixed: else the model would change with each
    batch.
    """
    modes = _modes(model)
    observers = [(enabled, enabled.clone()) for enabled in _observing(model)]

    def take() -> None:
        _set_modes([(module, False) for module, _ in modes])
        for enabled, _ in observers:
            enabled.data.zero_()

    def give_back() -> None:
        _set_modes(modes)
        for enabled, before in observers:
            enabled.data.copy_(before)

    return lent(take, give_back)


def keeping_modes(model: nn.Module) -> Loan[None]:
    """A context after which every module is in the mode that it is in now."""
    return lent(lambda: None, partial(_set_modes, _modes(model)))


def in_evaluation_mode(model: Model) -> Model:
    """The model, with all of its modules in evaluation mode, permanently."""
    _set_modes([(module, False) for module, _ in _modes(model)])
    return model


def in_training_mode(model: Model) -> Model:
    """The model as its own `train()` leaves it; where that takes other arguments, all modules in training mode.

    Its own may keep a part, such as a frozen BatchNorm, in evaluation mode.
    """
    try:
        model.train()
    except (TypeError, NotImplementedError):
        _set_modes([(module, True) for module, _ in _modes(model)])
    return model


def mode_of(module: nn.Module) -> bool | None:
    """Whether a module is in training mode; None for one that has no mode."""
    return getattr(module, "training", None)


def has_own_train(module: nn.Module) -> bool:
    """Whether a module's class says itself what changes with its mode."""
    return getattr(type(module), "train", None) is not nn.Module.train


def _modes(model: nn.Module) -> list[tuple[nn.Module, bool]]:
    found = ((module, mode_of(module)) for module in model.modules())
    return [(module, mode) for module, mode in found if mode is not None]


def _set_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


def _observing(model: nn.Module) -> list[Tensor]:
    """The switches of modules that quantize as if (torch.ao.quantization.FakeQuantize), by a range they observed."""
    switches = [(module, getattr(module, "observer_enabled", None)) for module in model.modules()]
    return [switch for module, switch in switches if isinstance(switch, Tensor) and _has_observed(module)]


def _has_observed(module: nn.Module) -> bool:
    least = getattr(getattr(module, "activation_post_process", None), "min_val", None)
    return isinstance(least, Tensor) and least.numel() > 0 and bool(least.isfinite().all())
