"""Parametrized weights are re-drawn as weights, whatever they are made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from pytest_saliency_sanity import check_model_sensitivity, explainers
from pytest_saliency_sanity.perturbations import cascading, find_blocks, independent, preserved, randomized
from tests.perturbations.architectures import images
from tests.perturbations.state import random_numbers_ahead, state_of

MAPS = ("matrix_exp", "cayley", "householder")
SIZES = {"tall": (32, 16), "square": (32, 32), "wide": (16, 32)}


def _orthogonal(layer: nn.Module, name: str, trivialized: bool) -> nn.Module:
    return parametrizations.orthogonal(layer, orthogonal_map=name, use_trivialization=trivialized)


class Positive(nn.Module):
    """Its right inverse takes no negative weight."""

    def forward(self, raw: Tensor) -> Tensor:
        return raw.exp()

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight.log()


class Symmetric(nn.Module):
    """Has no right inverse."""

    def forward(self, raw: Tensor) -> Tensor:
        return raw.triu() + raw.triu(1).T


class Refusing(Symmetric):
    def right_inverse(self, weight: Tensor) -> Tensor:
        raise ValueError("no weight is good enough")


class Zeroing(nn.Module):
    """What its right inverse gives is no weight."""

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def right_inverse(self, weight: Tensor) -> Tensor:
        return 0 * weight


class Halved(nn.Module):
    """Two raw tensors and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        return self.scale * torch.cat([one, two])

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        self.scale = weight.abs().max()
        return tuple((weight / self.scale).tensor_split(2))


def _own(part: Callable[[], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    def parametrized(layer: nn.Module) -> nn.Module:
        parametrize.register_parametrization(layer, "weight", part(), unsafe=True)
        return layer

    return parametrized


def _positive(layer: nn.Module) -> nn.Module:
    layer.weight.data.abs_()
    return _own(Positive)(layer)


def _refusing(layer: nn.Module) -> nn.Module:
    layer = _own(Symmetric)(layer)
    layer.parametrizations.weight[0].__class__ = Refusing
    return layer


def _zeroing(layer: nn.Module) -> nn.Module:
    trained = layer.weight.detach().clone()
    layer = _own(Zeroing)(layer)
    layer.parametrizations.weight.original.data.copy_(trained)
    return layer


def _all_kinds() -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    for name in MAPS:
        for trivialized in (True, False):
            for size, (rows, columns) in SIZES.items():
                key = f"{name} {'with' if trivialized else 'without'} trivialization, {size}"
                yield key, lambda n=name, t=trivialized, r=rows, c=columns: _orthogonal(nn.Linear(c, r), n, t)
    for size, (rows, columns) in SIZES.items():
        yield (
            f"orthogonal as it is, {size}",
            lambda r=rows, c=columns: parametrizations.orthogonal(nn.Linear(c, r)),
        )
    wrappers = {
        "weight_norm": parametrizations.weight_norm,
        "weight_norm over all": lambda layer: parametrizations.weight_norm(layer, dim=None),
        "spectral_norm": parametrizations.spectral_norm,
        "old weight_norm": nn.utils.weight_norm,
        "old spectral_norm": nn.utils.spectral_norm,
        "two at once": lambda layer: parametrizations.spectral_norm(parametrizations.weight_norm(layer)),
        "positive": _positive,
        "symmetric": _own(Symmetric),
        "refusing": _refusing,
        "zeroing": _zeroing,
        "halved": _own(Halved),
    }
    for name, wrap in wrappers.items():
        yield name, lambda wrap=wrap: wrap(nn.Linear(32, 32))


KINDS = dict(_all_kinds())
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


def _network(kind: str) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        middle = KINDS[kind]()
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(192, middle.in_features), nn.ReLU(), middle, nn.ReLU(),
            nn.Linear(middle.out_features, 16), nn.ReLU(), nn.Linear(16, 5),
        )  # fmt: skip
        for _ in range(20):  # spectral_norm's power iteration
            model(images())
        with torch.no_grad():
            for raw in middle.parameters():  # as after some training
                if "Orthogonal" in repr(middle) and "householder" not in kind and raw.ndim == 2:
                    raw.add_(0.01 * torch.randn_like(raw).tril(-1))
    return model.eval()


def _weight(model: nn.Sequential) -> Tensor:
    with torch.no_grad():
        model(images())  # the old kinds compute it there
        return model[3].weight.detach().clone()


@pytest.mark.parametrize("kind", KINDS)
def test_the_re_drawn_weight_is_another_one_of_about_the_same_size(kind: str) -> None:
    model, fresh = _network(kind), _network(kind)
    trained = _weight(fresh)
    blocks, seen = find_blocks(model, images()), []
    for key in ((0, 0), (0, 0), (0, 1), (1, 0)):
        with randomized(model, blocks, seed=key[0], draw=key[1]):
            seen.append(_weight(model))
    assert torch.equal(seen[0], seen[1])
    different = itertools.pairwise([trained, *seen[1:]])
    assert not any(torch.allclose(a, b, atol=1e-3) for a, b in different)
    for drawn in seen:
        assert drawn.isfinite().all()
        assert 0.4 < drawn.norm() / trained.norm() < 4
    assert torch.equal(_weight(model), trained)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "trivialization" in kind or "as it is" in kind])
def test_an_orthogonal_weight_stays_orthogonal(kind: str) -> None:
    model = _network(kind)
    with cascading(model, images()) as steps:
        for _ in steps:
            weight = _weight(model)
            rows, columns = weight.shape
            product = weight @ weight.T if rows < columns else weight.T @ weight
            assert torch.allclose(product, torch.eye(min(rows, columns)), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("walk", [cascading, independent])
def test_it_is_given_back_bit_by_bit_and_object_by_object(kind: str, walk: Callable) -> None:
    model = _network(kind)
    blocks, trained = find_blocks(model, images()), _weight(model)
    before, numbers = state_of(model), random_numbers_ahead()
    buffers = dict(model.named_buffers())
    with walk(model, blocks) as steps:
        for step in steps:
            assert all(buffer is buffers[name] for name, buffer in model.named_buffers())
            assert walk is cascading or "3" in step.blocks or torch.equal(_weight(model), trained)
    assert state_of(model) == before and random_numbers_ahead() == numbers


@pytest.mark.parametrize("kind", KINDS)
def test_within_cached_the_model_has_the_weights_that_were_drawn(kind: str) -> None:
    model = _network(kind)
    with torch.no_grad(), parametrize.cached():
        trained = model(images())
        kept = model[3].weight
        blocks = find_blocks(model, images())
        with independent(model, blocks) as steps:
            for _ in steps:
                assert not torch.allclose(model(images()), trained)
        assert torch.equal(model(images()), trained)
        assert "old" in kind or model[3].weight is kept
    assert [block.name for block in blocks] == ["1", "3", "5", "7"]


def test_a_layer_with_a_fan_is_drawn_as_without_parametrization() -> None:
    model = nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(192, 400)), nn.Linear(400, 5))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 400), nn.Linear(400, 5))
    with randomized(model, images()), randomized(plain, images()):
        assert torch.allclose(model[1].weight, plain[1].weight, atol=1e-6)
        assert model[1].weight.std().item() == pytest.approx(math.sqrt(2 / 192), rel=0.02)


def test_other_tensors_keep_their_scale() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(3 + 0.5 * torch.randn(192, 40))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.weight

    model = nn.Sequential(_own(Positive)(Table()), nn.Linear(40, 5))
    with randomized(model, images()):
        weight = model[0].weight
        assert (weight.mean().item(), weight.std().item()) == pytest.approx((3, 0.5), rel=0.05)


def test_the_recurrent_weight_of_an_lstm() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = parametrizations.orthogonal(nn.LSTM(24, 8, batch_first=True), "weight_hh_l0")
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x.reshape(len(x), 8, 24))[0][:, -1])

    model = Last().eval()
    trained = model.lstm.weight_hh_l0.detach()
    with randomized(model, images()):
        drawn = model.lstm.weight_hh_l0.detach()
        assert torch.allclose(drawn.T @ drawn, torch.eye(8), atol=1e-5) and not torch.allclose(drawn, trained)


def test_of_several_raw_tensors_one_alone_can_be_named() -> None:
    model = nn.Sequential(
        nn.Flatten(), parametrizations.weight_norm(nn.Linear(192, 8)), nn.Linear(8, 5)
    ).eval()
    name = "1.parametrizations.weight.original0"
    directions = model[1].parametrizations.weight.original1.detach().clone()
    magnitudes = model[1].parametrizations.weight.original0.detach().clone()
    with randomized(model, find_blocks(model, images(), names=(name,))):
        assert torch.equal(model[1].parametrizations.weight.original1, directions)
        assert not (model[1].parametrizations.weight.original0 == magnitudes).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_keep_theirs(dtype: torch.dtype) -> None:
    wrap = parametrizations.weight_norm if dtype == torch.bfloat16 else parametrizations.orthogonal
    model = (
        nn.Sequential(nn.Flatten(), wrap(nn.Linear(192, 16)), nn.ReLU(), nn.Linear(16, 5)).to(dtype).eval()
    )
    trained = model[1].weight.detach().clone()
    with randomized(model, images(dtype=dtype)):
        assert model[1].weight.dtype == dtype and not (model[1].weight == trained).all()
        assert model[1].weight.norm() > 0.4 * trained.norm()


def test_an_interruption_is_not_taken_for_a_refusal() -> None:
    class Interrupted(Zeroing):
        def right_inverse(self, weight: Tensor) -> Tensor:
            raise KeyboardInterrupt

    layer = _own(Zeroing)(nn.Linear(192, 16))
    model = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), nn.Linear(16, 5))
    layer.parametrizations.weight.original.data.normal_()
    layer.parametrizations.weight[0].__class__ = Interrupted
    before = state_of(model)
    with pytest.raises(KeyboardInterrupt), randomized(model, find_blocks(model, images())):
        pass
    assert state_of(model) == before


@pytest.mark.parametrize("kind", ["orthogonal as it is, wide", "householder without trivialization, tall",
                                  "matrix_exp without trivialization, square", "spectral_norm"])  # fmt: skip
def test_the_gradient_passes_and_edges_fail(kind: str) -> None:
    model, inputs = _network(kind), images(16)
    assert check_model_sensitivity(explainers.gradient, model, inputs).outcome == "pass"
    assert check_model_sensitivity(explainers.sobel, model, inputs).outcome == "fail"


def test_preserved_keeps_no_weight_that_was_kept_within_it() -> None:
    model = _network("weight_norm")
    trained = _weight(model)
    with parametrize.cached():
        with preserved(model), parametrize.cached():
            model[3].parametrizations.weight.original0.data.zero_()
            assert not model[3].weight.any()
        assert torch.equal(model[3].weight, trained)
