"""What cannot be varied, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.variations.setting import (
    SHAPE,
    N,
    Reader,
    generator_of,
    images_of,
    mask,
    masks_of,
    varied,
)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"inputs": [1]}, TypeError, r"inputs must be one floating-point tensor \(N, C, H, W\), got list\."),
        ({"inputs": torch.ones(3, 1, 12, 12).long()}, TypeError, r"floating-point tensor .*, got torch.int64\."),
        ({"inputs": torch.ones(3, 12, 12)}, ValueError, r"inputs must be images .*, got \(3, 12, 12\)\."),
        ({"inputs": torch.ones(0, 1, 12, 12)}, ValueError, r"at least one, got \(0, 1, 12, 12\)\."),
        ({"generator": 3}, TypeError, r"generator must be a function latents -> images, got 3\."),
        ({"critic": "D"}, TypeError, r"critic must be a function images -> \(K,\), or None, got 'D'\."),
        ({"steps": -1}, ValueError, r"steps must be a whole number of at least 0, got -1\."),
        ({"steps": 2.5}, ValueError, r"steps must be a whole number of at least 0, got 2.5\."),
        ({"batch_size": 0}, ValueError, r"batch_size must be a whole number of at least 1, got 0\."),
        ({"learning_rate": 0}, ValueError, r"learning_rate must be a number above 0, got 0\."),
        ({"realism_weight": -0.1}, ValueError, r"realism_weight must be a number of 0 or more, got -0.1\."),
        ({"tolerance": float("nan")}, ValueError, r"tolerance must be a number of 0 or more, got nan\."),
        ({"box": 4}, ValueError, r"box must be an odd number of pixels, at least 3, got 4\."),
        ({"box": 1}, ValueError, r"box must be an odd number of pixels, at least 3, got 1\."),
        ({"map": "all"}, TypeError, r"map must be a tensor of floating-point maps or of boolean masks, got str\."),
        ({"map": masks_of().long()}, TypeError, r"or of boolean masks, got torch.int64\."),
        ({"map": torch.rand(3, 11, 12)}, ValueError,
         r"map must be \(3, 12, 12\) or \(3, 1, 12, 12\) for inputs \(3, 1, 12, 12\), got \(3, 11, 12\)\."),
        ({"map": torch.rand(3, 12, 12) / 0}, ValueError, r"The map of image 0 is not finite\."),
        ({"map": torch.rand(3, 12, 12), "share": 2}, ValueError, "share must be above 0 and at most 1, got 2"),
        ({"map": torch.rand(3, 12, 12), "share": 0.1, "fraction": 0.1}, ValueError, "give exactly one of share"),
        ({"share": 0.1}, ValueError,
         r"but map is a boolean mask: leave them out, got share=0.1 and fraction=None\."),
        ({"map": torch.zeros(3, 12, 12)}, ValueError,
         r"The region of image 0 is empty: its map is constant, or nowhere positive; leave such images out\."),
        ({"map": masks_of() & torch.tensor([True, False, True]).view(3, 1, 1)}, ValueError,
         r"The region of image 1 is empty: its mask has no pixel; leave such images out\."),
        ({"map": masks_of() | torch.tensor([False, False, True]).view(3, 1, 1)}, ValueError,
         r"The region of image 2 covers all its 144 pixels: nothing around it is left to fit; take a smaller share"),
        ({"starts": 0}, ValueError, r"starts must be at least 1, got 0\."),
        ({"starts": "many", "latent": None}, TypeError,
         r"starts must be how many, a tensor \(S, \*latent\) or a function, got 'many'\."),
        ({"starts": torch.ones(4, 6)}, ValueError, r"latent is for starts that are drawn: .*, got 6\."),
        ({"starts": torch.ones(4), "latent": None}, ValueError,
         r"starts must be latents \(S, \*latent\), got \(4,\)\."),
        ({"starts": torch.ones(4, 6).long(), "latent": None}, TypeError,
         r"starts must be floating-point latents \(S, \*latent\), got torch.int64\."),
        ({"starts": lambda inputs: None, "latent": None}, TypeError,
         r"floating-point latents \(S, N, \*latent\), got NoneType\."),
        ({"starts": lambda inputs: torch.ones(2, 4, 6), "latent": None}, ValueError,
         r"starts must return \(S, 3, \*latent\), got \(2, 4, 6\)\."),
        ({"latent": None}, ValueError, r"latent must tell how many numbers, or which shape, .* got None\."),
        ({"latent": (6, 0)}, ValueError, r"such as 64 or \(64, 1, 1\), got \(6, 0\)\."),
        ({"value_range": 1}, ValueError, r"value_range must be \(lowest, highest\), got 1\."),
        ({"value_range": (1, 0)}, ValueError, r"value_range must be \(lowest, highest\), got \(1, 0\)\."),
        ({"generator": lambda z: z[:, :, None, None]}, ValueError,
         r"generator must make images \(15, 1, 12, 12\) of latents \(15, 6\), .* got \(15, 6, 1, 1\)\."),
        ({"targets": torch.ones(3, 2)}, ValueError,
         r"A variation keeps one class: targets must be \(3,\) class indices, got weights of shape \(3, 2\)\."),
        ({"targets": [0, 1, 2]}, ValueError, r"Target 2 is out of range: the model has the classes 0..1\."),
        ({"targets": [0, 0, 1], "model": Reader(mask(), True)}, ValueError, "Target 1 is out of range"),
    ],
)  # fmt: skip
def test_what_cannot_be_varied(options: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        varied(**options)


@pytest.mark.parametrize(
    "scale, shift, whose",
    [(2, -1, "inputs"), (255, 0, "inputs"), (0.1, 0.4, "inputs"), (1, -1, "value_range")],
    ids=["tanh", "bytes", "gray", "shifted"],
)
def test_a_generator_in_other_units(scale: float, shift: float, whose: str) -> None:
    generator = generator_of()
    options = {"value_range": (0, 1)} if whose == "value_range" else {}
    with pytest.raises(
        ValueError, match=f"generator makes images from .* to .*, but the {whose} reach from .* to"
    ):
        varied(generator=lambda z: scale * generator.eval()(z) + shift, **options)


def test_inputs_that_use_a_part_of_the_range() -> None:
    dark = 0.1 * images_of()
    with pytest.raises(ValueError, match=r"but the inputs reach from .* or tell with value_range= what"):
        varied(inputs=dark)
    assert varied(inputs=dark, value_range=(0, 1)).images.shape == (5, N, *SHAPE)


def test_a_generator_of_little_contrast_is_taken_if_the_range_is_told() -> None:
    gray = generator_of().eval()
    found = varied(generator=lambda z: 0.4 + 0.1 * gray(z), value_range=(0, 1))
    assert found.generated.amin() >= 0.4 and found.generated.amax() <= 0.5
