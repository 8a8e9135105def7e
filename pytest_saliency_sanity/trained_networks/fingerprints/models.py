"""Networks: their architecture, code and weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_saliency_sanity.trained_networks.fingerprints.transcript import fingerprint
from pytest_saliency_sanity.trained_networks.fingerprints.values import tensor_fingerprint


def state_fingerprint(state: Mapping[str, Any]) -> str:
    """A hash of a state dict: names, tensors, and what else a module keeps there."""
    return fingerprint(tuple((name, _content(state[name])) for name in sorted(state)))


def model_fingerprint(model: nn.Module) -> str:
    """A hash of a network's architecture, of the code of its user-defined modules and of its weights.

    All attributes of its modules count but the training mode, and so does which parameters are frozen. Lazy
    parameters without values count by name.
    """
    extra = tuple((name, part) for name, part in model.state_dict().items() if not isinstance(part, Tensor))
    return fingerprint((without_addresses(repr(model)), model, extra))


def _content(value: Any) -> Any:
    return tensor_fingerprint(value) if isinstance(value, Tensor) and not is_lazy(value) else value


def without_addresses(text: str) -> str:
    """`text` without what differs from process to process."""
    return re.sub(r"\b0x[0-9a-fA-F]{4,}\b", "0x", text)
