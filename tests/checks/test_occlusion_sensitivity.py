"""Maps that point at the planted object pass; those that edges or the center would do as well do not."""

from __future__ import annotations

import re
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    SanityCheckFailed,
    Verdict,
    assert_occlusion_sensitive,
    check_occlusion_sensitivity,
    explainers,
)
from pytest_saliency_sanity.audited.subject import subject
from pytest_saliency_sanity.checks import occlusion_sensitivity
from pytest_saliency_sanity.explainers import CONTROLS, center_prior, input_x_gradient, occlusion
from pytest_saliency_sanity.planted import PlantedImages, known_truth, planted_images
from pytest_saliency_sanity.relevance.hidden_regions import Hidden, Sample
from tests.examination.explaining import centered
from tests.planted import planted_cnn


def checked(explainer: Any, data: PlantedImages | None = None, network: int = 0, **options: Any) -> Verdict:
    data = data or planted_images(32, 3)
    given = {"labels": data.labels, "name": getattr(explainer, "__name__", "explainer"), **options}
    return check_occlusion_sensitivity(explainer, planted_cnn(network), data.images, **given)


@cache
def of_occlusion() -> Verdict:
    """On the images of `checked`; nothing else is asked."""
    return checked(occlusion)


def distance_from_mean(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return (images - images.mean((2, 3), keepdim=True)).abs()


@pytest.mark.covering
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["occlusion", "integrated_gradients", "input_x_gradient", "gradcam"])
def test_what_points_at_the_object_passes(name: str, seed: int) -> None:
    verdict = checked(getattr(explainers, name), planted_images(32, seed), network=seed)
    assert (verdict.outcome, verdict.reason) == ("pass", "to_the_point"), verdict


@pytest.mark.extended  # by default in test_insertion_deletion.py
def test_rise_passes() -> None:
    assert checked(partial(explainers.rise, samples=300)).outcome == "pass"


@pytest.mark.covering
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "name", ["sobel", "noise", "center_prior", "input_copy", "input_x_sobel", "constant"]
)
def test_a_map_that_does_not_use_the_model_does_not_pass(name: str, seed: int) -> None:
    verdict = checked(CONTROLS[name](), planted_images(32, seed), network=seed, name=name)
    assert verdict.outcome in ("fail", "inconclusive"), verdict
    assert verdict.outcome == "fail" or name not in ("sobel", "center_prior", "constant")


def moved(model: nn.Module, inputs: Tensor, targets: Tensor, by: int = 16) -> Tensor:
    """It depends on the model and the image, and points beside the object."""
    return explainers.occlusion(model, inputs, targets).roll((by, by), (2, 3))


def beside_the_center(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The pixels of a disc that touches the object: better than random places, worse than the center."""
    return center_prior(model, inputs, targets).roll(8, 2) * (0.5 + inputs)


def test_a_map_moved_to_another_place_fails() -> None:
    assert checked(moved).outcome == "fail"


def test_random_placements_alone_would_let_ink_pass() -> None:
    """With faint bars ink beats random places in these images, and still does not lead Sobel."""
    data = planted_images(32, 1, contrast=0.2)
    stages = {stage.name: stage for stage in checked(distance_from_mean, data).stages}
    assert stages["percentile"].outcome == "pass"
    assert stages["lead over Sobel"].outcome != "pass"


def test_where_the_object_alone_has_edges_the_hint_says_so() -> None:
    verdict = checked(explainers.gradient, planted_images(32, 1, contrast=0.0))
    assert verdict.outcome == "inconclusive"
    assert re.search(
        r"hint: Sobel alone reaches 0\.\d\d+: images in which things other than what matters", str(verdict)
    )


def test_noise_has_hulls_as_wide_as_the_image() -> None:
    verdict = checked(CONTROLS["noise"](), name="noise")
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.regions")
    assert re.search(
        r"only \d of 32 maps have a region that can be judged: in \d+ the hull covers more than 40% of the "
        r"frame, as that of scattered pixels does",
        verdict.summary,
    )


def test_the_hull_of_half_the_pixels_is_too_wide() -> None:
    assert checked(explainers.gradient, share=0.5).reason == "gate.regions"


def test_a_map_that_points_at_nothing_in_most_images() -> None:
    def mostly_zero(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return occlusion(model, inputs, targets) * (targets == 0).view(-1, 1, 1, 1)

    verdict = checked(mostly_zero, planted_images(16, 3))
    assert verdict.reason == "gate.regions"
    assert re.search(
        r"only 4 of 16 maps have a region that can be judged: in 12 the map points at nothing", str(verdict)
    )


def test_maps_that_are_all_zero_fail() -> None:
    verdict = checked(lambda model, inputs, targets: torch.zeros_like(inputs), name="zeros")
    assert (verdict.outcome, verdict.reason) == ("fail", "constant")
    assert "zeros returns constant maps" in verdict.summary


def test_some_images_without_a_region_are_noted() -> None:
    def sometimes_zero(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return occlusion(model, inputs, targets) * (targets != 0).view(-1, 1, 1, 1)

    verdict = checked(sometimes_zero)
    assert verdict.outcome == "pass"
    assert re.search(r"note: in \d+ the map points at nothing; these images are left out", str(verdict))


def test_where_the_center_cannot_be_beaten() -> None:
    """The object is in the center of every image: a map that always points there is right, and no map leads it."""
    verdict = checked(centered, planted_images(32, 3, position="center"))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.rivals")
    assert re.search(
        r"the center can hardly be beaten on these images: hiding its region of the same area has a percentile of "
        r"0\.\d\d+ \(above 0\.75\); use images in which what matters lies elsewhere",
        verdict.summary,
    )
    assert checked(occlusion, planted_images(32, 3, position="center")).outcome != "fail"


@pytest.mark.parametrize(
    "explainer",
    [explainers.gradient, pytest.param(explainers.integrated_gradients, marks=pytest.mark.extended)],
)
def test_being_no_better_than_sobel_is_no_evidence_where_edges_are_the_answer(explainer: Any) -> None:
    """Hiding either feature takes the whole score away, and Sobel points at them as well: the lead is 0."""
    verdict = of_known_truth(explainer)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.rivals"), verdict
    assert re.search(
        r"Sobel can hardly be beaten on these images: hiding its region of the same area has a percentile of "
        r"0\.9\d+ \(above 0\.85\); use images in which things other than what matters have edges",
        verdict.summary,
    )
    assert "note: being no better than Sobel is no evidence against the explainer where Sobel reaches" in str(
        verdict
    )


def test_a_map_that_is_worse_than_sobel_fails_there() -> None:
    def shifted(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return explainers.gradient(model, images, targets).roll((6, 6), (2, 3))

    verdict = of_known_truth(shifted)
    assert (verdict.outcome, verdict.deciding.name) == ("fail", "lead over Sobel"), verdict


def of_known_truth(explainer: Any) -> Verdict:
    known = known_truth("and")
    return check_occlusion_sensitivity(explainer, known.model, known.inputs, labels=known.labels)


def test_the_lead_is_compared_with_a_share_of_what_the_rival_leaves() -> None:
    verdict = of_occlusion()
    rows = verdict.evidence["regions"]["hidden"]
    own, theirs = (sum(values) / len(rows) for values in (
        [row["percentile"] for row in rows], [row["rivals"]["the center"] for row in rows]
    ))  # fmt: skip
    assert verdict.stages[2].name == "lead over the center"
    assert verdict.stages[2].statistic == pytest.approx(own - theirs)
    assert verdict.stages[2].pass_above == pytest.approx(0.1 * (1 - theirs))


def test_a_fail_for_another_reason_stays_where_the_center_cannot_be_beaten() -> None:
    verdict = checked(partial(moved, by=10), planted_images(32, 3, position="center"))
    assert (verdict.outcome, verdict.reason) == ("fail", "beside_the_point")
    assert verdict.deciding.name in ("percentile", "lead over Sobel")
    assert re.search(
        r"note: losing to the center is no evidence against the explainer where the center reaches "
        r"0\.\d\d+",
        str(verdict),
    )


def test_the_message_of_a_failure() -> None:
    lines = str(checked(CONTROLS["sobel"](), name="sobel")).splitlines()
    assert re.fullmatch(
        r"sobel does not point at what the score depends on: -?0\.\d\d+ is the lead of its percentile over "
        r"(Sobel|the center): a region of the same area by (Sobel|the center) reaches 0\.\d\d+ "
        r"\(99 % upper bound -?0\.\d\d+ < 0\.\d\d\)",
        lines[0],
    )
    assert re.match(r"  measure +how +value +interval \(95 % … 99 %\) +verdict", lines[2])
    assert re.match(
        r"  percentile +of the logit's drop, among 39 places of the same shape +0\.\d\d+ ", lines[3]
    )
    reached = r"a region of the same area by (Sobel|the center) reaches 0\.\d\d+"
    assert re.match(rf"  lead over Sobel +{reached} +-?0\.00 +-?0\.0\d … 0\.0\d +fail", lines[4])
    assert re.match(rf"  lead over the center +{reached} +-?\d\.\d\d+ ", lines[5])
    assert re.match(
        r"  RS of the target +per 1000 pixels; elsewhere \d+\.\d\d+ +\d+\.\d\d+ .*\(shown only\)", lines[6]
    )
    assert "hint: its regions coincide with those of Sobel: their intersection over union is 1.00" in lines


def test_a_region_where_hiding_changes_nothing_is_hinted_at() -> None:
    data = planted_images(32, 3)
    images = torch.where(data.masks[:, None], data.images, 0)
    verdict = check_occlusion_sensitivity(
        lambda model, inputs, targets: (inputs == 0).float() * torch.rand_like(inputs).cumsum(2).cumsum(3),
        planted_cnn(), images, data.labels, name="background",
    )  # fmt: skip
    assert verdict.outcome != "pass"
    assert re.search(r"hint: \d+% of its regions' pixels have the infill's value already", str(verdict))


def test_classes_that_are_asked_for_have_their_rs() -> None:
    verdict = checked(occlusion, classes=(0, 3))
    shown = [stage.name for stage in verdict.stages if not stage.judged]
    assert shown == ["RS of class 0", "RS of class 3"]
    first = verdict.evidence["regions"]["hidden"][0]
    assert set(first) >= {"area", "percentile", "drop", "sensitivity", "rivals"}
    own = [one["sensitivity"]["0"][0] for one in verdict.evidence["regions"]["hidden"]]
    assert verdict.stages[3].statistic == pytest.approx(1000 * sum(own) / len(own))


@pytest.mark.parametrize("classes", [pytest.param(3, marks=pytest.mark.extended), torch.tensor([3])])
def test_one_class_is_asked_for_by_its_number(classes: Any) -> None:
    assert checked(occlusion, classes=classes).stages[3].name == "RS of class 3"


def test_all_images_are_used_where_only_the_center_speaks_against_the_map() -> None:
    """On the first sixteen images the map loses only to the center, which is no evidence; the others may show more."""
    data = planted_images(32, 3, position="center")
    first = subject(beside_the_center, planted_cnn(), data.images, None).order[:16]
    alone = check_occlusion_sensitivity(beside_the_center, planted_cnn(), data.images[first])
    center = alone.stages[2]
    assert center.name == "lead over the center" and center.upper < center.fail_below - 0.1
    assert alone.reason == "gate.rivals" and all(stage.outcome != "fail" for stage in alone.judged)
    assert checked(beside_the_center, data).stages[0].images == 32


def test_the_error_rates_are_shared_over_looks_and_stages() -> None:
    """Two looks, and three stages, each of which can fail the explainer."""
    verdict = of_occlusion()
    assert {(stage.alpha_fail, stage.alpha_pass) for stage in verdict.judged} == {(0.01 / 6, 0.05 / 2)}
    assert checked(occlusion, planted_images(16, 3)).judged[0].alpha_pass == 0.05


@pytest.mark.extended
def test_a_map_without_a_lead_passes_as_rarely_as_the_level_says() -> None:
    """Percentiles of the explainer and of the rivals drawn alike, two looks: passes among 600 within their level."""
    random, passed = np.random.default_rng(0), 0
    for _ in range(600):
        drawn = [one_hidden(number, *random.uniform(size=3)) for number in range(32)]
        looks = (occlusion_sensitivity.judged_stages(Sample(tuple(drawn[:size])), 2) for size in (16, 32))
        passed += any(all(stage.outcome == "pass" for stage in stages) for stages in looks)
    assert passed <= 0.05 * 600


@pytest.mark.extended
def test_a_lead_of_just_the_threshold_fails_as_rarely_as_the_level_says() -> None:
    """A mean excess of 0 over both rivals, at any percentile of theirs: the fails among 600 stay within the level."""
    random, failed = np.random.default_rng(1), 0
    for _ in range(600):
        drawn = []
        for number in range(32):
            rivals = random.uniform(0.2, 0.8, size=2)
            own = float(np.mean(rivals + 0.1 * (1 - rivals)) + random.uniform(-0.2, 0.2))
            drawn.append(one_hidden(number, own, *rivals))
        looks = (occlusion_sensitivity.judged_stages(Sample(tuple(drawn[:size])), 2) for size in (16, 32))
        failed += any(stage.outcome == "fail" for stages in looks for stage in stages)
    assert failed <= 0.02 * 600


def one_hidden(image: int, own: float, sobel: float, center: float) -> Hidden:
    names = ("Sobel", "the center")
    return Hidden(
        image=image, area=40, frame=1024, score=1.0, drop=0.5, percentile=own, places=39, vacant=0.0,
        rivals=dict(zip(names, (sobel, center), strict=True)), rival_areas=dict.fromkeys(names, 40),
        overlap=dict.fromkeys(names, 0.1), sensitivity={"target": (0.1, 0.1)},
    )  # fmt: skip


@pytest.mark.parametrize(
    "infill", ["blur", *(pytest.param(one, marks=pytest.mark.extended) for one in ("mean", 0.1))]
)
def test_other_infills_tell_the_same(infill: Any) -> None:
    assert checked(occlusion, infill=infill).outcome == "pass"
    assert checked(CONTROLS["sobel"](), infill=infill).outcome == "fail"


def test_an_infill_of_every_image_follows_those_that_are_chosen() -> None:
    """Of forty images 32 are looked at; each is hidden by its own."""
    data = planted_images(40, 3)
    quiet = torch.where(data.masks[:, None], 0.1, data.images)  # without its object
    given = {"infill": quiet, "targets": data.labels, "share": 0.1}
    verdict = check_occlusion_sensitivity(occlusion, planted_cnn(), data.images, **given)
    assert verdict.outcome == "pass"
    assert verdict.stages[0].statistic > 0.9
    with pytest.raises(ValueError, match=r"the infill of shape \(39, 1, 32, 32\) does not broadcast"):
        check_occlusion_sensitivity(occlusion, planted_cnn(), data.images, infill=quiet[:39])


def test_a_fraction_of_the_maximum() -> None:
    assert checked(occlusion, fraction=0.5).outcome == "pass"


def test_a_map_against_the_class_points_by_its_size() -> None:
    def against(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return -occlusion(model, inputs, targets)

    assert checked(against).outcome != "pass"
    assert checked(against, absolute=True).outcome == "pass"


def test_a_clear_case_takes_the_profiles_images_and_an_open_one_all() -> None:
    assert of_occlusion().stages[0].images == 16
    assert checked(CONTROLS["laplacian"]()).stages[0].images > 16


def test_the_model_is_restored_afterwards() -> None:
    model, data = planted_cnn().train(), planted_images(16, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    check_occlusion_sensitivity(input_x_gradient, model, data.images)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_double_precision_and_a_single_logit() -> None:
    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, images: Tensor) -> Tensor:
            return self.weight * images.amax((1, 2, 3))

    images = 0.1 * torch.rand(16, 1, 24, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for number, image in enumerate(images):
        image[0, 14:22] = 0.9 * (torch.arange(24) // 2 % 2)  # edges that do not matter
        image[0, 2 + number % 8 : 5 + number % 8, 14 + number % 5 : 17 + number % 5] = 1
    verdict = check_occlusion_sensitivity(input_x_gradient, Bright(), images)
    assert verdict.outcome == "pass"
    assert verdict.stages[0].statistic > 0.9


@pytest.mark.parametrize(
    "options, error, sentence",
    [
        ({"share": 1.2}, ValueError, "share must be above 0 and at most 1, got 1.2"),
        ({"fraction": -0.1}, ValueError, "fraction must be above 0 and at most 1, got -0.1"),
        (
            {"share": 0.1, "fraction": 0.1},
            ValueError,
            "give exactly one of share (of the pixels) and fraction",
        ),
        (
            {"infill": "black"},
            ValueError,
            "infill must be one of zero, blur, mean, a number or a tensor, not 'black'",
        ),
        (
            {"classes": (0, 4)},
            ValueError,
            "classes must be numbers from 0 to 3 (the model's logits), not 4",
        ),
        (
            {"classes": ()},
            ValueError,
            "classes must be numbers from 0 to 3 (the model's logits), not an empty",
        ),
        ({"classes": (1, 1)}, ValueError, "classes must differ from one another, not (1, 1)"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        checked(occlusion, **options)


def test_one_image_is_too_few() -> None:
    data = planted_images(1, 0)
    with pytest.raises(ValueError, match="2"):
        check_occlusion_sensitivity(occlusion, planted_cnn(), data.images)


def test_regions_are_hidden_in_images() -> None:
    sentence = "this check hides regions of images: inputs must be a tensor (N, C, H, W), not (4, 3, 8)"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        check_occlusion_sensitivity(input_x_gradient, nn.Flatten(), torch.rand(4, 3, 8))


def test_the_budget() -> None:
    verdict = checked(occlusion, max_seconds=1e-6)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "budget")


def test_the_assertion_raises() -> None:
    data = planted_images(32, 3)
    with pytest.raises(SanityCheckFailed, match=r"^sobel does not point at what the score depends on"):
        assert_occlusion_sensitive(CONTROLS["sobel"](), planted_cnn(), data.images, name="sobel")
