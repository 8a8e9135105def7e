"""Everything that must be given back, written down without the library: bits, objects, modes, hooks."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def state_of(model: nn.Module) -> dict[str, Any]:
    return {
        "tensors": {name: _tensor(tensor) for name, tensor in _tensors(model)},
        "modules": {name: _module(module) for name, module in model.named_modules(remove_duplicate=False)},
        "random": random_numbers_ahead(),
    }


def random_numbers_ahead() -> tuple[Any, ...]:
    """What the global generators stand at."""
    kind, keys, place, *rest = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), (kind, keys.tobytes(), place, *rest), random.getstate()


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return [(name, tensor) for name, tensor in named]


def _tensor(tensor: Tensor) -> tuple[Any, ...]:
    memory = (id(tensor), tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
    hooks = list((tensor._backward_hooks or {}).items())
    grad = None if tensor.grad is None else (id(tensor.grad), _bits(tensor.grad))
    return memory, _bits(tensor), tensor.requires_grad, grad, hooks


def _bits(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _module(module: nn.Module) -> dict[str, Any]:
    attributes = vars(module)
    hooks = {
        k: [(i, id(h)) for i, h in v.items()]
        for k, v in attributes.items()
        if k.endswith("hooks") and hasattr(v, "items")
    }
    return {
        "object": id(module),
        "class": type(module),
        "training": module.training,
        "hooks": hooks,
        "forward": id(attributes.get("forward")),
        "attributes": sorted(attributes),
    }
