"""Pictures of every check: which, that they change nothing, and that no error of theirs is the check's."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pytest_saliency_sanity as sanity
from pytest_saliency_sanity import (
    Case,
    TrueAndPermuted,
    Verdict,
    check_consistency,
    check_contract,
    check_data_sensitivity,
    check_insertion_deletion,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
    settings,
)
from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.checks.insertion_deletion import _top
from pytest_saliency_sanity.checks.registry import CHECKS
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.report.album import Album
from pytest_saliency_sanity.report.pictures import Picture, by_row, places
from pytest_saliency_sanity.suite.evaluation import contract_of
from tests.checks.models import cnn, images, seeded, signal_cnn, tabular, two_branches
from tests.checks.test_distancing import checked as distanced
from tests.examination.test_layouts import ChannelsLast, reading

Check = Callable[..., Verdict]
MAPS = ("input", "original")


def noise(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets) + 0.01 * torch.randn_like(inputs)


def networks() -> TrueAndPermuted:
    return TrueAndPermuted(true=[cnn(seed=0), cnn(seed=1)], permuted=[cnn(seed=2), cnn(seed=3)])


REGIONS = torch.zeros(8, 12, 12, dtype=torch.bool).index_fill_(2, torch.arange(4), True)
ASKED: dict[str, tuple[Check, tuple[str, ...]]] = {
    "model_sensitivity": (
        partial(check_model_sensitivity, gradient, cnn(), images()),
        (*MAPS, "head", "upper", "all"),
    ),
    "target_sensitivity": (
        partial(check_target_sensitivity, gradient, cnn(), images()),
        (*MAPS, "another target"),
    ),
    "data_sensitivity": (
        partial(check_data_sensitivity, gradient, inputs=images(), models=networks()),
        (*MAPS, "true labels, 2", "permuted labels, 1", "permuted labels, 2"),
    ),
    "consistency": (partial(check_consistency, noise, cnn(), images()), (*MAPS, "run 1", "run 2")),
    "completeness": (partial(sanity.check_completeness, gradient, cnn(), images()), MAPS),
    "linear_oracle": (partial(sanity.check_linear_oracle, gradient, cnn(), images()), MAPS),
    "ignored_input": (
        partial(sanity.check_ignored_input, gradient, cnn(), images()),
        (*MAPS, "a quarter ignored"),
    ),
    "implementation_invariance": (
        partial(sanity.check_implementation_invariance, gradient, cnn(), images()),
        (*MAPS, "written anew"),
    ),
    "input_shift": (partial(sanity.check_input_shift, gradient, cnn(), images()), (*MAPS, "shifted")),
    "contract": (partial(check_contract, gradient, cnn(), images()), MAPS),
    "insertion_deletion": (
        partial(check_insertion_deletion, gradient, cnn(), images(), steps=4),
        (*MAPS, "top 10 %"),
    ),
    "occlusion_sensitivity": (
        partial(check_occlusion_sensitivity, gradient, cnn(), images()),
        (*MAPS, "hidden"),
    ),
    "localization": (
        partial(check_localization, gradient, cnn(), images(), regions=REGIONS),
        (*MAPS, "region"),
    ),
}
SLOW = ("data_sensitivity", "insertion_deletion", "occlusion_sensitivity")


def numbers(verdict: Verdict) -> dict[str, Any]:
    """The verdict's JSON without what it cost."""
    stated = verdict.to_json()
    costs = {"cost", "control_cost"}
    return {
        **stated,
        "evidence": {name: one for name, one in stated["evidence"].items() if name not in costs},
    }


def same(verdict: Verdict, other: Verdict) -> bool:
    """Whether two verdicts are equal, but for the seconds that they took."""
    left, right = (replace(one, evidence=numbers(one)["evidence"]) for one in (verdict, other))
    return left == right and json.dumps(left.to_json()) == json.dumps(right.to_json())


def test_pixels_that_equal_most_others_are_not_said_to_be_deleted_first() -> None:
    """The zeros of a map of little evidence: outlined would be nearly the whole image."""
    dense, sparse, flat = torch.arange(100.0), torch.zeros(100), torch.zeros(100)
    sparse[:3], sparse[3:8] = 1.0, -1.0
    found = _top(torch.stack([dense, sparse, flat]).view(3, 10, 10)).flatten(1)
    assert found.sum(1).tolist() == [10, 3, 100] and found[1, :3].all()


def test_every_check_is_asked() -> None:
    assert {*ASKED, "distancing", "parity"} == {check.name for check in CHECKS}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.extended if name in SLOW else ()) for name in ASKED],
)
def test_pictures_change_nothing(name: str) -> None:
    check, expected = ASKED[name]
    before = torch.get_rng_state()
    plain, pictured = check(), check(pictures=True)
    assert same(plain, pictured) and plain.pictures == ()
    assert torch.equal(torch.get_rng_state(), before)
    assert places(pictured.pictures) == expected, pictured
    assert len(pictured.pictures) == 4 * len(expected)
    assert sum(len(one.png) for one in pictured.pictures) <= 64 * 1024


@pytest.mark.extended
def test_distancing_shows_both_hulls() -> None:
    with settings.using(settings.Settings(progress=None)):
        plain, pictured = distanced(gradient, count=8), distanced(gradient, count=8, pictures=True)
    found = [(one.stages, one.findings, one.notes, one.evidence["images"]) for one in (plain, pictured)]
    assert found[0] == found[1]
    assert places(pictured.pictures) == (*MAPS, "hull"), pictured


def test_what_an_image_is_called_is_its_number_among_the_user_s() -> None:
    many = images(40)
    verdict = check_contract(gradient, cnn(), many, pictures=True)
    first = {one.image: one for one in verdict.pictures if one.place == "input"}
    assert len(first) == 4
    for number, one in first.items():
        assert (one.low, one.high) == pytest.approx((float(many[number].min()), float(many[number].max())))


def test_the_first_draw_s_maps_are_shown() -> None:
    """Not the control explainer's, which the check makes after them."""
    verdict = check_target_sensitivity(doubled, cnn(), images(), pictures=True)
    plain = check_target_sensitivity(gradient, cnn(), images(), pictures=True)
    pairs = zip(verdict.pictures, plain.pictures, strict=True)
    assert {
        (one.png, one.high) == (other.png, 2 * other.high) for one, other in pairs if one.kind == "map"
    } <= {True}
    assert {one.caption.split()[0] for one in verdict.pictures if one.kind == "map"} == {"class"}


def doubled(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return 2 * gradient(model, inputs, targets)


def test_they_are_asked_for_by_a_setting_and_an_option_beats_it() -> None:
    with settings.using(settings.Settings(pictures=True)):
        assert check_contract(gradient, cnn(), images()).pictures
        assert not check_contract(gradient, cnn(), images(), pictures=False).pictures
    assert not check_contract(gradient, cnn(), images()).pictures
    with pytest.raises(settings.SettingsError, match=r"^pictures must be true or false, not 'yes'$"):
        check_contract(gradient, cnn(), images(), pictures="yes")


def test_a_contract_that_is_kept_for_all_checks_is_asked_again_for_pictures() -> None:
    case = Case(model=cnn(), inputs=images())
    for wanted in (False, True, False):
        with settings.using(settings.Settings(pictures=wanted)):
            contract = contract_of(gradient, "gradient", case)
        assert contract is not None and bool(contract.pictures) == wanted


def test_they_are_neither_compared_nor_pickled_nor_in_json() -> None:
    verdict = check_contract(gradient, cnn(), images(), pictures=True)
    assert (
        verdict.pictures
        and "pictures" not in json.dumps(verdict.to_json())
        and "Picture" not in repr(verdict)
    )
    again = pickle.loads(pickle.dumps(verdict))
    assert again == verdict and again.pictures == ()


def test_no_tensor_is_kept() -> None:
    verdict = check_contract(gradient, cnn(), images(), pictures=True)
    kept = [value for one in verdict.pictures for value in vars(one).values()]
    assert {type(value) for value in kept} == {int, str, bytes, float, bool}


# Inputs of any kind.


class Volume(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4**3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


OTHERS: dict[str, tuple[Callable[[], nn.Module], Any, dict[str, Any], dict[str, tuple[int, int]]]] = {
    "signals": (signal_cnn, images(8, (2, 40)), {}, {"input": (40, 4), "original": (40, 5)}),
    "tables": (tabular, images(8, (24,)), {}, {"input": (24, 3), "original": (24, 3)}),
    "embeddings": (reading, images(8, (14, 10)), {"channel_axis": -1}, {"input": (14, 10), "original": (14, 2)}),
    "embeddings by their maps": (
        reading,
        images(8, (14, 10)),
        {"explainer": lambda *given: gradient(*given).sum(-1)},
        {"input": (14, 10), "original": (14, 2)},
    ),
    "channels last": (
        lambda: ChannelsLast(cnn(channels=3)).eval(),
        images(8, (12, 12, 3)),
        {"channel_axis": -1},
        {"input": (12, 12), "original": (12, 12)},
    ),
    "volumes": (lambda: seeded(Volume).eval(), images(8, (1, 6, 6, 6)), {}, {"input": (6, 6), "original": (6, 6)}),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_inputs_of_any_kind(name: str) -> None:
    model, inputs, options, sizes = OTHERS[name]
    given = {"explainer": gradient, **options}
    verdict = check_contract(given.pop("explainer"), model(), inputs, pictures=True, **given)
    assert not any("pictures" in note for note in verdict.notes)
    assert {one.place: one.size for one in verdict.pictures} == sizes, verdict
    assert len(by_row(verdict.pictures)) == 4


def test_several_inputs_have_rows_of_their_own() -> None:
    inputs = (images(8), images(8, (2, 40)))
    verdict = check_model_sensitivity(gradient, two_branches(), inputs, pictures=True)
    rows = by_row(verdict.pictures)
    assert list(rows)[:2] == ["image 0", "image 0, input 2"]
    assert rows["image 0"]["all"].size == (12, 12) and rows["image 0, input 2"]["all"].size == (40, 5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes(dtype: torch.dtype) -> None:
    verdict = check_contract(gradient, cnn().to(dtype), images().to(dtype), pictures=True)
    assert len(verdict.pictures) == 8, verdict


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_constant_maps(value: float) -> None:
    verdict = check_contract(lambda m, x, t: torch.full_like(x, value), cnn(), images(), pictures=True)
    assert verdict.reason == "constant" and len(verdict.pictures) == 8


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_maps_that_break_the_contract_have_no_pictures(value: float) -> None:
    verdict = check_contract(lambda m, x, t: torch.full_like(x, value), cnn(), images(), pictures=True)
    assert verdict.reason == "contract.finite" and verdict.pictures == ()


# Errors of the observer.


@pytest.mark.parametrize(
    "place, name",
    [
        ("add_map", "target_sensitivity"),
        ("add_input", "contract"),
        ("pictures", "contract"),
        ("add_regions", "localization"),
    ],
)
def test_an_error_of_the_observer_is_a_note_once(
    monkeypatch: pytest.MonkeyPatch, place: str, name: str
) -> None:
    def broken(*given: Any) -> tuple[Picture, ...]:
        raise RuntimeError("planted")

    check, _ = ASKED[name]
    plain = check()
    monkeypatch.setattr(Album, place, broken)
    verdict = check(pictures=True)
    note = "its pictures are incomplete: RuntimeError: planted"
    assert verdict.notes == (*plain.notes, note) and verdict.stages == plain.stages
    assert check().notes == plain.notes


def test_nothing_is_drawn_where_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Album, "__init__", lambda *given: pytest.fail("an album is made"))
    for name in ("target_sensitivity", "consistency", "localization"):
        assert ASKED[name][0]().pictures == ()


def test_the_observer_ends_with_its_check() -> None:
    check_contract(gradient, cnn(), images(), pictures=True)
    assert observation.collected() == ((), ()) and not observation.is_observed()


def test_maps_on_another_scale_are_finite() -> None:
    verdict = check_contract(lambda *given: 1e30 * gradient(*given), cnn(), images(), pictures=True)
    assert all(np.isfinite([one.low, one.high]).all() for one in verdict.pictures)
