"""Maps of an earlier release, kept in a small file: safetensors, float16, at most 64 pixels a side."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_saliency_sanity import files
from pytest_saliency_sanity.builtin import as_builtin
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.text import shown

SUFFIX = ".safetensors"
_FORMAT = "pytest-saliency-sanity reference 1"
_SIDE = {1: 4096, 2: 64, 3: 16}  # values along an axis that are kept, by the number of axes
_POOLED: Mapping[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}
_QUESTION = {
    "seed": "another seed",
    "architecture": "another architecture",
    "weights": "other weights",
    "images": "other images",
    "targets": "other targets",
    "map shapes": "maps of another shape",
}
_NAME = re.compile(r"[^A-Za-z0-9_.=-]+")


class Unreadable(ValueError):
    """A file is not a reference of ours. The message names it and says what is wrong."""


@dataclass(frozen=True)
class Reference:
    """Maps as they were.

    Attributes:
        maps: for each input of the model (n, *S), reduced, float16, the largest absolute value of an image is 1.
        about: what they are maps of: `seed`, fingerprints, versions.
    """

    maps: Maps = field(repr=False)
    about: Mapping[str, Any]

    def differences(self, about: Mapping[str, Any]) -> list[str]:
        """What of the model, the images and the seed is another now."""
        return [words for name, words in _QUESTION.items() if self.about.get(name) != about[name]]


def reduced(part: Tensor) -> Tensor:
    """Maps (n, *S) with at most 64 values along each of two axes (4096 of one, 16 of three), scaled, as float16."""
    maps = part.detach().float()
    if maps.ndim - 1 not in _SIDE:
        maps = maps.flatten(1)
    axes = maps.ndim - 1
    size = [min(length, _SIDE[axes]) for length in maps.shape[1:]]
    pooled = maps if size == list(maps.shape[1:]) else _POOLED[axes](maps[:, None], size)[:, 0]
    largest = pooled.flatten(1).abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny)
    return (pooled / largest.view(-1, *[1] * axes)).half().cpu()


def path_of(reference: Any, explainer: str) -> Path:
    """The file of an explainer: `reference` itself, or in it where it is a folder.

    Raises:
        TypeError: for what is no path.
    """
    if not isinstance(reference, (str, os.PathLike)) or not str(reference):
        raise TypeError(
            f"reference must be a file ({SUFFIX}) or a folder, not {shown(reference)}: where maps of the last "
            f"release are kept; or another explainer"
        )
    path = Path(reference)
    if path.suffix == SUFFIX:
        return path
    safe = _NAME.sub("_", explainer)[:80]
    digest = (
        ""
        if safe == explainer
        else f"-{hashlib.sha256(explainer.encode('utf-8', 'replace')).hexdigest()[:8]}"
    )
    return path / f"{safe}{digest}{SUFFIX}"


def read(path: Path) -> Reference:
    """The reference that a file holds.

    Raises:
        FileNotFoundError: where there is none.
        Unreadable: where it holds something else.
    """
    try:
        content = path.read_bytes()
        maps = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_FORMAT])
        ordered = tuple(maps[str(number)] for number in range(len(maps)))
    except FileNotFoundError:
        raise
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise Unreadable(f"{path} is no reference of pytest-saliency-sanity: {shown(error)}") from None
    return Reference(ordered, about)


def write(path: Path, reference: Reference) -> None:
    """Write a reference, whole or not at all.

    Raises:
        OSError: where it cannot be written.
    """
    tensors = {str(number): part.contiguous() for number, part in enumerate(reference.maps)}
    content = safetensors.torch.save(
        tensors, {_FORMAT: json.dumps(as_builtin(reference.about), sort_keys=True)}
    )
    files.write(path, content)
