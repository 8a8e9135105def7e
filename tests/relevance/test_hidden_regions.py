"""What hiding a region does: beside a flat reference, and counted apart where it cannot be measured."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.audited.subject import Subject, held, subject
from pytest_saliency_sanity.examination.meter import Meter, OutOfBudget, Stopped
from pytest_saliency_sanity.explainers import gradient, sobel
from pytest_saliency_sanity.planted import planted_images
from pytest_saliency_sanity.relevance.hidden_regions import (
    FEWEST_PLACES,
    RIVALS,
    WIDEST,
    Cut,
    Hiding,
    Sample,
    cut_at,
    hidden_regions,
)
from pytest_saliency_sanity.statistics.hulls import hulls, placements
from tests.planted import planted_cnn


def audited(count: int = 3, targets: Any = None, **options: Any) -> Subject:
    return subject(gradient, planted_cnn(), planted_images(count, 5).images, targets, **options)


def hidden(
    given: Subject, regions: Tensor, how: Hiding | None = None, begin: int = 0, meter: Meter | None = None
) -> Sample:
    with held(given) as kept:
        return hidden_regions(kept, meter or Meter(), regions, begin, how or Hiding())


def squares(count: int, side: int = 8, top: int = 3, left: int = 12) -> Tensor:
    masks = torch.zeros(count, 32, 32, dtype=torch.bool)
    masks[:, top : top + side, left : left + side] = True
    return masks


def score(model: nn.Module, image: Tensor, target: int) -> float:
    with torch.no_grad():
        return float(model(image[None])[0, target])


def test_a_flat_reference_of_one_image() -> None:
    """The drop, its mid-rank among the placements, and RS, each by the formula."""
    given, region = audited(), squares(1)[0]
    found = hidden(given, squares(3), Hiding(classes=(2,))).hidden[1]
    image, target = given.inputs[0][1], int(given.targets[1])
    whole = score(given.model, image, target)
    drops = []
    for place in [region, *placements(region, 39, seed=given.seed + 1)]:
        pixels = image.clone()
        for row, column in place.nonzero().tolist():
            pixels[:, row, column] = 0
        drops.append(whole - score(given.model, pixels, target))
    own, others = drops[0], drops[1:]
    below, equal = sum(d < own for d in others), sum(d == own for d in others)
    assert found.drop == pytest.approx(own, abs=1e-4)
    assert found.percentile == pytest.approx((below + equal / 2) / 39, abs=1e-9)
    assert found.sensitivity["target"] == pytest.approx(
        (abs(own) / 64, np.mean(np.abs(others)) / 64), abs=1e-6
    )
    assert (found.area, found.frame, found.places, found.image) == (64, 1024, 39, 1)
    pixels = torch.where(region, 0, image)
    of_class = abs(score(given.model, image, 2) - score(given.model, pixels, 2)) / 64
    assert found.sensitivity[2][0] == pytest.approx(of_class, abs=1e-6)


def test_rivals_point_at_as_many_pixels() -> None:
    """Of Sobel's own regions the rival's are the same, and neither leads."""
    given = audited(8)
    maps = sobel(given.model, given.inputs[0], None).sum(1)
    found = hidden(given, hulls(maps, share=0.05), Hiding(share=0.05))
    assert len(found.hidden) >= 3
    for one in found.hidden:
        assert one.overlap["Sobel"] == 1
        assert one.rivals["Sobel"] == one.percentile
        assert set(one.rivals) == set(RIVALS) == set(one.rival_areas)


def test_the_rivals_have_the_area_in_pictures_of_flat_shapes_too() -> None:
    """One-sided edges know no model: where Sobel has no hull as small, its region is theirs, moved along the edges."""
    images = torch.zeros(4, 1, 32, 32)
    for number, image in enumerate(images):
        image[0, 4 + 3 * number : 16 + 3 * number, 5 + 2 * number : 17 + 2 * number] = 1
    given = subject(gradient, planted_cnn(), images, None)
    left = (images - images.roll(1, 3)).clamp_min(0)[:, 0]
    found = hidden(given, hulls(left, share=0.02), Hiding(share=0.02)).hidden
    assert len(found) == 4
    assert all(abs(area - one.area) <= 0.1 * one.area for one in found for area in one.rival_areas.values())


def test_the_center_is_a_disc_of_the_area() -> None:
    rows = torch.arange(32) - 15.5
    disc = (rows[:, None] ** 2 + rows[None] ** 2) <= 36
    found = hidden(audited(), disc.expand(3, -1, -1)).hidden
    assert all(one.overlap["the center"] > 0.95 for one in found)


@pytest.mark.parametrize("infill, value", [("mean", None), ("zero", 0.0), (0.25, 0.25)])
def test_the_infill_takes_the_place(infill: Any, value: float | None) -> None:
    given, region = audited(), squares(1)[0]
    value = float(given.inputs[0].mean()) if value is None else value
    found = hidden(given, squares(3), Hiding(infill)).hidden[0]
    target, image = int(given.targets[0]), given.inputs[0][0]
    drop = score(given.model, image, target) - score(given.model, torch.where(region, value, image), target)
    assert found.drop == pytest.approx(drop, abs=1e-4)


def test_logits_that_are_not_finite_end_it() -> None:
    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        hidden = (inputs == 9).flatten(1).any(1)
        return model(inputs).masked_fill(hidden[:, None], torch.nan)

    with pytest.raises(Stopped) as stopped:
        hidden(audited(forward=forward), squares(3), Hiding(9.0))
    finding = stopped.value.finding
    assert (finding.reason, finding.outcome) == ("gate.scores", "inconclusive")
    assert finding.sentence == (
        "the model's logits are not finite for 42 of 42 images with a region hidden; try another infill=, one "
        "that the model can handle"
    )


def test_weights_of_the_logits_are_a_target_too() -> None:
    weights = torch.tensor([[1.0, -1.0, 0.0, 0.5]] * 3)
    given = audited(targets=weights)
    found = hidden(given, squares(3)).hidden[2]
    with torch.no_grad():
        scores = given.model(given.inputs[0][2:3])[0]
    assert found.score == pytest.approx(float(scores @ weights[0]), abs=1e-4)


def test_what_cannot_be_measured_is_counted_apart() -> None:
    thin = torch.zeros(32, 32, dtype=torch.bool)
    thin[2:31, 2:32] = True
    thin[3:30, 3:31] = False  # few pixels, and nearly no other place
    wide = torch.ones(32, 32, dtype=torch.bool)
    regions = torch.stack([torch.zeros(32, 32, dtype=torch.bool), wide, thin, squares(1)[0]])
    found = hidden(audited(4), regions)
    assert thin.float().mean() < WIDEST < wide.float().mean()
    assert 0 < len(placements(thin, 39)) < FEWEST_PLACES
    assert (found.empty, found.wide, found.cramped) == ((0,), (1,), (2,))
    assert [one.image for one in found.hidden] == [3]
    assert found.images == 4


def test_images_that_come_later_are_the_same_as_at_once() -> None:
    given = audited(4)
    at_once = hidden(given, squares(4))
    in_two = hidden(given, squares(2)) + hidden(given, squares(2), begin=2)
    assert in_two == at_once


def test_pixels_that_have_the_infills_value_already() -> None:
    images = 0.1 + torch.rand(3, 1, 32, 32)
    images[:, :, 3:7, 12:20] = 0  # the upper half of the squares
    given = subject(gradient, planted_cnn(), images, None)
    assert [one.vacant for one in hidden(given, squares(3)).hidden] == [0.5] * 3


def test_the_budget_ends_it_between_two_calls() -> None:
    with pytest.raises(OutOfBudget):
        hidden(audited(), squares(3), meter=Meter(deadline=0.0))


def test_the_cut() -> None:
    assert cut_at(None, None) == Cut(0.05, None)
    assert cut_at(None, None, default=0.5) == Cut(0.5, None)
    assert cut_at(0.5, None) == Cut(0.5, None)
    assert cut_at(None, 0.1) == Cut(None, 0.1)


@pytest.mark.parametrize(
    "share, fraction, sentence",
    [
        (
            0.1,
            0.1,
            "give exactly one of share (of the pixels) and fraction (of the maximum), got share=0.1 and",
        ),
        (1.5, None, "share must be above 0 and at most 1, got 1.5"),
        (0, None, "share must be above 0 and at most 1, got 0"),
        (None, -0.1, "fraction must be above 0 and at most 1, got -0.1"),
    ],
)
def test_a_bad_cut(share: Any, fraction: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        cut_at(share, fraction)
