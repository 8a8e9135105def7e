"""Maps that point at a planted object pass, others do not; the references, the words and the bad input."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    SanityCheckFailed,
    Verdict,
    assert_localized,
    check_localization,
    explainers,
)
from pytest_saliency_sanity.checks.localization import pointing, random_boxes_iou
from pytest_saliency_sanity.explainers import CONTROLS, input_x_gradient
from pytest_saliency_sanity.planted import PlantedImages, planted_images
from tests.examination.explaining import centered
from tests.planted import planted_cnn


def checked(explainer: Any, data: PlantedImages | None = None, network: int = 0, **options: Any) -> Verdict:
    data = data or planted_images(24, 3)
    given = {"regions": data.masks, "labels": data.labels, **options}
    return check_localization(explainer, planted_cnn(network), data.images, data.labels, **given)


@pytest.mark.covering
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["occlusion", "integrated_gradients", "input_x_gradient", "gradcam"])
def test_what_points_at_the_object_passes(name: str, seed: int) -> None:
    verdict = checked(getattr(explainers, name), planted_images(24, seed), network=seed)
    assert (verdict.outcome, verdict.reason) == ("pass", "localized"), verdict


@pytest.mark.extended
def test_rise_passes() -> None:
    assert checked(partial(explainers.rise, samples=300), name="rise").outcome == "pass"


@pytest.mark.covering
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["sobel", "noise", "center_prior", "input_copy", "constant"])
def test_what_does_not_point_at_it_does_not_pass(name: str, seed: int) -> None:
    verdict = checked(CONTROLS[name](), planted_images(24, seed), network=seed, name=name)
    assert verdict.outcome in ("fail", "inconclusive")
    assert verdict.outcome == "fail" or name in ("noise", "center_prior")


def test_the_object_itself_scores_one() -> None:
    data = planted_images(12, 5)
    stages = {stage.name: stage.statistic for stage in checked(oracle(data), data).stages}
    assert stages["IoU"] == 1 and stages["pointing game"] == 1
    assert stages["IoU − the center"] == pytest.approx(1 - _center(data), abs=1e-6)


def oracle(data: PlantedImages) -> Any:
    """An explainer that knows where the objects are."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        where = [int((data.images == one).all(3).all(2).all(1).nonzero()[0]) for one in inputs]
        return data.masks[where].float() + 0.01 * inputs[:, 0]

    return explainer


def _center(data: PlantedImages) -> float:
    rows = torch.arange(32) - 15.5
    near = -(rows[:, None] ** 2 + rows[None] ** 2)
    values = []
    for mask in data.masks:
        order = near.flatten().sort(descending=True, stable=True).indices[: int(mask.sum())]
        disc = torch.zeros(1024, dtype=torch.bool).index_fill_(0, order, True).view(32, 32)
        values.append(float((disc & mask).sum() / (disc | mask).sum()))
    return float(np.mean(values))


def test_a_demanded_iou_decides_alone() -> None:
    assert checked(input_x_gradient, min_iou=0.1).outcome == "pass"
    verdict = checked(input_x_gradient, min_iou=0.9)
    assert verdict.outcome == "fail"
    assert re.match(
        r"input_x_gradient does not point at the region: 0\.\d\d+ is the mean IoU of its highest pixels with the "
        r"region \(99 % upper bound 0\.\d\d+ < 0\.90\)",
        verdict.summary,
    )
    assert [stage.name for stage in verdict.judged] == ["IoU"]


def test_a_map_against_the_class_points_by_its_size() -> None:
    def against(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return -explainers.occlusion(model, inputs, targets)

    assert checked(against).outcome != "pass"
    assert checked(against, absolute=True).outcome == "pass"


# Who knows no model and points at the object all the same.


def contrast(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return (inputs - inputs.mean((2, 3), keepdim=True)).abs()


def faint(seed: int) -> PlantedImages:
    """The object is what stands out: the bars are fainter, or are not there."""
    return planted_images(24, seed, contrast=0.2 * (seed % 2))


STANDING_OUT = {
    "contrast": contrast,
    "brightness": CONTROLS["input_copy"](),
    "a blurred contrast": lambda m, x, t: nn.functional.avg_pool2d(contrast(m, x, t), 3, 1, 1),
    "squared contrast": lambda m, x, t: contrast(m, x, t) ** 2,
    "contrast with a trace of the model": lambda m, x, t: (
        contrast(m, x, t) + 1e-3 * explainers.gradient(m, x, t)
    ),
}


@pytest.mark.covering
@pytest.mark.parametrize("options", [{}, {"min_iou": 0.1}, {"box": True}], ids=["plain", "min_iou", "box"])
@pytest.mark.parametrize("name", STANDING_OUT)
def test_what_stands_out_is_found_without_a_model(name: str, options: dict[str, Any]) -> None:
    for seed in range(3):
        data = faint(seed)
        regions = data.boxes if options.get("box") else data.masks
        verdict = checked(STANDING_OUT[name], data, network=seed, name="mine", regions=regions, **options)
        assert verdict.outcome == "inconclusive", verdict
        assert "|x − mean|" in str(verdict)


def test_the_message_names_the_rival() -> None:
    verdict = checked(contrast, planted_images(24, 1, contrast=0.0), name="mine", min_iou=0.5)
    assert verdict.reason == "gate.rivals"
    assert verdict.summary == (
        "mine: inconclusive: it is not shown to be better than |x − mean|, which does not use the model and "
        "points at the regions as well: their highest pixels have a mean IoU of 1.00 and 1.00 with the regions "
        "(95 % lower bound of the difference 0.00; it must be above 0.00); use images in which things other than "
        "the regions stand out"
    )
    assert verdict.evidence["rivals"]["|x − mean|"] == pytest.approx(1, abs=0.01)


def test_a_map_of_the_center_leads_no_rival_on_centered_objects() -> None:
    verdict = checked(centered, planted_images(24, 3, position="center"), min_iou=0.05)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.rivals")
    assert "it is not shown to be better than the center, which does not use the model" in verdict.summary
    assert "use images in which the regions lie elsewhere" in verdict.summary


@pytest.mark.covering
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["gradient", "input_x_gradient", "integrated_gradients", "gradcam"])
def test_losing_to_the_center_is_no_evidence_where_every_object_is_there(name: str, seed: int) -> None:
    data = planted_images(24, seed, position="center")
    verdict = checked(getattr(explainers, name), data, network=seed)
    assert verdict.outcome == "inconclusive", verdict
    if verdict.reason == "gate.rivals":
        assert re.search(
            r"the center can hardly be beaten on these images: its mean IoU with the regions is 0\.[34]\d "
            r"\(above 0\.25\), and the map does beat random boxes; use images in which the regions lie elsewhere",
            verdict.summary,
        )
        assert not verdict.stages[1].judged and verdict.stages[1].outcome == "fail"


@pytest.mark.covering
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["sobel", "noise", "input_copy"])
def test_what_is_no_better_than_a_random_box_fails_there_too(name: str, seed: int) -> None:
    verdict = checked(CONTROLS[name](), planted_images(24, seed, position="center"), network=seed)
    assert (verdict.outcome, verdict.reason) == ("fail", "misplaced")


def test_edges_that_are_the_object_are_found_by_sobel() -> None:
    """Frames drawn in noise: the pixels are as bright as others, and only Sobel sees them."""
    images, masks = textured(24)
    verdict = check_localization(CONTROLS["sobel"](), planted_cnn(), images, regions=masks, name="mine")
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.rivals")
    assert "it is not shown to be better than Sobel, which does not use the model" in verdict.summary


def textured(count: int) -> tuple[Tensor, Tensor]:
    """Squares of a checkered texture, on a background that goes slowly from dark to bright."""
    random = torch.Generator().manual_seed(0)
    images = torch.linspace(0, 1, 32).expand(count, 1, 32, 32).clone()
    masks = torch.zeros(count, 32, 32, dtype=torch.bool)
    checks = (torch.arange(32)[:, None] // 2 + torch.arange(32)[None] // 2) % 2
    for image, mask in zip(images, masks, strict=True):
        top, left = torch.randint(0, 22, (2,), generator=random).tolist()
        mask[top : top + 10, left : left + 10] = True
        image[0][mask] = 0.35 + 0.3 * checks[mask]
    return images + 0.01 * torch.rand(images.shape, generator=random), masks


def test_boxes_are_regions_too() -> None:
    data = planted_images(24, 3)
    as_boxes = checked(input_x_gradient, data, regions=data.boxes)
    masks = torch.zeros_like(data.masks)
    for mask, (left, top, right, bottom) in zip(masks, data.boxes.tolist(), strict=True):
        mask[top:bottom, left:right] = True
    assert as_boxes.stages == checked(input_x_gradient, data, regions=masks).stages


def test_regions_follow_the_images_that_are_chosen() -> None:
    """Of many images a sample is explained: each with its own region."""
    data = planted_images(60, 4)
    verdict = checked(explainers.integrated_gradients, data)
    assert verdict.stages[0].images == 32
    assert verdict.stages[0].statistic > 0.15


def test_the_message_of_a_failure() -> None:
    lines = str(checked(CONTROLS["sobel"](), name="sobel")).splitlines()
    assert re.fullmatch(
        r"sobel does not point at the region: -0\.\d\d+ is the IoU of its highest pixels minus that of "
        r"(the center|a random box) \(99 % upper bound -0\.\d\d+ < 0\.00\)",
        lines[0],
    )
    assert re.match(r"  measure +beside it +value +interval \(95 % … 99 %\) +verdict", lines[2])
    assert re.match(r"  IoU +the center 0\.\d\d+, a random box 0\.\d\d+ +0\.0\d .*\(shown only\)", lines[3])
    assert [line.split("  ")[1] for line in lines[4:8]] == [
        "IoU − the center", "IoU − a random box", "IoU − Sobel", "IoU − |x − mean|"
    ]  # fmt: skip
    assert re.match(r"  pointing game +the center 0\.\d\d+ ", lines[8])


def test_random_boxes_have_the_area_and_cannot_know_the_object() -> None:
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, :4, :4] = True
    own = [float(random_boxes_iou(mask, seed)[0]) for seed in range(30)]
    expected = np.mean([
        (4 - i) * (4 - j) / (32 - (4 - i) * (4 - j)) if i < 4 and j < 4 else 0 for i in range(17) for j in range(17)
    ])  # fmt: skip
    assert np.mean(own) == pytest.approx(expected, abs=0.01)


def test_the_highest_pixels_are_as_many_as_the_region_has() -> None:
    maps = torch.arange(16.0).view(1, 4, 4)
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, 3, 2:] = True
    mask[0, 0, 0] = True
    found = pointing(maps, mask)  # 13, 14 and 15 against 0, 14 and 15
    assert found.iou[0] == pytest.approx(2 / 4)
    assert found.inside[0] == 1


def test_the_box_of_the_highest_pixels_without_isolated_ones() -> None:
    maps = torch.zeros(1, 8, 8)
    maps[0, 1, 1:5] = maps[0, 1:5, 1] = 2  # two sides of a box of 4 × 4, 7 pixels
    maps[0, 7, 7] = 1
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 1:3, 1:5] = True  # 8 pixels
    assert pointing(maps, mask).iou[0] == pytest.approx(5 / 11)
    assert pointing(maps, mask, box=True).iou[0] == pytest.approx(8 / 16)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.extended) for seed in (1, 2))])
def test_boxes_are_held_against_boxes(seed: int) -> None:
    data = planted_images(24, seed)
    given = {"regions": data.boxes, "box": True}
    assert checked(explainers.occlusion, data, seed, **given).outcome == "pass"
    assert checked(CONTROLS["sobel"](), data, seed, name="sobel", **given).outcome != "pass"


def test_the_box_around_stripes_is_nearer_to_a_box_than_they_are() -> None:
    """Some columns of the object's box come first, then noise anywhere: the box leaves that out."""
    data = planted_images(12, 5)

    def stripes(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        where = [int((data.images == one).all(3).all(2).all(1).nonzero()[0]) for one in inputs]
        maps = torch.rand(len(inputs), 32, 32, generator=torch.Generator().manual_seed(0)) / 2
        for one, (left, top, right, bottom) in zip(maps, data.boxes[where].tolist(), strict=True):
            one[top:bottom, left:right] = 1
            one[top + 1 : bottom - 1, left + 1 : right - 1 : 2] = 0
        return maps

    pixels, boxes = (checked(stripes, data, regions=data.boxes, box=box) for box in (False, True))
    assert boxes.stages[0].statistic > 0.7 > 0.6 > pixels.stages[0].statistic
    assert boxes.summary.startswith("stripes: no evidence that it does not point at the region: ")
    assert "is the IoU of the box of its highest pixels minus that of" in boxes.summary
    assert boxes.stages[5:] == pixels.stages[5:]


def test_the_centers_box_is_its_reference() -> None:
    """A map like the center's is neither above nor below it, in pixels as in boxes."""
    for box in (False, True):
        stages = {stage.name: stage for stage in checked(centered, name="center", box=box).stages}
        assert stages["IoU − the center"].statistic == 0


@pytest.mark.parametrize(
    "options, error, sentence",
    [
        ({"regions": None}, TypeError, "there are no regions: pass regions= (boxes or boolean masks)"),
        ({"min_iou": 1.5}, ValueError, "min_iou must be a number from 0 to 1, not 1.5"),
        ({"min_iou": -1}, ValueError, "min_iou must be a number from 0 to 1, not -1"),
        ({"min_iou": "half"}, ValueError, "min_iou must be a number from 0 to 1, not 'half'"),
        (
            {"regions": torch.tensor([[0, 0, 40, 4]] * 24)},
            ValueError,
            "the xyxy box (0, 0, 40, 4) of image 0 leaves the image of 32 × 32 pixels: "
            "it reaches from 0 to 40 across and from 0 to 4 down",
        ),
        (
            {"regions": torch.zeros(24, 32, 32, dtype=torch.bool)},
            ValueError,
            "the mask of image 0 is empty; leave out images without a region",
        ),
        (
            {"regions": [torch.zeros(0, 4)] * 24},
            ValueError,
            "image 0 has no box; leave out images without a region",
        ),
        (
            {"regions": torch.tensor([[3, 3, 3, 9]] * 24), "box_format": "xyxy"},
            ValueError,
            "the xyxy box (3, 3, 3, 9) of image 0 is empty: "
            "it reaches from 3 to 3 across and from 3 to 9 down",
        ),
        (
            {"regions": torch.ones(5, 32, 32, dtype=torch.bool)},
            ValueError,
            "masks must have the images' shape (24, 32, 32), got (5, 32, 32)",
        ),
        (
            {"regions": torch.ones(24, 32, 32)},
            ValueError,
            "masks must be boolean, got torch.float32; compare them with a value, as in masks > 0.5",
        ),
        ({"regions": torch.ones(5, 4)}, ValueError, "got boxes for 5 images, but there are 24 images"),
        ({"box_format": "corners", "regions": torch.ones(24, 4)}, ValueError, "xyxy, xywh, cxcywh"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        checked(input_x_gradient, **options)


def test_regions_belong_to_images() -> None:
    sentence = "regions belong to images: inputs must be a tensor (N, C, H, W), not (4, 3, 8)"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        check_localization(
            input_x_gradient, nn.Flatten(), torch.rand(4, 3, 8), regions=torch.ones(4, 8, 8, dtype=torch.bool)
        )


def test_one_image_is_not_enough() -> None:
    data = planted_images(24, 3)
    with pytest.raises(
        ValueError, match=r"^inputs hold one image, shape \(1, 1, 32, 32\); at least 2 are needed"
    ):
        check_localization(input_x_gradient, planted_cnn(), data.images[:1], regions=data.masks[:1])


def test_the_ends_of_a_demanded_iou() -> None:
    assert checked(input_x_gradient, min_iou=0).outcome == "pass"
    assert checked(input_x_gradient, min_iou=1).outcome == "fail"
    assert checked(oracle(planted_images(24, 3)), min_iou=1).outcome == "pass"


def test_regions_that_nobody_can_miss() -> None:
    wide = torch.ones(24, 32, 32, dtype=torch.bool)
    verdict = checked(input_x_gradient, regions=wide)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.regions")
    assert "the regions cover 100% of the images" in verdict.summary


def test_the_assertion_raises() -> None:
    data = planted_images(24, 3)
    with pytest.raises(SanityCheckFailed, match=r"^sobel does not point at the region"):
        assert_localized(
            CONTROLS["sobel"](), planted_cnn(), data.images, data.labels, regions=data.masks, name="sobel"
        )
