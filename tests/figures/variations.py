"""`python -m tests.figures.variations [--pictures DIR]`: what else could stand where a map of a digit points.

Trains a small variational autoencoder on the digits, explains one held-out digit of each class to a LeNet, fills the
regions anew with the decoder, and prints which variants keep the class; beside them, as many of the same regions
placed elsewhere in the image: much of it is background, so that fewer variants lose the class there shows that ink
matters, not that the map is right. The picture has a row for each digit: the image, its map, the region, the variants.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont  # scikit-image, which the package needs, brings it
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity import Variations, acceptable_variations
from pytest_saliency_sanity.explainers import integrated_gradients, occlusion
from pytest_saliency_sanity.outputs import predicted_targets
from pytest_saliency_sanity.statistics.hulls import placements
from tests.digits import held_out_digits, train_digits
from tests.networks import train

EXPLAINERS: dict[str, Callable[..., Any]] = {
    "occlusion": occlusion,
    "integrated_gradients": integrated_gradients,
}
LATENT, WIDTH = 16, 32
EPOCHS, BATCH, LEARNING_RATE = 40, 64, 2e-3
DIVERGENCE = 0.7  # weight of the divergence from the standard normal: sharper digits than 1, samples as good
SHARE = 0.1  # a digit's stroke is thicker than .05 of the pixels

SCALE, GAP, CAPTION, HEADER = 3, 8, 16, 26
KEPT, UNSURE, LOST, PLAIN = (0, 140, 60), (225, 150, 0), (205, 20, 40), (170, 170, 170)


# The generator.


def autoencoder() -> tuple[nn.Module, nn.Module]:
    """Untrained: digits (N, 1, 28, 28) -> means and log variances (N, 2 · LATENT), and latents -> digits in [0, 1]."""
    encoder = nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(2 * WIDTH * 49, 2 * LATENT),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(LATENT, 2 * WIDTH * 49), nn.ReLU(), nn.Unflatten(1, (2 * WIDTH, 7, 7)),
        nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(WIDTH, 1, 4, stride=2, padding=1), nn.Sigmoid(),
    )  # fmt: skip
    return encoder, decoder


def trained_decoder(epochs: int = EPOCHS, seed: int = 0) -> nn.Module:
    """The decoder of a variational autoencoder (Kingma and Welling 2014) of the training digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, decoder = autoencoder()
        parameters = [*encoder.parameters(), *decoder.parameters()]
        optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
        fading = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, epochs)
        for _ in range(epochs):
            for images in train_digits().images[torch.randperm(2000)].split(BATCH):
                optimizer.zero_grad()
                evidence_bound(encoder, decoder, images).backward()
                optimizer.step()
            fading.step()
    return decoder.eval().requires_grad_(False)


def evidence_bound(encoder: nn.Module, decoder: nn.Module, images: Tensor) -> Tensor:
    """The mean of an image's reconstruction error and its weighted divergence from the standard normal."""
    mean, log_variance = encoder(images).chunk(2, 1)
    latents = mean + torch.randn_like(mean) * (log_variance / 2).exp()
    error = F.binary_cross_entropy(decoder(latents), images, reduction="sum")
    divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum() / 2
    return (error + DIVERGENCE * divergence) / len(images)


# The variations.


@dataclass(frozen=True, eq=False)
class Study:
    """Digits (N, 1, 28, 28), their maps (N, 1, 28, 28), their variations, and those of the same regions elsewhere."""

    images: Tensor
    maps: Tensor
    found: Variations
    elsewhere: Variations


def study(
    decoder: nn.Module, explainer: str = "occlusion", seed: int = 0, digits: int = 10, **options: Any
) -> Study:
    """The variations of the first held-out digits that a LeNet reads right, one of each class."""
    model = train("lenet", 0)
    images = one_of_each(model)[:digits]
    maps = EXPLAINERS[explainer](model, images, predicted_targets(model, images)).detach()
    given = {"latent": LATENT, "seed": seed, "value_range": (0, 1), **options}
    found = acceptable_variations(model, decoder, images, maps, share=SHARE, **given)
    moved = torch.cat([placements(mask, 1, seed) for mask in found.masks])
    return Study(images, maps, found, acceptable_variations(model, decoder, images, moved, **given))


def one_of_each(model: nn.Module) -> Tensor:
    """(10, 1, 28, 28) the first held-out digit of each class that `model` reads right."""
    images, labels = held_out_digits()
    right = predicted_targets(model, images) == labels
    return torch.stack([images[(labels == digit) & right][0] for digit in range(10)])


def report(study: Study) -> str:
    """The table, what became of the same regions elsewhere, and how realistic the latents are."""
    found = study.found
    return (
        f"{found}\nPlaced elsewhere in the same image: {study.elsewhere.summary().splitlines()[-1]}\n"
        f"The regions hold {found.masks.float().mean():.0%} of the pixels; the ring is fitted to "
        f"{fit(found):.2f} a pixel (root of the weighted mean square); half the mean square of the latents is "
        f"{found.realism.mean():.2f}, where .50 is usual for the prior."
    )


def fit(found: Variations) -> float:
    """The root mean square of X − G(z′) over the ring, weighted, and over all variants."""
    return float((found.contextual / found.ring.sum((1, 2))).mean().sqrt())


# The picture.


def sheet(study: Study) -> Image.Image:
    """A row for each digit: image, map, region, and its variants, the most confident first."""
    starts, n = study.found.confidence.shape
    side = 28 * SCALE
    width, height = (3 + starts) * (side + GAP) + 3 * GAP, HEADER + n * (side + CAPTION + GAP) + HEADER
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for column, words in enumerate(
        (
            "image",
            "map",
            "region",
            "variants, by the probability of the class: read as, probability of the class",
        )
    ):
        draw.text((_left(column), 6), words, fill="black", font=_font(13))
    for row in range(n):
        top = HEADER + row * (side + CAPTION + GAP)
        for column, (pixels, words, color) in enumerate(_tiles(study, row)):
            _paste(canvas, draw, pixels, (_left(column), top), words, color)
    _legend(draw, height - HEADER + 4)
    return canvas


def _left(column: int) -> int:
    """Where a column begins; the variants stand apart from the first three."""
    return GAP + column * (28 * SCALE + GAP) + (GAP if column > 2 else 0)


def _tiles(study: Study, row: int) -> list[tuple[Tensor, str, tuple[int, int, int]]]:
    """Colors (28, 28, 3), a caption and a frame's color for each picture of a row."""
    found, image = study.found, study.images[row, 0]
    before = f"{int(found.targets[row])}  {found.confidence_before[row]:.2f}"
    tiles = [
        (_gray(image), before, PLAIN),
        (_diverging(study.maps[row].sum(0)), "", PLAIN),
        (_tinted(image, found.masks[row]), f"{found.masks[row].float().mean():.0%}", PLAIN),
    ]
    for start in found.confidence[:, row].argsort(descending=True).tolist():
        words = f"{int(found.predicted[start, row])}  {found.confidence[start, row]:.2f}"
        tiles.append((_gray(found.images[start, row, 0]), words, _color(found, start, row)))
    return tiles


def _color(found: Variations, start: int, row: int) -> tuple[int, int, int]:
    if not found.keeps[start, row]:
        return LOST
    return KEPT if found.keeps_confidence[start, row] else UNSURE


def _gray(image: Tensor) -> Tensor:
    return image.clamp(0, 1)[..., None].expand(-1, -1, 3)


def _diverging(values: Tensor) -> Tensor:
    """White at 0, red above it, blue below."""
    scaled = values / values.abs().max().clamp_min(1e-12)
    red, blue = 1 - (-scaled).clamp_min(0), 1 - scaled.clamp_min(0)
    return torch.stack((red, 1 - scaled.abs(), blue), -1)


def _tinted(image: Tensor, mask: Tensor) -> Tensor:
    """The image, with the region over it in yellow."""
    tint = torch.tensor([1.0, 0.85, 0.1]) * (0.55 + 0.45 * image[..., None])
    return torch.where(mask[..., None], tint, _gray(image))


def _paste(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    pixels: Tensor,
    corner: tuple[int, int],
    words: str,
    color: tuple[int, int, int],
) -> None:
    (left, top), side = corner, 28 * SCALE
    picture = Image.fromarray((255 * pixels).round().byte().numpy())
    canvas.paste(picture.resize((side, side), Image.Resampling.NEAREST), corner)
    draw.rectangle((left - 3, top - 3, left + side + 2, top + side + 2), outline=color, width=3)
    draw.text((left, top + side + 2), words, fill=color if color != PLAIN else "black", font=_font(13))


def _legend(draw: ImageDraw.ImageDraw, top: int) -> None:
    left = GAP
    for words, color in (
        ("class and confidence kept", KEPT),
        ("class kept, confidence not", UNSURE),
        ("class lost", LOST),
    ):
        draw.rectangle((left, top + 2, left + 12, top + 14), outline=color, width=3)
        draw.text((left + 18, top), words, fill=color, font=_font(13))
        left += 40 + int(draw.textlength(words, font=_font(13)))


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.figures.variations", description=__doc__)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="save the picture there")
    parser.add_argument("--explainer", choices=EXPLAINERS, default="occlusion")
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    made = study(trained_decoder(seed=given.seed), given.explainer, given.seed, starts=given.starts)
    print(report(made))
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
        path = given.pictures / f"variations_{given.explainer}.png"
        sheet(made).save(path)
        print(f"picture: {path}")


if __name__ == "__main__":
    main()
