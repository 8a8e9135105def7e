"""The key of a cached network covers each file of this package that says how it is trained."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable

import pytest
from torch import nn

from pytest_saliency_sanity.trained_networks import (
    descent,
    logit_regression,
    networks,
    pairs,
    regularization,
    scores,
    support,
    training,
)

ROOM = "pytest_saliency_sanity.trained_networks."
NO_TRAINING = {"datasets", "fingerprints", "progress", "safekeeping"}  # what they hand over is in the key
TRAINER = (training, scores, regularization, descent)
MODEL = nn.Linear(2, 2)
SUPPORT = (support, logit_regression, descent, pairs)


def used(*modules: types.ModuleType) -> set[str]:
    """The files of the room that these modules take something from."""
    values = [value for module in modules for value in vars(module).values()]
    names = [getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in values]
    return {name.removeprefix(ROOM).partition(".")[0] for name in names if str(name).startswith(ROOM)}


@pytest.mark.parametrize(
    "key, modules",
    [
        (networks._own_trainer, TRAINER),
        (lambda: support._fingerprint(MODEL), SUPPORT),
    ],
    ids=["training", "support"],
)
def test_an_edit_of_any_file_that_trains_changes_the_key(
    key: Callable[[], str], modules: tuple[types.ModuleType, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert used(*modules) - NO_TRAINING == {module.__name__.removeprefix(ROOM) for module in modules}
    before, source = key(), inspect.getsource
    assert key() == before
    for edited in modules:
        monkeypatch.setattr(
            inspect, "getsource", lambda one, edited=edited: source(one) + "#" * (one is edited)
        )
        assert key() != before, edited
