"""Random streams: the caller's, which are restored, and a separate one for every tensor that is drawn."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.loans import Loan, lent


@dataclass(frozen=True)
class RandomState:
    """The state of the global generators of torch (CPU and every CUDA device), numpy and `random`."""

    torch_cpu: Tensor = field(repr=False)
    cuda: tuple[Tensor, ...] = field(repr=False)
    numpy: dict[str, Any] = field(repr=False)
    python: tuple[Any, ...] = field(repr=False)

    def restore(self) -> None:
        """Set the generators to what they were."""
        torch.set_rng_state(self.torch_cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(list(self.cuda))
        np.random.set_state(self.numpy)
        random.setstate(self.python)


def random_state() -> RandomState:
    """The present state of all global generators. CUDA is not initialized if it has not been used."""
    cuda = tuple(torch.cuda.get_rng_state_all()) if _cuda_is_awake() else ()
    return RandomState(torch.get_rng_state(), cuda, np.random.get_state(legacy=False), random.getstate())


def replayed(seed: int) -> Loan[None]:
    """Within this context all global generators run from `seed`; on leaving, their state is restored.

    Two calls of a stochastic explainer, each within `replayed(seed)` of the same seed, draw the same noise:
    what differs between their maps is then due to the model. Generators that an explainer owns itself
    (`torch.Generator`, `numpy.random.default_rng`) are out of reach.
    """
    before: list[RandomState] = []
    return lent(partial(_replay, int(seed), before), partial(_restore, before))


def restoring(state: RandomState) -> Loan[None]:
    """A context after which all global generators have the state `state`."""
    return lent(lambda: None, state.restore)


def _replay(seed: int, before: list[RandomState]) -> None:
    before.append(random_state())
    _seed_everything(seed)


def _restore(before: list[RandomState]) -> None:
    for state in before:
        state.restore()


def _seed_everything(seed: int) -> None:
    # Not torch.manual_seed: where CUDA is asleep it queues a seed that would outlive the context.
    torch.default_generator.manual_seed(seed % 2**63)
    if _cuda_is_awake():
        torch.cuda.manual_seed_all(seed % 2**63)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _cuda_is_awake() -> bool:
    return bool(torch.cuda.is_initialized())


def stream(*key: int | str) -> torch.Generator:
    """A CPU generator of its own for `key`, for instance (seed, draw, qualified name).

    The seed is a cryptographic hash, so that neighboring keys are unrelated, and the same in every process
    (`hash(str)` is not). No global generator is read or moved.
    """
    key = tuple(part if isinstance(part, str) else int(part) for part in key)  # numpy's 5 is 5
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") % 2**63)
