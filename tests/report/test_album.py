"""Pictures: their colors, their scales, how small they are."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from pytest_saliency_sanity.report.album import IMAGES, MOST, Album, within
from pytest_saliency_sanity.report.pictures import Picture, by_row, places

RANDOM = np.random.default_rng(0)


def pixels(picture: Picture) -> np.ndarray:
    """(H, W, 3) as a viewer sees it."""
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"))


def one_map(values: np.ndarray, place: str = "original") -> Picture:
    album = Album()
    album.add_map(0, 0, place, values)
    (picture,) = album.pictures()
    return picture


def near(found: np.ndarray, colormap: str, share: float) -> bool:
    wanted = np.array(colormaps[colormap](share)[:3]) * 255
    return bool(np.abs(found.astype(float) - wanted).max() < 8)


def test_a_signed_map_has_the_colors_of_its_values() -> None:
    values = np.zeros((12, 12), dtype="float32")
    values[:3], values[9:], values[5, 5] = -2, 2, 1
    picture = one_map(values)
    found = pixels(picture)
    assert (picture.low, picture.high, picture.signed) == (-2, 2, True)
    for place, share in (((0, 0), 0.0), ((11, 11), 1.0), ((5, 5), 0.75), ((6, 6), 0.5)):
        assert near(found[place], "RdBu_r", share), (place, found[place])


def test_a_map_of_one_sign_begins_at_zero() -> None:
    picture = one_map(np.repeat(np.linspace(0, 4, 30, dtype="float32"), 30).reshape(30, 30))
    found = pixels(picture)
    assert (picture.low, picture.high, picture.signed) == (0, 4, False)
    assert near(found[0, 0], "YlOrRd", 0.0) and near(found[29, 0], "YlOrRd", 1.0)
    assert near(found[15, 7], "YlOrRd", 15 / 29)


def test_a_row_has_one_scale_and_a_map_that_is_far_weaker_its_own() -> None:
    album, values = Album(), RANDOM.standard_normal((10, 10)).astype("float32")
    for place, factor in (("original", 1.0), ("upper", 0.5), ("half", 2.0), ("all", 0.001)):
        album.add_map(3, 0, place, factor * values)
    row = by_row(album.pictures())["image 3"]
    assert (
        row["original"].high
        == row["upper"].high
        == row["half"].high
        == pytest.approx(2 * row["half"].high / 2)
    )
    assert row["all"].high == pytest.approx(row["half"].high / 2000)
    assert row["all"].caption.startswith("own scale, to 0.00") and row["all"].own_scale
    assert not row["upper"].caption and row["all"].low == -row["all"].high


@pytest.mark.parametrize(
    "values",
    [
        np.full((6, 6), np.nan),
        np.full((6, 6), np.inf),
        np.zeros((6, 6)),
        np.full((6, 6), -3.0),
        np.full((1, 1), 1e-40),
        np.full((6, 6), 1e300),
        np.where(np.eye(6) > 0, np.nan, 1.0),
        np.arange(6) > 2,
        np.arange(5),
        np.array(2.0),
        RANDOM.standard_normal((3, 4, 5)),
        RANDOM.standard_normal((2, 3, 4, 5)),
        RANDOM.standard_normal((1, 4000)),
        RANDOM.standard_normal((4000, 1)),
        RANDOM.standard_normal(4000),
    ],
    ids=lambda values: f"{values.dtype}-{values.shape}",
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_maps_of_any_shape_and_value(values: np.ndarray) -> None:
    picture = one_map(values)
    assert np.isfinite([picture.low, picture.high]).all() and picture.low < picture.high
    assert max(picture.size) <= 64 and pixels(picture).shape[1::-1] == picture.size


def test_an_empty_map_has_no_picture() -> None:
    album = Album()
    for empty in (np.zeros(0), np.zeros((0, 4))):
        album.add_map(0, 0, "original", empty)
        album.add_input(0, 0, empty)
    assert album.pictures() == ()


def test_what_is_not_finite_is_gray() -> None:
    values = np.ones((4, 4), dtype="float32")
    values[1, 2], values[3, 3] = np.nan, np.inf
    found = pixels(one_map(values))
    assert found[1, 2].tolist() == found[3, 3].tolist() == [128, 128, 128] != found[0, 0].tolist()


@pytest.mark.parametrize(
    "shape, size",
    [((1, 28, 28), (28, 28)), ((3, 224, 112), (32, 64)), ((5, 9, 9), (9, 9)), ((7,), (7, 1)), ((2, 640), (64, 8)),
     ((300, 20), (20, 16)), ((3, 4, 8, 8), (8, 8))],
)  # fmt: skip
def test_inputs_of_any_shape(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    album = Album()
    album.add_input(0, 0, RANDOM.random(shape).astype("float32"))
    (picture,) = album.pictures()
    assert (picture.size, picture.kind, picture.place) == (size, "input", "input")


def test_a_photograph_keeps_its_colors() -> None:
    album, values = Album(), np.zeros((3, 10, 10), dtype="float32")
    values[0, :5], values[2, 5:] = 1, 1
    album.add_input(0, 0, values)
    found = pixels(album.pictures()[0])
    assert found[0, 0].tolist() == [255, 0, 0] and found[9, 9].tolist() == [0, 0, 255]


def test_a_region_is_outlined_and_the_rest_faded() -> None:
    album, mask = Album(), np.zeros((12, 12), dtype=bool)
    mask[3:9, 3:9] = True
    album.add_regions(0, "hidden", [mask])
    assert album.pictures() == ()  # there is no image to show it on
    album.add_input(0, 0, np.pad(np.ones((1, 6, 6), dtype="float32"), ((0, 0), (3, 3), (3, 3))))
    album.add_regions(0, "hidden", [mask], "what is hidden")
    shown = album.pictures()[1]
    found = pixels(shown)
    assert (shown.kind, shown.caption) == ("region", "what is hidden")
    assert found.shape == (60, 60, 3)  # enlarged: each pixel of the image is 5 × 5
    assert found[15, 15].tolist() == [230, 0, 126] and found[30, 30].min() > 250
    assert 100 < found[0, 0].max() < 200


@pytest.mark.parametrize("side", [8, 12, 28, 32, 64])
def test_an_outline_is_a_line_on_small_images_too(side: int) -> None:
    album, mask = Album(), np.zeros((side, side), dtype=bool)
    mask[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    album.add_input(0, 0, np.ones((1, side, side), dtype="float32"))
    album.add_regions(0, "hull", [mask])
    image, shown = album.pictures()
    line = (pixels(shown) == [230, 0, 126]).all(-1)
    assert line.any() and line.mean() < 0.06  # a filled square has 0.25
    assert max(shown.size) <= 64 and shown.shown_size == image.shown_size


def noisy(depths: int, images: int, side: int = 64) -> Album:
    album = Album()
    for image in range(images):
        album.add_input(image, 0, RANDOM.random((3, side, side)).astype("float32"))
        for place in ("original", *(f"top {depth + 1}" for depth in range(depths))):
            album.add_map(image, 0, place, RANDOM.standard_normal((side, side)).astype("float32"))
    return album


@pytest.mark.parametrize("depths, images", [(4, 4), (20, 4), (60, 1)])
def test_all_pictures_fit_in_64_kib(depths: int, images: int) -> None:
    kept = noisy(depths, images).pictures()
    assert 0 < sum(len(one.png) for one in kept) <= MOST == 64 * 1024
    assert {"input", "original"} <= {one.place for one in kept}


def test_images_go_first_then_depths() -> None:
    few = noisy(4, 4).pictures()
    assert 1 < len({one.image for one in few}) < 4 and len(places(few)) == 6
    deep = noisy(60, 2).pictures()
    left = [int(one.place.split()[1]) for one in deep[2:]]
    assert {one.image for one in deep} == {0} and left == sorted(left) and (left[0], left[-1]) == (1, 60)


def test_what_fits_stays_whole() -> None:
    pictures = noisy(20, 4, side=8).pictures()
    assert len(pictures) == 4 * 22 and within(pictures, 10) == ()


def test_no_more_than_four_images() -> None:
    assert {one.image for one in noisy(1, 9, side=6).pictures()} == set(range(IMAGES))


def test_as_text_and_back() -> None:
    (picture,) = (one_map(np.eye(5)),)
    picture = replace(picture, caption="<b>", part=1)
    stated = picture.to_json()
    assert Picture.from_json(stated) == picture and isinstance(stated["png"], str)
    assert picture.row == "image 0, input 2" and picture.uri.startswith("data:image/png;base64,iVBOR")
    assert picture.alternative == "image 0, input 2: map, original (<b>), colors from 0 to 1"
    assert "png" not in repr(picture)
