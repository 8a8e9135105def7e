"""The tables and pictures of GAD's paper, in small: what is printed and painted agrees with what was measured."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_saliency_sanity import settings
from tests.figures.distancing import (
    GAD,
    HEADER,
    ORIGINAL,
    SCALE,
    Experiment,
    directions,
    experiment,
    least_activated,
    misclassified,
    report,
    searched,
    sheet,
)
from tests.networks.pairs import DATA, PAIRS, digits, pair_accuracy, pair_network

FEW = 8
METHODS = ("Saliency", "Gradient×Input", "Deconvolution")


@pytest.fixture(scope="module")
def small() -> Iterator[Experiment]:
    with settings.using(settings.Settings(progress=None)):
        yield experiment(
            DATA["faces"](), "ResNet-like", 0, METHODS, FEW, alphas=(2,), epochs=10, min_agreement=0
        )


@pytest.mark.parametrize("name, size", [("digits", 240), ("faces", 100)])
def test_both_classes_are_as_many(name: str, size: int) -> None:
    data = DATA[name]()
    assert data.labels.bincount().tolist() == [size, size] == [int((data.labels == k).sum()) for k in (0, 1)]
    assert abs(float(data.images.mean())) < 1e-3 and 0 < data.trained_on.float().mean() < 1


def test_a_file_of_digits_gives_the_papers_256(tmp_path: Path) -> None:
    labels = torch.arange(10).repeat(300)
    images = labels.view(-1, 1, 1).expand(-1, 28, 28).byte().numpy() + np.eye(28, dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=labels.numpy())
    data = digits(tmp_path / "many.npz")
    assert data.name == "digits of many"
    assert data.labels.bincount().tolist() == [256, 256]
    assert data.part(data.trained_on).labels.bincount().tolist() == [200, 200]
    assert float(data.images[data.labels == 1].mean()) > float(data.images[data.labels == 0].mean())


@pytest.mark.extended
def test_the_largest_distance_is_searched_for(small: Experiment) -> None:
    with settings.using(settings.Settings(progress=None)):
        assert re.match(r"  largest α in 60 epochs: \d+(\.\d+)?( \(the cap\))?; α = 1 0\.9", searched(small))


@pytest.mark.parametrize("kind", PAIRS)
def test_a_network_tells_faces_from_others(kind: str) -> None:
    data = DATA["faces"]()
    assert pair_accuracy(pair_network(kind, data), data)[1] > 0.8


def test_the_tables_count_every_image_once(small: Experiment) -> None:
    lines = report(small).splitlines()
    assert lines[0].startswith("faces, ResNet-like, seed 0: 8 × face and 8 × other; accuracy ")
    assert re.fullmatch(r"  agreement of the support networks: α = 2 0\.\d{3}( \(left out\))?", lines[1])
    rows = [line for line in lines if line.strip().startswith(METHODS)]
    assert len(rows) == 2 * len(METHODS)
    for number, row in enumerate(rows):
        for block in row.split("|")[1:]:
            counts = block.split()[: 4 if number < len(METHODS) else 3]
            assert sum(map(int, counts)) == FEW


def test_the_directions_are_those_of_the_tables(small: Experiment) -> None:
    lines = list(directions(small))
    assert len(lines) == len(METHODS)
    for line, (name, found) in zip(lines, small.results.items(), strict=True):
        smaller = sum(row.areas["smaller"] for row in found.rows) / (2 * FEW)
        assert name in line and f"RC < 1 on {smaller:4.0%} " in line
        more = sum(row.sensitivities["more"] for row in found.rows)
        most = more / (more + sum(row.sensitivities["not more"] for row in found.rows)) > 0.5
        assert line.endswith(f"({'agrees' if most else 'does not agree'}: most)")


def test_the_least_activated_and_the_misread_images(small: Experiment) -> None:
    logits = [float(row[label]) for row, label in zip(small.scores, small.data.labels, strict=True)]
    assert least_activated(small, 3) == sorted(range(2 * FEW), key=logits.__getitem__)[:3]
    wrong = [n for n, row in enumerate(small.scores) if int(row.argmax()) != int(small.data.labels[n])]
    assert misclassified(small, 99) == wrong


def test_the_picture_has_both_hulls_where_they_are(small: Experiment) -> None:
    page = np.asarray(sheet(small))
    number, side = least_activated(small)[0], 25 * SCALE
    top, left = HEADER + 14, 8 + side + 8
    cell = page[top : top + side, left : left + side]
    for color, mask in (
        (GAD, small.results["Saliency"].gad[number]),
        (ORIGINAL, small.results["Saliency"].original[number]),
    ):
        painted = (cell == color).all(2)
        assert painted.any()
        assert not (painted & ~np.kron(mask.numpy(), np.ones((SCALE, SCALE), dtype=bool))).any()
    plain = page[top : top + side, 8 : 8 + side]
    assert (plain[..., 0] == plain[..., 1]).all()
    bright = torch.from_numpy(plain[::SCALE, ::SCALE, 0].astype(float))
    assert (
        torch.corrcoef(torch.stack([bright.flatten(), small.data.images[number].flatten().double()]))[0, 1]
        > 0.99
    )


@pytest.mark.extended
def test_the_whole_script(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.figures.distancing", "--pictures", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    agreeing = re.findall(r"RC < 1 on .*\(agrees: nearly all\)", done.stdout)
    assert len(agreeing) >= 12 and done.stdout.count("(agrees: most)") >= 16  # of 16 and 20
    assert len(list(tmp_path.glob("*.png"))) == 4
