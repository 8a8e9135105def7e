"""Values: tensors and arrays, and the order of what is in a set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

PLAIN = (type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range)


def tensor_fingerprint(tensor: Tensor) -> str:
    """A hash of dtype, shape and values, bit by bit; the device, the strides and the gradient do not count."""
    digest = hashlib.blake2b(f"{tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=16)
    if tensor.device.type != "meta":  # which has no values
        digest.update(_bytes(tensor.detach()))
    return digest.hexdigest()


def tensor_parts(tensor: Tensor) -> tuple[Any, ...]:
    """A tensor's values, and whether it is trained."""
    if is_lazy(tensor):
        return ("uninitialized", type(tensor))
    return ("tensor", type(tensor), tensor.requires_grad, tensor_fingerprint(tensor))


def array_parts(array: np.ndarray | np.generic) -> tuple[Any, ...]:
    """An array's dtype, shape and values."""
    array = np.asarray(array)
    values = array.tolist() if array.dtype.hasobject else array.tobytes()  # an object's bytes are its address
    return ("array", str(array.dtype), array.shape, values)


def ordered(values: Iterable[Any]) -> list[Any]:
    """The members of a set in an order that does not depend on their hashes."""
    return sorted(values, key=lambda value: (type(value).__name__, _label(value)))


def given_name(thing: Any) -> str | None:
    """Of what is callable without being a function: `numpy.sin`, `str.upper`."""
    names = (getattr(thing, attribute, None) for attribute in ("__qualname__", "__name__"))
    return next((name for name in names if isinstance(name, str)), None)


def items(mapping: Mapping[Any, Any]) -> tuple[tuple[Any, Any], ...]:
    """The entries of a mapping, in its order."""
    return tuple(mapping.items())


def _bytes(tensor: Tensor) -> memoryview:
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor if tensor.layout == torch.strided else tensor.to_dense()
    flat = tensor.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data  # numpy has no bfloat16


def _label(value: Any) -> str:
    if type(value) is tuple:
        return " ".join(_label(part) for part in value)
    if type(value) is frozenset:
        return " ".join(sorted(_label(part) for part in value))
    return repr(value) if type(value) in PLAIN else given_name(value) or ""
