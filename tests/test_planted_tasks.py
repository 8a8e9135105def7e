"""Tasks of the objections: what their labels hang on, and that the networks which are trained on them read it."""

from __future__ import annotations

import re

import pytest
import torch

from pytest_saliency_sanity.explainers import sobel
from pytest_saliency_sanity.planted import planted_backgrounds, planted_edges, planted_suppressors
from tests.tasks import KINDS, TASKS, task_network

TASKS_OF_IMAGES = [planted_edges, planted_backgrounds, planted_suppressors]


def test_the_class_is_where_the_edges_are() -> None:
    data = planted_edges(200, seed=1)
    edges = sobel(None, data.images, None)[:, 0]
    by_quadrant = torch.stack(
        [part.sum((1, 2)) for half in edges.tensor_split(2, 1) for part in half.tensor_split(2, 2)], 1
    )
    assert torch.equal(by_quadrant.argmax(1), data.labels)
    assert data.labels.bincount().tolist() == [50] * 4
    left, top, right, bottom = data.boxes.T
    assert torch.equal(top // 16 * 2 + left // 16, data.labels)
    assert torch.equal((bottom - 1) // 16 * 2 + (right - 1) // 16, data.labels)


def test_stripes_agree_with_the_label_as_often_as_asked() -> None:
    data = planted_backgrounds(200, seed=1, agreement=0.9)
    assert (data.backgrounds == data.labels).sum() == 180
    assert (
        planted_backgrounds(200, agreement=0).backgrounds != planted_backgrounds(200, agreement=0).labels
    ).all()
    same = planted_backgrounds(200, agreement=1)
    assert torch.equal(same.backgrounds, same.labels)


def test_stripes_tell_the_class_without_the_object() -> None:
    """The strongest frequency of the background is another one for each class."""
    data = planted_backgrounds(120, seed=3, agreement=0.5)
    spectrum = torch.fft.fft2(torch.where(data.masks, 0.25, data.images[:, 0]) - 0.25).abs()
    rows, columns = spectrum.flatten(1).argmax(1) // 32, spectrum.flatten(1).argmax(1) % 32
    slanted = zip(*((torch.minimum(at, 32 - at) > 2).tolist() for at in (rows, columns)), strict=True)
    found = set(zip(data.backgrounds.tolist(), slanted, strict=True))
    kinds = {label: {one for other, one in found if other == label} for label in range(4)}
    assert kinds == {0: {(False, True)}, 1: {(True, True)}, 2: {(True, False)}, 3: {(True, True)}}


def test_a_suppressor_tells_nothing_by_itself_and_all_together_with_the_pattern() -> None:
    data = planted_suppressors(2000, seed=1, size=24)
    images, signs = data.images[:, 0], 2.0 * data.labels - 1
    upper, lower = (images[masks].view(2000, 8, 8) for masks in (data.masks, data.suppressors))
    pattern = ((upper - lower) * signs[:, None, None]).mean(0)  # the clutter is gone
    assert pattern.abs().min() > 0.19

    def told(values: torch.Tensor) -> float:
        return float(((values * pattern.sign()).mean((1, 2)).sign() == signs).float().mean())

    assert told(upper - lower) == 1
    assert told(upper - 0.5) < 1
    assert told(lower - 0.5) == pytest.approx(0.5, abs=0.04)
    assert not (data.masks & data.suppressors).any()


@pytest.mark.parametrize("make", TASKS_OF_IMAGES)
def test_equal_seeds_give_equal_images(make) -> None:
    before = torch.get_rng_state()
    one, again, other = (vars(make(40, seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["images"], other["images"])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("make", TASKS_OF_IMAGES)
@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"count": 0}, "count must be 1 or more, got 0"),
        ({"size": 15}, "size must be 16 pixels or more, got 15"),
    ],
)
def test_a_bad_option_is_named(make, options, sentence) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make(**{"count": 2, **options})


def test_an_agreement_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"^agreement must be between 0 and 1, got 1.5$"):
        planted_backgrounds(2, agreement=1.5)


@pytest.mark.extended
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_networks_read_the_tasks(task: str, kind: str) -> None:
    for seed in range(3):
        model, data = task_network(task, kind, seed), TASKS[task](400, 7)
        assert (model(data.images).argmax(1) == data.labels).float().mean() > 0.9


@pytest.mark.extended
@pytest.mark.parametrize("kind", KINDS)
def test_networks_read_the_background_beside_the_shape(kind: str) -> None:
    data = planted_backgrounds(400, 7, size=24, agreement=0)
    said = task_network("background", kind)(data.images).argmax(1)
    assert (said == data.backgrounds).float().mean() > 0.25
