"""What a verdict is about, noted while its check runs: the options given, the model, the images.

A check notes it where it reads its arguments, and its verdict carries it; so two runs can be told to have asked the
same. Fingerprints are hashes of the content: the same in each process and on each machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.text import encodable, name_of, shown
from pytest_saliency_sanity.trained_networks.fingerprints import (
    combined,
    state_fingerprint,
    tensor_fingerprint,
    without_addresses,
)

_NO_OPTIONS = frozenset(  # what is explained, which is noted elsewhere, and what changes no verdict
    (
        "explainer", "base", "model", "models", "make_model", "train_set", "key", "data", "inputs", "targets",
        "labels", "regions", "name", "seed", "profile", "max_seconds", "cache", "pictures",
    )
)  # fmt: skip
_PRESENT: ContextVar[dict[str, Any] | None] = ContextVar("saliency_sanity_provenance", default=None)


@contextmanager
def noting(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Within this context a check runs that was called with these arguments; only its options are noted here."""
    options = {
        name: _stated(value)
        for name, value in sorted(arguments.items())
        if name not in _NO_OPTIONS and value is not None
    }
    token = _PRESENT.set({"options": options})
    try:
        yield
    finally:
        _PRESENT.reset(token)


def note(**facts: Any) -> None:
    """Add facts to what is noted of the check that runs; outside of one it does nothing."""
    present = _PRESENT.get()
    if present is not None:
        present.update(facts)


def noted() -> dict[str, Any]:
    """What was noted of the check that runs."""
    return dict(_PRESENT.get() or {})


def of_model(model: nn.Module) -> dict[str, Any]:
    """The fingerprints of a model's architecture and of its weights, and where and in what they are."""
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}  # a state_dict calls hooks
    state = {name: _copied(value) for name, value in own.items()}
    tensors = state.values()
    return {
        "class": type(model).__name__,
        "architecture": _architecture(model, state),
        "weights": state_fingerprint(state),
        "dtype": _listed(value.dtype for value in tensors if value.is_floating_point()),
        "device": _listed(value.device.type for value in tensors),
    }


def of_tensors(tensors: Iterable[Tensor]) -> dict[str, Any]:
    """The shapes of tensors, and the fingerprint of their values."""
    parts = tuple(map(_copied, tensors))
    return {
        "shapes": [list(part.shape) for part in parts],
        "content": combined(*map(tensor_fingerprint, parts)),
    }


def _copied(tensor: Tensor) -> Tensor:
    """For hashing: the storage of what numpy has seen can be resized no more."""
    return tensor.detach().clone()


def _architecture(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """A hash of the modules, what they say of themselves, and the shapes of the weights."""
    modules = [
        f"{name} {type(module).__qualname__} {_said(module)}" for name, module in model.named_modules()
    ]
    shapes = [f"{name} {tuple(value.shape)}" for name, value in state.items()]
    return combined(*modules, *shapes)


def _said(module: nn.Module) -> str:
    try:
        return encodable(without_addresses(str(module.extra_repr())))
    except Exception:  # of the user's own module, about which nothing more is known then
        return ""


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value).removeprefix("torch.") for value in values}))


def _stated(value: Any) -> Any:
    if isinstance(value, Tensor):
        return of_tensors([value])
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_stated(one) for one in value]
    return name_of(value) if callable(value) else shown(value)
