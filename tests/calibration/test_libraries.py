"""The table of other libraries' explainers: the page shows what is stored, and it comes out again."""

from __future__ import annotations

import json

import pytest

from pytest_saliency_sanity import audit
from tests.calibration import libraries, pages, photographs

STORED = json.loads(libraries.RESULTS.read_text(encoding="utf-8"))


def test_the_page_shows_what_is_stored() -> None:
    block = pages.blocks(libraries.PAGE.read_text(encoding="utf-8"))["libraries"]
    assert block == libraries.rendered(STORED)


def test_each_explainer_and_check_is_stored() -> None:
    assert list(STORED) == list(libraries.EXPLAINERS)
    assert {tuple(row) for row in STORED.values()} == {libraries.CHECKS}
    assert "error" not in {outcome for row in STORED.values() for outcome, _ in row.values()}


@pytest.mark.extended
def test_it_comes_out_again() -> None:
    for library in ("captum", "zennit", "pytorch_grad_cam", "torchcam", "shap"):
        pytest.importorskip(library)
    found = libraries.outcomes(
        audit(libraries.explainers(), libraries.case(), libraries.CHECKS, progress=False)
    )
    outcomes = [
        {name: {check: cell[0] for check, cell in row.items()} for name, row in table.items()}
        for table in (found, STORED)
    ]
    assert outcomes[0] == outcomes[1]


ON_PHOTOGRAPHS = {
    "captum:Saliency": ("pass", "pass"),
    "captum:GuidedBackprop": ("refused", "refused"),  # the network has no nn.ReLU
    "grad-cam:GradCAM": ("pass", "pass"),
    "torchcam:LayerCAM": ("pass", "pass"),
}


@pytest.mark.extended
def test_the_libraries_on_a_network_of_photographs() -> None:
    """Of each library one at least keeps its contract there; what the checks say of those that are known."""
    for library in ("captum", "zennit", "pytorch_grad_cam", "torchcam", "shap"):
        pytest.importorskip(library)
    if absent := photographs.missing():
        pytest.skip(f"EfficientNet-Lite0: {absent}")
    found = libraries.on_photographs(libraries.ON_PHOTOGRAPHS)
    assert {found[name, "contract"].outcome for name in found.explainers} == {"pass", "refused"}
    for name, outcomes in ON_PHOTOGRAPHS.items():
        assert tuple(found[name, check].outcome for check in libraries.CHECKS_ON_PHOTOGRAPHS) == outcomes
