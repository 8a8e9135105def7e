"""The model is lent to another library, and comes back as it was; the library's warnings and progress bars stay in."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import UnusableExplainer
from pytest_saliency_sanity.loans import Loan, entered, lent, loan
from pytest_saliency_sanity.perturbations.restoring.preservation import structure_kept

# How many values of inputs go through a model at once, where a library lets one choose.
MOST_VALUES = 2**23


@loan
def lent_to(library: str, model: nn.Module) -> Iterator[None]:
    """Within this context the modules of `library` may hook and rebuild the model; gradients are on.

    Given back: what `structure_kept` names. The library warns of nothing in here, and draws no progress bar.
    """
    with (
        structure_kept(model),
        entered(warnings.catch_warnings()),
        entered(torch.enable_grad()),
        _without_bars(library),
    ):
        warnings.filterwarnings("ignore", module=rf"{library}\b")
        yield


def one_tensor(inputs: Any, name: str, graph: bool = False) -> Tensor:
    """A copy of the inputs; with `graph`, of a layer behind which no parameter is trained there are gradients, too.

    Raises:
        UnusableExplainer: for a tuple of inputs, of which the library takes the first only.
    """
    if not isinstance(inputs, Tensor):
        raise UnusableExplainer(
            f"{name} explains one tensor of inputs, and this model takes {len(inputs)}; explain them with an "
            f"explainer that takes a tuple, such as captum's, or fix all but one in the model's forward pass"
        )
    copied = inputs.detach().clone()
    return copied.requires_grad_() if graph and copied.is_floating_point() else copied


def rows_at_once(values: Tensor, copies: int = 1) -> int:
    """How many rows of `values`, of each of which `copies` are made, go through a model at once; at least 1."""
    return max(1, MOST_VALUES // max(1, values[0].numel() * copies))


class _NoBar:
    """tqdm, the module and the class, as far as libraries call it; shows nothing.

    Some walk over it, and some, such as SHAP after ten seconds, make one of no iterable and update it.
    """

    def __init__(self, iterable: Iterable[Any] = ()) -> None:
        self._iterable = iterable

    def __call__(self, iterable: Any = None, *_: Any, **__: Any) -> Any:
        return _NoBar(() if iterable is None else iterable)

    tqdm = __call__

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterable)

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        """`update`, `close`, `set_description` and their like."""
        return lambda *_, **__: None


def _without_bars(library: str) -> Loan[None]:
    """A context in which the library's modules have no `tqdm` of their own."""
    homes = [
        vars(module)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == library and "tqdm" in vars(module)
    ]
    before = [(home, home["tqdm"]) for home in homes]

    def take() -> None:
        for home, _ in before:
            home["tqdm"] = _NoBar()

    def give_back() -> None:
        for home, found in before:
            home["tqdm"] = found

    return lent(take, give_back)
