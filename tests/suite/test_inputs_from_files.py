"""Inputs from a folder of images or a file of arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_saliency_sanity.suite.inputs_from_files import read_inputs
from pytest_saliency_sanity.suite.models_by_name import NamedModel, model_named


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


IMAGES = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0])
FILES = {
    "inputs.npz": lambda path: np.savez(path, inputs=IMAGES.numpy(), labels=LABELS.numpy()),
    "inputs.pt": lambda path: torch.save({"x": IMAGES, "y": LABELS}, path),
    "inputs.safetensors": lambda path: save_file({"inputs": IMAGES, "labels": LABELS}, path),
    "alone.pt": lambda path: torch.save(IMAGES, path),
}


@pytest.mark.parametrize("file", FILES)
def test_inputs_are_those_of_the_file(file: str, tmp_path: Path) -> None:
    FILES[file](tmp_path / file)
    read = read_inputs(tmp_path / file, NamedModel(_network()))
    assert torch.equal(read.inputs, IMAGES)
    assert read.labels is None if file == "alone.pt" else torch.equal(read.labels, LABELS)


def _pictures(folder: Path, names: list[str]) -> None:
    from skimage import io

    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for copy in range(2):
            value = np.full((6, 8, 3), 40 * number + 10 * copy, dtype=np.uint8)
            io.imsave(folder / name / f"{copy}.png", value, check_contrast=False)


FOLDERS = {
    "numbers": (["2", "0"], (), [0, 0, 2, 2]),
    "classes": (["tench", "cat"], ("cat", "dog", "tench"), [0, 0, 2, 2]),
    "as many as classes": (["b", "c", "a"], (), [0, 0, 1, 1, 2, 2]),
    "others": (["left", "right"], (), None),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_images_has_labels_by_its_subfolders(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    names, categories, labels = FOLDERS[kind]
    _pictures(tmp_path, names)
    transform = '{"resize": [2, 2], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}'
    read = read_inputs(tmp_path, NamedModel(_network(), categories=categories), transform)
    assert read.inputs.shape == (2 * len(names), 3, 2, 2)
    order = sorted(range(len(names)), key=lambda number: names[number])
    values = [(40 * number + 10 * copy) / 127.5 - 1 for number in order for copy in range(2)]
    assert torch.allclose(
        read.inputs, torch.tensor(values)[:, None, None, None].expand_as(read.inputs), atol=1e-3
    )
    assert labels == (None if read.labels is None else read.labels.tolist())
    assert bool(read.note) == (labels is None)


def test_images_are_transformed_as_the_models_library_says(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision").models
    _pictures(tmp_path, ["0", "1"])
    named = model_named("torchvision:squeezenet1_1")
    read = read_inputs(tmp_path, named)
    image = torch.zeros(3, 6, 8, dtype=torch.uint8)
    expected = models.SqueezeNet1_1_Weights.DEFAULT.transforms()(image)
    assert torch.equal(read.inputs[0], expected)


BAD_INPUTS = {
    "nothing": ("missing", None, "there is no file or folder"),
    "an empty folder": (".", None, "there is no image in"),
    "no array": ("a.npz", None, "has no array 'inputs'; it has first, second"),
    "another file": ("a.txt", None, "must be a folder of images or a file .npz, .pt, .pth or .safetensors"),
    "a folder that nobody transforms": ("pictures", None, "pass --saliency-transform with JSON such as"),
    "a transform that is none": (
        "pictures",
        '{"scale": 3}',
        "must be a JSON object of resize, crop, mean and std",
    ),
}


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_inputs_that_cannot_be_read_are_refused(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    name, transform, words = BAD_INPUTS[kind]
    if name == "pictures":
        _pictures(tmp_path / name, ["0"])
    elif name != ".":
        np.savez(tmp_path / "a.npz", first=np.zeros(3), second=np.zeros(3))
        (tmp_path / "a.txt").write_text("text")
    known = None if name == "pictures" else (lambda image: image)
    with pytest.raises(ValueError) as raised:
        read_inputs(tmp_path / name, NamedModel(_network(), known), transform)
    assert words in str(raised.value)
