"""Maps held against those of the last release."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import SanityCheckFailed, Verdict, assert_parity, check_parity, settings
from pytest_saliency_sanity.checks.parity import MIN_AGREEMENT
from pytest_saliency_sanity.examination.reference_maps import path_of, read, reduced
from pytest_saliency_sanity.explainers import gradient, integrated_gradients, smoothgrad, sobel
from tests.checks.models import cnn, images
from tests.manual import fenced

Explainer = Callable[..., Any]


def checked(explainer: Explainer, reference: Path, how: str = "", **options: Any) -> Verdict:
    given = {"model": cnn(), "inputs": images(16), **options}
    with settings.using(replace(settings.current(), references=(how,) if how else ())):
        return check_parity(explainer, given.pop("model"), given.pop("inputs"), reference=reference, **given)


def stored(explainer: Explainer, folder: Path, **options: Any) -> Path:
    path = folder / "maps.safetensors"
    assert checked(explainer, path, "create", **options).reason == "new_reference"
    return path


def test_without_a_file_it_fails_and_says_how_to_make_it(tmp_path: Path) -> None:
    path = tmp_path / "maps.safetensors"
    with pytest.raises(SanityCheckFailed) as failed:
        assert_parity(gradient, cnn(), images(16), reference=path)
    assert failed.value.verdict.reason == "no_reference"
    assert str(failed.value).startswith(
        f"gradient has no reference: there is no {path}; --saliency-baseline-update=create makes it"
    )
    assert not path.exists()


@pytest.mark.parametrize(
    "explainer", [gradient, sobel, partial(smoothgrad, samples=4), partial(integrated_gradients, steps=4)]
)
def test_the_same_maps_pass(explainer: Explainer, tmp_path: Path) -> None:
    path = stored(explainer, tmp_path)
    verdict = checked(explainer, path)
    assert (verdict.outcome, verdict.reason, verdict.statistic) == ("pass", "unchanged", 1.0)
    assert path.stat().st_size < 20_000


def test_both_maps_are_among_the_pictures(tmp_path: Path) -> None:
    path = stored(gradient, tmp_path)
    assert {one.place for one in checked(times_input, path, pictures=True).pictures} == {
        "input", "original", "reference",
    }  # fmt: skip


def times_input(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets) * inputs


def shifted(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).roll(1, -1)


def other_target(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, (targets + 1) % 3)


def negated(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return -gradient(model, inputs, targets)


def absolute(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).abs()


@pytest.mark.parametrize("changed", [times_input, shifted, other_target, negated, absolute])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_planted_change_is_caught(changed: Explainer, seed: int, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3)).eval()
    path = stored(gradient, tmp_path, model=model)
    verdict = checked(changed, path, model=model, name="gradient")
    assert (verdict.outcome, verdict.reason) == ("fail", "changed")
    assert "gives other maps than the reference" in verdict.summary


def rounded(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps = gradient(model, inputs, targets)
    return maps * (1 + 1e-5 * torch.randn_like(maps)) * 7.0


def in_double(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).double()


@pytest.mark.parametrize("same", [rounded, in_double])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rounding_and_scale_are_no_change(same: Explainer, seed: int, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3)).eval()
    path = stored(gradient, tmp_path, model=model)
    assert checked(same, path, model=model).outcome == "pass"


def other_weights() -> dict[str, Any]:
    model = cnn()
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    return {"model": model}


OTHER: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "weights": (other_weights, "other weights"),
    "images": (lambda: {"inputs": images(16) + 0.1}, "other images"),
    "targets": (lambda: {"targets": torch.zeros(16, dtype=torch.long)}, "other targets"),
    "seed": (lambda: {"seed": 1}, "another seed"),
    "architecture": (lambda: {"model": nn.Sequential(cnn(), nn.Identity())}, "another architecture"),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_question_is_inconclusive_and_named(name: str, tmp_path: Path) -> None:
    make, words = OTHER[name]
    path = stored(gradient, tmp_path, targets=torch.ones(16, dtype=torch.long))
    verdict = checked(gradient, path, **{"targets": torch.ones(16, dtype=torch.long), **make()})
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "other_reference")
    assert (
        words in verdict.summary
        and "another other" not in verdict.summary
        and "--saliency-baseline-update=fix replaces it" in verdict.summary
    )


def test_create_keeps_and_fix_replaces(tmp_path: Path) -> None:
    path = stored(gradient, tmp_path)
    before = path.read_bytes()
    assert checked(times_input, path, "create").outcome == "fail"
    assert path.read_bytes() == before
    assert checked(times_input, path, "fix").reason == "new_reference"
    assert checked(times_input, path).outcome == "pass"


def spoiled(content: bytes, how: str) -> bytes:
    match how:
        case "truncated":
            return content[:-10]
        case "empty":
            return b""
        case "text":
            return b"{}"
    return content.replace(b"pytest-saliency-sanity reference 1", b"pytest-saliency-sanity reference 9")


@pytest.mark.parametrize("how", ["truncated", "empty", "text", "another format"])
def test_a_file_that_cannot_be_read(how: str, tmp_path: Path) -> None:
    path = stored(gradient, tmp_path)
    path.write_bytes(spoiled(path.read_bytes(), how))
    verdict = checked(gradient, path)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "unreadable_reference")
    assert f"{path} is no reference of pytest-saliency-sanity" in verdict.summary
    assert checked(gradient, path, "fix").reason == "new_reference"
    assert checked(gradient, path).outcome == "pass"


def test_a_folder_has_a_file_for_each_explainer(tmp_path: Path) -> None:
    names = ["gradient", "a/b", "a_b", "A" * 300, "π", ".."]
    paths = [path_of(tmp_path, name) for name in names]
    assert len({str(path).lower() for path in paths}) == len(names)
    assert all(path.parent == tmp_path and len(path.name) < 120 for path in paths)
    assert paths[0].name == "gradient.safetensors"


@pytest.mark.parametrize("value", [None, 3, ""])
def test_a_bad_reference(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^reference must be a file .* or a folder, not"):
        check_parity(gradient, cnn(), images(16), reference=value)


@pytest.mark.parametrize(
    "shape", [(4, 5), (4, 9000), (4, 6, 7), (4, 300, 80), (4, 5, 30, 6), (4, 2, 3, 2, 5)]
)
def test_maps_are_reduced(shape: tuple[int, ...]) -> None:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    small = reduced(maps * 1e-30)
    assert small.dtype == torch.float16 and small.numel() <= 4 * 4096
    assert torch.equal(small.flatten(1).abs().amax(1), torch.ones(4, dtype=torch.float16))
    if small.shape == maps.shape:
        assert (
            small * maps.flatten(1).abs().amax(1).view(-1, *[1] * (maps.ndim - 1)) - maps
        ).abs().max() < 2e-3


def test_several_inputs(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.two = nn.Linear(6, 3), nn.Linear(4, 3)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.one(left).tanh() + self.two(right).tanh()

    def explainer(model: nn.Module, inputs: tuple[Tensor, ...], targets: Tensor) -> tuple[Tensor, ...]:
        parts = [part.requires_grad_() for part in inputs]
        score = model(*parts).gather(1, targets[:, None]).sum()
        return torch.autograd.grad(score, parts)

    given = {"model": Two().eval(), "inputs": (torch.randn(8, 6), torch.randn(8, 4))}
    path = stored(explainer, tmp_path, **given)
    assert len(read(path).maps) == 2
    assert checked(explainer, path, **given).outcome == "pass"


def test_what_a_file_says(tmp_path: Path) -> None:
    path = stored(gradient, tmp_path)
    about = dict(read(path).about)
    assert about["torch"] == torch.__version__ and about["explainer"] == "gradient" and about["seed"] == 0
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"]) == ["pytest-saliency-sanity reference 1"]


def test_the_message_of_the_manual(tmp_path: Path) -> None:
    blocks = (block for block in fenced() if block.page == "docs/explanation/parity.md")
    (shown,) = (block.text for block in blocks if block.language == "text")
    verdict = checked(times_input, stored(gradient, tmp_path), name="gradient")
    pattern = re.sub(r"\d\\\.\d\d", r"0\\.\\d\\d", re.escape(shown.strip()))
    assert re.fullmatch(pattern, verdict.summary)


def test_the_threshold_is_the_users(tmp_path: Path) -> None:
    path = stored(partial(integrated_gradients, steps=16), tmp_path, name="ig")
    value = checked(partial(integrated_gradients, steps=2), path, name="ig").statistic
    assert value is not None and 0.5 < value < 1
    assert checked(partial(integrated_gradients, steps=2), path, min_agreement=value - 0.1).outcome == "pass"
    assert MIN_AGREEMENT == 0.99


def test_an_explainer_whose_options_were_changed_is_told_of_the_other_file(tmp_path: Path) -> None:
    checked(partial(integrated_gradients, steps=8), tmp_path, "create")
    verdict = checked(partial(integrated_gradients, steps=4), tmp_path)
    assert verdict.reason == "no_reference"
    assert re.search(
        r"There is integrated_gradients_steps=8_-\w+\.safetensors: if only the options .* pass name=",
        verdict.summary,
    )
    kept = tmp_path / "named"
    checked(partial(integrated_gradients, steps=8), kept, "create", name="ig")
    assert checked(partial(integrated_gradients, steps=2), kept, name="ig").reason == "changed"
