"""What torch caches of a model outside of it: parametrized weights within `parametrize.cached()`."""

from __future__ import annotations

from torch import Tensor
from torch.nn.utils import parametrize

from pytest_saliency_sanity.loans import Loan, lent


def uncached() -> Loan[None]:
    """A context in which `parametrize.cached()` keeps nothing: a cached weight would not be the re-initialized one."""
    before = parametrize._cache_enabled, parametrize._cache
    return lent(lambda: _set(0, {}), lambda: _set(*before))


def _set(enabled: int, kept: dict[tuple[int, str], Tensor | None]) -> None:
    parametrize._cache_enabled, parametrize._cache = enabled, kept
