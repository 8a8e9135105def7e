"""Models that are prepared for quantization are floats; those that are quantized are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.ao import quantization
from torch.ao.quantization import quantize_fx

from pytest_saliency_sanity import check_contract, check_model_sensitivity, explainers
from pytest_saliency_sanity.perturbations.restoring.refusals import check_randomizable
from tests.checks.models import images
from tests.perturbations.state import state_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)


class Net(nn.Module):
    """A residual network whose sum is a FloatFunctional, as those of torchvision.models.quantization."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = quantization.QuantStub(), quantization.DeQuantStub()
        self.one, self.two = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.sum, self.relu, self.flat = torch.ao.nn.quantized.FloatFunctional(), nn.ReLU(), nn.Flatten()
        self.hidden, self.head = nn.Linear(512, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.one(self.quant(x)))
        x = self.sum.add_relu(x, self.two(x))
        return self.dequant(self.head(self.relu(self.hidden(self.flat(x)))))


class Summed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.sum = torch.ao.nn.quantized.FXFloatFunctional()


def _images() -> Tensor:
    return images(16, (1, 8, 8))


def _prepared() -> nn.Module:
    model = Net().eval()
    model.qconfig = quantization.get_default_qconfig("fbgemm")
    return quantization.prepare(model)


def _prepared_by_fx() -> nn.Module:
    mapping = quantization.get_default_qconfig_mapping("fbgemm")
    return quantize_fx.prepare_fx(Net().eval(), mapping, (_images(),))


def _calibrated(model: nn.Module) -> nn.Module:
    for _ in range(3):
        model(_images())
    return model.eval()


def _trained_for_it() -> nn.Module:
    model = Net().train()
    model.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    return _calibrated(quantization.prepare_qat(model))


def _trained_for_it_by_fx() -> nn.Module:
    mapping = quantization.get_default_qat_qconfig_mapping("fbgemm")
    return _calibrated(quantize_fx.prepare_qat_fx(Net().train(), mapping, (_images(),)))


FLOATS = {
    "with FloatFunctional": Net,
    "with FXFloatFunctional": Summed,
    "prepared": _prepared,
    "prepared and calibrated": lambda: _calibrated(_prepared()),
    "prepared by FX": _prepared_by_fx,
    "trained for it": _trained_for_it,
    "trained for it, by FX": _trained_for_it_by_fx,
}
QUANTIZED = {
    "converted": lambda: quantization.convert(_calibrated(_prepared())),
    "dynamically": lambda: quantization.quantize_dynamic(Net().eval(), {nn.Linear}),
    "by FX": lambda: quantize_fx.convert_fx(_calibrated(_prepared_by_fx())),
}


def _made(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


@pytest.mark.parametrize("make", FLOATS.values(), ids=FLOATS)
def test_prepared_models_are_audited_as_floats(make: Callable[[], nn.Module]) -> None:
    model = _made(make)
    before = state_of(model)
    assert check_model_sensitivity(explainers.gradient, model, _images(), profile="smoke").outcome == "pass"
    assert check_model_sensitivity(explainers.sobel, model, _images(), profile="smoke").outcome == "fail"
    assert state_of(model) == before


def test_what_grows_with_what_it_sees_can_still_grow() -> None:
    """Storages that numpy has seen cannot be resized any more."""
    model = _made(_prepared)
    check_model_sensitivity(explainers.gradient, model, _images(), profile="smoke")
    assert all(tensor.untyped_storage().resizable() for tensor in [*model.parameters(), *model.buffers()])


@pytest.mark.parametrize("make", QUANTIZED.values(), ids=QUANTIZED)
def test_quantized_models_are_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(
        ValueError, match=r"is quantized \(\w+\), its weights are packed; audit the float model"
    ):
        check_randomizable(_made(make))


def test_an_explainer_that_moves_an_observer_itself_is_still_found_out() -> None:
    model = _made(_prepared)

    def moving(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        found = explainers.gradient(network, inputs, targets)
        network.head.activation_post_process.eps.fill_(1)
        return found

    verdict = check_contract(moving, model, _images())
    assert (verdict.outcome, verdict.reason) == ("error", "contract.buffers")
    assert "(head.activation_post_process.eps)" in verdict.summary
