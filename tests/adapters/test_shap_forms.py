"""SHAP on several inputs, on float64, with a background of the user's, and which of its classes are taken."""

from __future__ import annotations

import functools
import inspect
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.adapters import UnusableExplainer, adapted
from pytest_saliency_sanity.adapters.models import Score
from tests.adapters.networks import TARGETS, assert_close, convolutional

with warnings.catch_warnings():  # its import warns, and that of what it imports
    warnings.simplefilter("ignore")
    shap = pytest.importorskip("shap")

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # of SHAP itself
    pytest.mark.filterwarnings("ignore:unrecognized nn.Module:UserWarning"),
]
NAMES = ("GradientExplainer", "DeepExplainer")
TAKEN = {*NAMES, "PartitionExplainer"}
# Explainers of tables and trees, and those that ask a function of rows; each is refused.
REFUSED = {
    "AdditiveExplainer", "CoalitionExplainer", "ExactExplainer", "Explainer", "GPUTreeExplainer", "KernelExplainer",
    "LinearExplainer", "PermutationExplainer", "SamplingExplainer", "TreeExplainer",
}  # fmt: skip


class TwoInputs(nn.Module):
    """Images and a row of numbers, joined before one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.images = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten())
            self.joined = nn.Linear(147 + 4, 3)

    def forward(self, images: Tensor, numbers: Tensor) -> Tensor:
        return self.joined(torch.cat([self.images(images), numbers], 1))


def _call(name: str) -> dict[str, int]:
    return {"nsamples": 5} if name == "GradientExplainer" else {}


def _own(name, model, rows, background, **call):
    """SHAP's own values of each image for its target, for each of the inputs."""
    found = []
    for place, target in enumerate(TARGETS):
        made = getattr(shap, name)(Score(model, target[None]), background)
        row = [part[place : place + 1].clone() for part in rows]
        values = made.shap_values(row if len(row) > 1 else row[0], **call)
        found.append([one[..., 0] for one in (values if isinstance(values, list) else [values])])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _seeded(explain, *arguments):
    np.random.seed(3)
    return explain(*arguments)


@pytest.mark.parametrize("name", NAMES)
def test_several_inputs_get_a_map_each(name, inputs):
    model = TwoInputs().eval()
    rows = (inputs, torch.randn(4, 4, generator=torch.Generator().manual_seed(2)))
    background = [torch.zeros(1, 2, 9, 9), torch.zeros(1, 4)]
    np.random.seed(3)
    expected = _own(name, model, rows, background, **_call(name))
    found = _seeded(adapted(functools.partial(getattr(shap, name), **_call(name))), model, rows, TARGETS)
    assert isinstance(found, tuple)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)


def test_a_background_of_several_inputs_has_a_part_for_each(inputs):
    model = TwoInputs().eval()
    rows = (inputs, torch.randn(4, 4, generator=torch.Generator().manual_seed(2)))
    background = [torch.ones(1, 2, 9, 9), torch.full((1, 4), -1.0)]
    expected = _own("DeepExplainer", model, rows, background)
    for data in (background, tuple(background)):
        found = adapted(functools.partial(shap.DeepExplainer, data=data))(model, rows, TARGETS)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    with pytest.raises(UnusableExplainer, match="PartitionExplainer explains one tensor of inputs"):
        adapted(shap.PartitionExplainer)(model, rows, TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_explained_in_float64(name, inputs):
    """GradientExplainer draws in torch's default type, which is that of the inputs only as long as it explains."""
    model, rows = convolutional().double(), inputs.double()
    torch.set_default_dtype(torch.float64)
    try:
        np.random.seed(3)
        (expected,) = _own(name, model, (rows,), torch.zeros(1, 2, 9, 9), **_call(name))
    finally:
        torch.set_default_dtype(torch.float32)
    explain = adapted(functools.partial(getattr(shap, name), **_call(name)))
    found = _seeded(explain, model, rows, TARGETS)
    assert torch.get_default_dtype() == torch.float32
    assert np.asarray(found).dtype == expected.dtype
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
def test_the_background_is_the_one_given(name, model, inputs):
    background = torch.randn(3, 2, 9, 9, generator=torch.Generator().manual_seed(4))
    np.random.seed(3)
    (expected,) = _own(name, model, (inputs,), background.clone(), **_call(name))
    kept = background.clone()
    for data in (background, background.numpy(), background.double()):
        explain = adapted(functools.partial(getattr(shap, name), data=data, **_call(name)))
        assert_close(_seeded(explain, model, inputs, TARGETS), expected)
    assert torch.equal(background, kept)
    zeros = _seeded(adapted(functools.partial(getattr(shap, name), **_call(name))), model, inputs, TARGETS)
    assert np.abs(zeros - expected).max() > 1e-3 * np.abs(expected).max()


def test_each_class_of_shap_is_taken_or_refused():
    listed = {name for name, one in vars(shap).items() if inspect.isclass(one) and name.endswith("Explainer")}
    assert listed - TAKEN <= REFUSED  # a class of a new version is in neither
    assert listed >= TAKEN


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_class_for_tables_or_functions_is_refused_with_a_pointer(name):
    if not hasattr(shap, name):
        pytest.skip(f"this version of shap has no {name}")
    with pytest.raises(UnusableExplainer, match=rf"shap\.{name} is not for images .*captum:KernelShap"):
        adapted(getattr(shap, name))
