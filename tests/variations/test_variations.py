"""Variations of planted models, whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Variations, settings
from pytest_saliency_sanity.statistics.hulls import hulls, important
from tests.variations.setting import (
    LATENT,
    SHAPE,
    N,
    Reader,
    generator_of,
    images_of,
    mask,
    masks_of,
    seeded,
    varied,
)

close = torch.testing.assert_close


# What comes back.


def test_outside_the_region_a_variant_is_the_image_inside_it_is_the_generators() -> None:
    found, inputs = varied(), images_of()
    assert found.images.shape == found.generated.shape == (5, N, *SHAPE)
    for start in range(5):
        for image in range(N):
            inside, outside = found.masks[image], ~found.masks[image]
            assert torch.equal(found.images[start, image, :, outside], inputs[image, :, outside])
            assert torch.equal(
                found.images[start, image, :, inside], found.generated[start, image, :, inside]
            )
    assert found.latents.shape == (5, N, LATENT) and found.ring.shape == (N, 12, 12)
    assert (
        found.contextual.shape == found.realism.shape == found.confidence.shape == found.keeps.shape == (5, N)
    )


def test_the_descent_fits_the_ring_better_than_its_start() -> None:
    assert (varied(steps=100, realism_weight=0).contextual < varied(steps=0).contextual).all()


def test_different_starts_give_different_variants() -> None:
    images = varied().images.flatten(2)
    distances = (images[:, None] - images).abs().amax(-1)
    assert (distances[~torch.eye(5, dtype=torch.bool)] > 0.01).all()


def test_a_seed_repeats_the_starts_and_an_image_has_the_same_alone() -> None:
    first, again, other = varied(), varied(), varied(seed=1)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    alone = varied(inputs=images_of()[1:2], map=masks_of(1))
    close(alone.images[:, 0], first.images[:, 1])


def test_the_seed_of_the_run_is_the_default() -> None:
    with settings.using(settings.Settings(seed=7)):
        assert torch.equal(varied(seed=None).latents, varied(seed=7).latents)
    assert torch.equal(varied(seed=None).latents, varied(seed=0).latents)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_batch_size_changes_nothing_but_rounding(batch_size: int) -> None:
    one, other = varied(), varied(batch_size=batch_size)
    for name in ("images", "latents", "contextual", "realism", "confidence"):
        close(getattr(one, name), getattr(other, name), atol=1e-4, rtol=1e-4)


def test_starts_may_be_given() -> None:
    shared = torch.randn(2, LATENT, generator=seeded(3))
    found = varied(starts=shared, latent=None, steps=0)
    for image in range(N):
        assert torch.equal(found.latents[:, image], shared)


def test_starts_may_depend_on_the_images() -> None:
    def encoded(inputs: Tensor) -> Tensor:
        return inputs.flatten(1)[:, :LATENT] + 0.1 * torch.randn(4, len(inputs), LATENT)

    found, again = (varied(starts=encoded, latent=None, steps=0) for _ in range(2))
    close(found.latents.mean(0), images_of().flatten(1)[:, :LATENT], atol=0.3, rtol=0)
    assert torch.equal(found.latents, again.latents)  # drawn from the seed as well


def test_a_latent_may_have_a_shape() -> None:
    generator = nn.Sequential(nn.Flatten(), generator_of())
    assert varied(generator=generator, latent=(LATENT, 1, 1)).latents.shape == (5, N, LATENT, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_is_the_inputs(dtype: torch.dtype) -> None:
    found = varied(
        model=Reader(mask()).to(dtype),
        generator=generator_of().to(dtype),
        inputs=images_of().to(dtype),
        steps=2,
    )
    assert found.images.dtype == found.generated.dtype == dtype
    assert found.confidence.dtype == found.ring.dtype == torch.promote_types(dtype, torch.float32)


# Where.


def test_a_float_map_gives_the_hull_of_its_most_important_pixels() -> None:
    maps = torch.randn(N, 1, 12, 12, generator=seeded(5))
    assert torch.equal(varied(map=maps).masks, hulls(maps[:, 0], share=0.05))
    assert torch.equal(varied(map=maps[:, 0], share=0.2).masks, hulls(maps[:, 0], share=0.2))
    assert torch.equal(varied(map=maps, fraction=0.6).masks, hulls(maps[:, 0], fraction=0.6))
    assert torch.equal(varied(map=maps, share=0.2, hull=False).masks, important(maps[:, 0], share=0.2))


def test_channels_are_summed() -> None:
    maps = torch.randn(N, 3, 12, 12, generator=seeded(6))
    colored, gray = images_of().expand(-1, 3, -1, -1), generator_of().eval()
    found = varied(
        inputs=colored, map=maps, generator=lambda z: gray(z).expand(-1, 3, -1, -1), hull=False, share=0.1
    )
    assert torch.equal(found.masks, important(maps.sum(1), share=0.1))


def test_a_mask_may_have_a_channel() -> None:
    assert torch.equal(varied(map=masks_of()[:, None]).masks, masks_of())


# What the model sees.


def test_a_model_that_looks_outside_keeps_every_class_and_its_confidence() -> None:
    found = varied(model=Reader(~mask()))
    assert found.keeps.all() and found.keeps_confidence.all()
    assert found.kept.tolist() == found.kept_confidence.tolist() == [5] * N
    assert torch.equal(found.confidence_change, torch.zeros(5, N))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("single", [False, True])
def test_the_counts_of_a_model_that_looks_inside(seed: int, single: bool) -> None:
    starts = 3 * torch.randn(8, LATENT, generator=seeded(seed))
    inputs = images_of(seed=seed)
    found = varied(
        model=Reader(mask(), single), inputs=inputs, starts=starts, latent=None, steps=3, tolerance=0.3
    )
    mixed = False
    for image in range(N):
        score = 20 * (float(inputs[image, 0, mask()].mean()) - 0.5)
        side = int(score > 0)
        before = 1 / (1 + np.exp(-score if side else score))
        kept = close_by = 0
        for start in range(8):
            score = 20 * (float(found.generated[start, image, 0, mask()].mean()) - 0.5)
            after = 1 / (1 + np.exp(-score if side else score))
            kept += (score > 0) == side
            close_by += (score > 0) == side and abs(after - before) <= 0.3
            assert found.confidence[start, image].item() == pytest.approx(after, abs=1e-4)
            assert found.predicted[start, image] == int(score > 0)
        assert found.targets[image] == found.predicted_before[image] == side
        assert found.confidence_before[image].item() == pytest.approx(before, abs=1e-4)
        assert (found.kept[image], found.kept_confidence[image]) == (kept, close_by)
        mixed |= 0 < kept < 8
    assert mixed


def test_given_targets_are_what_is_to_be_kept() -> None:
    own = varied()
    other = varied(targets=1 - own.targets)
    assert torch.equal(other.keeps, ~own.keeps)
    close(other.confidence, 1 - own.confidence, atol=1e-5, rtol=1e-5)
    assert torch.equal(varied(model=Reader(mask(), True), targets=[0] * N).targets, own.targets)


def test_forward_reads_other_models() -> None:
    found = varied(
        model=lambda images: [Reader(mask())(images)], forward=lambda model, images: model(images)[0]
    )
    assert torch.equal(found.confidence, varied().confidence)


def test_the_table() -> None:
    found = varied()
    values = {
        "targets": torch.tensor([1, 0]),
        "predicted_before": torch.tensor([1, 2]),
        "confidence_before": torch.tensor([0.9, 0.2]),
        "predicted": torch.tensor([[1, 3], [4, 3], [1, 5], [1, 0]]),
        "confidence": torch.tensor([[0.85, 0.1], [0.1, 0.2], [0.5, 0.0], [0.95, 0.7]]),
        "tolerance": 0.1,
    }
    lines = str(Variations(**{**vars(found), **values})).splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[:3]]
    assert cells == [
        [
            "image",
            "class",
            "before",
            "mean after",
            "lowest … highest",
            "class kept",
            "confidence kept",
            "lost to",
        ],
        ["0", "1", "0.90", "0.60", "0.10 … 0.95", "3 of 4", "2 of 4", "4 ×1"],
        ["1", "0 (read as 2)", "0.20", "0.25", "0.00 … 0.70", "1 of 4", "0 of 4", "3 ×2, 5 ×1"],
    ]
    assert (
        lines[3]
        == "4 of 8 variants keep the class, 2 of them with a confidence within 0.1 of the image's own."
    )


class Ended(nn.Module):
    """The reader, and what comes behind its logits."""

    def __init__(self, reader: Reader, end: nn.Module) -> None:
        super().__init__()
        self.reader, self.end = reader, end

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.reader(images))


@pytest.mark.parametrize("single, end", [(True, nn.Sigmoid()), (False, nn.Softmax(1))])
@pytest.mark.parametrize("n", [1, 3])
def test_a_model_that_returns_probabilities_is_taken_at_its_word(
    single: bool, end: nn.Module, n: int
) -> None:
    reader, given = Reader(mask(), single=single), {"inputs": images_of(n), "map": masks_of(n)}
    logits, found = varied(model=reader, **given), varied(model=Ended(reader, end), **given)
    assert torch.equal(logits.predicted, found.predicted) and torch.equal(logits.targets, found.targets)
    close(logits.confidence_before, found.confidence_before, atol=1e-6, rtol=1e-4)
    close(logits.confidence, found.confidence, atol=1e-6, rtol=1e-4)
