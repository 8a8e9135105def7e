"""The figure of variations, in small: what is printed and painted agrees with what was found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.digits import train_digits
from tests.figures.variations import (
    EPOCHS,
    GAP,
    HEADER,
    KEPT,
    LOST,
    SCALE,
    UNSURE,
    Study,
    _left,
    fit,
    report,
    sheet,
    study,
    trained_decoder,
)


@pytest.fixture(scope="module")
def small() -> Study:
    return study(trained_decoder(epochs=2), starts=4, steps=40, digits=3)


def test_a_trained_decoder_makes_digits_rather_than_their_mean(small: Study) -> None:
    mean = train_digits().images.mean(0)
    generated = small.found.generated.flatten(0, 1)
    assert generated.std(0).mean() > 0.05 and (generated - mean).abs().mean() > 0.05


def test_the_same_regions_elsewhere(small: Study) -> None:
    here, there = small.found.masks, small.elsewhere.masks
    assert torch.equal(here.sum((1, 2)), there.sum((1, 2)))
    assert (here != there).flatten(1).any(1).all()


def test_the_report_has_a_line_for_each_digit_and_both_counts(small: Study) -> None:
    lines = report(small).splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["0", "0"], ["1", "1"], ["2", "2"]]
    assert lines[4].startswith(f"{int(small.found.kept.sum())} of 12 variants keep the class")
    assert lines[5].startswith(f"Placed elsewhere in the same image: {int(small.elsewhere.kept.sum())} of 12")
    assert f"fitted to {fit(small.found):.2f} a pixel" in lines[6]


def test_frames_tell_what_was_kept(small: Study) -> None:
    picture, found = np.asarray(sheet(small)), small.found
    for row in range(3):
        top = HEADER + row * (28 * SCALE + 16 + GAP)
        frames = [tuple(picture[top - 2, _left(3 + column) + 5].tolist()) for column in range(4)]
        order = found.confidence[:, row].argsort(descending=True)
        kept, confident = found.keeps[order, row].tolist(), found.keeps_confidence[order, row].tolist()
        expected = [LOST if not k else KEPT if c else UNSURE for k, c in zip(kept, confident, strict=True)]
        assert frames == expected


def test_the_pictures_are_the_variants(small: Study) -> None:
    picture, found = np.asarray(sheet(small)), small.found
    best = found.images[found.confidence[:, 1].argmax(), 1, 0]
    top = HEADER + 28 * SCALE + 16 + GAP
    tile = picture[top : top + 28 * SCALE : SCALE, _left(3) : _left(3) + 28 * SCALE : SCALE]
    assert np.array_equal(tile[..., 0], (255 * best).round().byte().numpy())


@pytest.mark.extended
def test_the_whole_script(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.figures.variations", "--pictures", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "variations_occlusion.png").exists()
    here, there = (
        int(line.removeprefix("Placed elsewhere in the same image: ").split(" of 80")[0])
        for line in done.stdout.splitlines()
        if " of 80 variants keep the class" in line
    )
    assert here < there


@pytest.mark.extended
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("explainer", ["occlusion", "integrated_gradients"])
def test_fewer_variants_keep_the_class_where_a_map_points(seed: int, explainer: str) -> None:
    made = study(trained_decoder(EPOCHS, seed), explainer, seed)
    assert made.found.kept.sum() < made.elsewhere.kept.sum()
