"""What cannot be varied, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.outputs import using_forward
from tests.variations.setting import LATENT, SHAPE, N, Reader, generator_of, images_of, mask, masks_of, varied


def with_one(values: Tensor, value: float) -> Tensor:
    """A copy in which one number, of the second image or start, is another."""
    values = values.clone()
    values[1].flatten()[2] = value
    return values


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"inputs": [1]}, TypeError, r"inputs must be one floating-point tensor \(N, C, H, W\), got list\."),
        ({"inputs": torch.ones(3, 1, 12, 12).long()}, TypeError, r"floating-point tensor .*, got torch.int64\."),
        ({"inputs": torch.ones(3, 12, 12)}, ValueError, r"inputs must be images .*, got \(3, 12, 12\)\."),
        ({"inputs": torch.ones(0, 1, 12, 12)}, ValueError, r"at least one, got \(0, 1, 12, 12\)\."),
        ({"inputs": with_one(images_of(), float("nan"))}, ValueError, r"inputs must be finite, got nan in image 1\."),
        ({"inputs": with_one(images_of(), -torch.inf)}, ValueError, r"inputs must be finite, got -inf in image 1\."),
        ({"model": None}, TypeError,
         r"model must be a function images -> logits, or be called by forward=, got None\."),
        ({"forward": 3}, TypeError,
         r"forward must be a function \(model, inputs\) -> logits, or None, got 3\."),
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
        ({"map": torch.rand(3, 12, 12), "share": "a"}, ValueError, "share must be above 0 and at most 1, got 'a'"),
        ({"map": torch.rand(3, 12, 12), "share": True}, ValueError, "share must be above 0 and at most 1, got True"),
        ({"hull": "no"}, ValueError, r"hull must be True or False, got 'no'\."),
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
         r"starts must be a number of starts, a tensor \(S, \*latent\) or a function, got 'many'\."),
        ({"starts": torch.ones(4, 6)}, ValueError, r"latent= is only for starts that are drawn: .*, got 6\."),
        ({"starts": torch.ones(4), "latent": None}, ValueError,
         r"starts must be latents \(S, \*latent\), got \(4,\)\."),
        ({"starts": torch.ones(4, 6).long(), "latent": None}, TypeError,
         r"starts must be floating-point latents \(S, \*latent\), got torch.int64\."),
        ({"starts": lambda inputs: None, "latent": None}, TypeError,
         r"floating-point latents \(S, N, \*latent\), got NoneType\."),
        ({"starts": lambda inputs: torch.ones(2, 4, 6), "latent": None}, ValueError,
         r"starts must return \(S, 3, \*latent\), got \(2, 4, 6\)\."),
        ({"starts": with_one(torch.ones(4, 6), float("nan")), "latent": None}, ValueError,
         r"starts must be finite latents \(S, \*latent\), got nan among them\."),
        ({"starts": lambda inputs: with_one(torch.ones(4, 3, 6), torch.inf), "latent": None}, ValueError,
         r"starts must be finite latents \(S, N, \*latent\), got inf among them\."),
        ({"latent": None}, ValueError, r"latent must be how many numbers .* got None\."),
        ({"latent": (6, 0)}, ValueError, r"such as 64 or \(64, 1, 1\), got \(6, 0\)\."),
        ({"value_range": 1}, ValueError, r"value_range must be two numbers \(lowest, highest\), or None, got 1\."),
        ({"value_range": ("a", 1)}, ValueError, r"must be two numbers \(lowest, highest\), or None, got \('a', 1\)\."),
        ({"value_range": (torch.zeros(2), 1)}, ValueError, r"two numbers .*, got \(tensor\(\[0., 0.\]\), 1\)\."),
        ({"value_range": (float("nan"), 1)}, ValueError, r"must be two numbers .*, got \(nan, 1\)\."),
        ({"value_range": (1, 0)}, ValueError, r"must be two numbers .*, got \(1, 0\)\."),
        ({"generator": lambda z: z[:, :, None, None]}, ValueError,
         r"generator must make images \(15, 1, 12, 12\) of latents \(15, 6\), .* got \(15, 6, 1, 1\)\."),
        ({"generator": lambda z: torch.nan * generator_of().eval()(z)}, ValueError,
         r"generator makes images from nan to nan of the starts: it must return finite numbers\."),
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
    with pytest.raises(
        ValueError, match=r"but the inputs reach from .* or pass the range of valid images as value_range="
    ):
        varied(inputs=dark)
    assert varied(inputs=dark, value_range=(0, 1)).images.shape == (5, N, *SHAPE)


def test_a_generator_of_little_contrast_is_taken_if_the_range_is_told() -> None:
    gray = generator_of().eval()
    found = varied(generator=lambda z: 0.4 + 0.1 * gray(z), value_range=(0, 1))
    assert found.generated.amin() >= 0.4 and found.generated.amax() <= 0.5


def test_a_value_range_may_be_read_from_tensors() -> None:
    bounds = torch.tensor([0.0, 1.0])
    assert varied(value_range=(bounds.min(), bounds.max()), steps=0).kept.shape == (N,)


def test_any_model_will_do_that_a_forward_calls() -> None:
    read = Reader(mask())
    expected = varied().confidence
    assert torch.equal(varied(model=None, forward=lambda _, images: read(images)).confidence, expected)
    with using_forward(lambda _, images: read(images)):
        assert torch.equal(varied(model=None).confidence, expected)


# Logits in which no class can be read.


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_logits_that_are_not_finite_before(value: str) -> None:
    def model(images: Tensor) -> Tensor:
        return with_one(Reader(mask())(images).repeat(1, 2), float(value))

    message = f"The model's logits are not finite: {value} for image 1 as it is, so no class can be read."
    with pytest.raises(ValueError, match=f"^{message}$"):
        varied(model=model)


@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize("start, image", [(0, 2), (3, 1)])
def test_logits_that_are_not_finite_after(start: int, image: int, batch_size: int | None) -> None:
    broken = varied().images[start, image]

    def model(images: Tensor) -> Tensor:
        same = (images - broken).abs().amax((1, 2, 3)) < 1e-3
        return torch.where(same[:, None], torch.nan, Reader(mask())(images))

    with pytest.raises(ValueError, match=f"not finite: nan for variant {start} of image {image}, so no"):
        varied(model=model, batch_size=batch_size)


# Networks that do not fit what they are given.


def linear_model(channels: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 2, 12), nn.Flatten())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model": linear_model().double()},
         "model is of torch.float64, but is given torch.float32, and nothing is cast automatically: convert model "
         r"and inputs to one dtype \(RuntimeError: .+\)\.$"),
        ({"inputs": images_of().double(), "model": linear_model()},
         "model is of torch.float32, but is given torch.float64, .*: convert model and inputs to one dtype"),
        ({"inputs": images_of().double(), "model": linear_model().double()},
         "generator is of torch.float32, but is given torch.float64, .*: convert generator and inputs to one dtype"),
        ({"generator": generator_of().double().decode}, "generator is of torch.float64, but is given torch.float32, "),
        ({"critic": linear_model().double()}, "critic is of torch.float64, but is given torch.float32, "),
        ({"model": linear_model(3)}, r"model fails on images of shape \(3, 1, 12, 12\) and torch.float32 "
         r"\(RuntimeError: Given groups=1, .* expected .* 3 channels, but got 1 channels instead\)\.$"),
        ({"model": Reader(mask()[1:])},
         r"model fails on images of shape \(3, 1, 12, 12\) and torch.float32 \(IndexError: The shape of the mask"),
        ({"latent": 5}, r"generator fails on the latents of latent= or starts=, of shape \(15, 5\) and torch.float32 "
         r"\(RuntimeError: mat1 and mat2 shapes cannot be multiplied \(15x5 and 6x32\)\)\.$"),
        ({"latent": (6, 1, 1)}, r"generator fails on the latents of .*, of shape \(15, 6, 1, 1\) and torch.float32"),
        ({"latent": None, "starts": torch.ones(2, 7)}, r"generator fails on .*, of shape \(6, 7\) and torch.float32"),
        ({"latent": None, "starts": linear_model(3)}, r"starts fails on images of shape \(3, 1, 12, 12\) and"),
        ({"critic": linear_model(3)}, r"critic fails on images of shape \(15, 1, 12, 12\) and torch.float32"),
    ],
)  # fmt: skip
def test_networks_that_do_not_fit(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        varied(**options)
    assert isinstance(caught.value.__cause__, (RuntimeError, IndexError))


def test_a_module_that_casts_by_itself_is_taken_in_any_dtype() -> None:
    class Casting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = linear_model().double()

        def forward(self, images: Tensor) -> Tensor:
            return self.inner(images.double())

    assert varied(model=Casting(), steps=0).confidence.dtype == torch.float64


@pytest.mark.parametrize("part", ["model", "generator", "critic"])
def test_running_out_of_memory_is_left_to_say_so(part: str) -> None:
    def full(_: Tensor) -> Tensor:
        raise torch.cuda.OutOfMemoryError("out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError, match=r"^out of memory$"):
        varied(**{part: full})


# A critic that no gradient passes.


class Detaching(nn.Module):
    """Has parameters with gradients, and lets none through to the images."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(144, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.detach().flatten(1))


CRITICS = {
    "constant": lambda made: torch.zeros(len(made)),
    "detaching": Detaching(),
    "no_grad": torch.no_grad()(lambda made: made.mean((1, 2, 3))),
    "rule": lambda made: (made.mean((1, 2, 3)) > 0.5).float(),
}


@pytest.mark.parametrize("name", CRITICS)
def test_a_critic_that_no_gradient_passes(name: str) -> None:
    message = (
        r"^No gradient passes the critic, .* so that a realism_weight of 0\.1 would have no effect: fix the critic, "
        r"or pass realism_weight=0 to only measure realism\.$"
    )
    with pytest.raises(ValueError, match=message):
        varied(critic=CRITICS[name])


@pytest.mark.parametrize("name", CRITICS)
def test_it_may_be_measured(name: str) -> None:
    found = varied(critic=CRITICS[name], realism_weight=0)
    read = torch.stack([CRITICS[name](made).flatten() for made in found.generated]).detach()
    torch.testing.assert_close(found.realism, read)
    assert torch.equal(found.latents, varied(realism_weight=0).latents)


def test_a_critic_may_be_satisfied_everywhere() -> None:
    satisfied = varied(critic=lambda made: (made.mean((1, 2, 3)) - 2).relu())
    assert torch.equal(satisfied.realism, torch.zeros(5, N))


def test_a_generator_that_detaches_its_latents_though_its_parameters_have_gradients() -> None:
    generator = generator_of()
    assert all(parameter.requires_grad for parameter in generator.parameters())
    with pytest.raises(ValueError, match=r"^No gradient reaches the latents: the generator detaches them, "):
        varied(generator=lambda z: generator.eval()(z.detach()), latent=LATENT)
