"""Inputs from a folder of images or a file of arrays, with labels where there are any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage import color, io, util
from torch import Tensor

from pytest_saliency_sanity.suite.models_by_name import NamedModel, Transform, read_tensors, resized
from pytest_saliency_sanity.text import shown

IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp")
MOST = 64  # images that are read of a folder: no check looks at more
_NAMES = {"inputs": ("inputs", "x", "images"), "labels": ("labels", "y"), "targets": ("targets",)}


@dataclass(frozen=True)
class Read:
    """What was read.

    Attributes:
        inputs: (N, C, *S), or a tuple of such.
        labels: (N,) int64, or None.
        targets: as stated, or None.
        note: what has to be known of them, or "".
    """

    inputs: Any
    labels: Any = None
    targets: Any = None
    note: str = ""


def read_inputs(path: str | Path, named: NamedModel, transform: str | None = None) -> Read:
    """The inputs of a folder of images, or of a file .npz, .pt, .pth or .safetensors.

    A folder's images are transformed as `transform` says, else as the model's library does;
    names of subfolders are labels. A file holds `inputs`, and may hold `labels` and `targets`.

    Args:
        transform: JSON of resize, crop, mean and std.

    Raises:
        ValueError: for what cannot be read, in one sentence.
    """
    place = Path(path)
    if place.is_dir():
        return _of_folder(place, named, _chosen(transform, named))
    if not place.is_file():
        raise ValueError(f"there is no file or folder {str(path)!r}")
    if place.suffix == ".npz":
        with np.load(place, allow_pickle=False) as arrays:
            return _of_arrays({name: torch.from_numpy(arrays[name]) for name in arrays.files}, place)
    if place.suffix in (".pt", ".pth", ".safetensors"):
        found = read_tensors(place)
        return Read(found) if isinstance(found, (Tensor, tuple, list)) else _of_arrays(found, place)
    raise ValueError(f"{path} must be a folder of images or a file .npz, .pt, .pth or .safetensors")


def _of_arrays(arrays: Any, place: Path) -> Read:
    if not isinstance(arrays, Mapping):
        raise ValueError(f"{place} must hold a tensor or named tensors, not {shown(arrays)}")
    found = {
        field: next((arrays[name] for name in names if name in arrays), None)
        for field, names in _NAMES.items()
    }
    if found["inputs"] is None and len(arrays) == 1:
        found["inputs"] = next(iter(arrays.values()))
    if found["inputs"] is None:
        raise ValueError(f"{place} has no array 'inputs'; it has {', '.join(map(str, arrays))}")
    return Read(found["inputs"], found["labels"], found["targets"])


def _chosen(transform: str | None, named: NamedModel) -> Transform:
    if transform is None:
        if named.transform is None:
            raise ValueError(
                "nobody says how images become inputs of this model; pass --saliency-transform with JSON such as "
                '{"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}'
            )
        return named.transform
    try:
        options = json.loads(transform)
        return resized(
            **{name: tuple(one) if isinstance(one, list) else one for name, one in options.items()}
        )
    except (json.JSONDecodeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"--saliency-transform must be a JSON object of resize, crop, mean and std, not {shown(transform)}: {error}"
        ) from None


def _of_folder(folder: Path, named: NamedModel, transform: Transform) -> Read:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
    if not files:
        raise ValueError(f"there is no image in {str(folder)!r} ({', '.join(IMAGES)})")
    files = files[:: max(len(files) // MOST, 1)][:MOST]  # from all of its subfolders
    images = torch.stack([transform(_image(path)) for path in files])
    names = [path.relative_to(folder).parts[0] if path.parent != folder else "" for path in files]
    if not all(names):
        return Read(images)
    return _labeled(images, names, sorted(path.name for path in folder.iterdir() if path.is_dir()), named)


def _image(path: Path) -> Tensor:
    """(3, H, W) of uint8. torchvision's own reading is deprecated since 0.29."""
    try:
        found = io.imread(path)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from None
    found = found[0] if found.ndim == 4 else found  # the first picture of a moving one
    rgb = color.rgba2rgb(found) if found.ndim == 3 and found.shape[-1] == 4 else found
    rgb = color.gray2rgb(rgb) if rgb.ndim == 2 else rgb
    return torch.from_numpy(util.img_as_ubyte(rgb).copy()).movedim(-1, 0)


def _labeled(images: Tensor, names: list[str], folders: list[str], named: NamedModel) -> Read:
    """Labels by the folders' names: numbers of classes, names of classes, or one folder for each class in order."""
    if all(name.isdigit() for name in folders):
        return Read(images, torch.tensor([int(name) for name in names]))
    if set(folders) <= set(named.categories):
        return Read(images, torch.tensor([named.categories.index(name) for name in names]))
    if len(folders) == _classes(named, images):
        return Read(images, torch.tensor([folders.index(name) for name in names]))
    return Read(
        images,
        note=f"the folders {', '.join(folders[:3])}{', …' if len(folders) > 3 else ''} are neither numbers nor names "
        f"of the model's classes, nor as many as it has: they are not used as labels",
    )


def _classes(named: NamedModel, images: Tensor) -> int:
    from pytest_saliency_sanity.outputs import read_logits

    with torch.no_grad():
        return read_logits(named.model, images[:2]).shape[1]
