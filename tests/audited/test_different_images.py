"""An image that is there twice is not evidence twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pytest_saliency_sanity import (
    Verdict,
    check_consistency,
    check_contract,
    check_data_sensitivity,
    check_distancing,
    check_insertion_deletion,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.audited.different_images import chosen, first_of_their_kind
from pytest_saliency_sanity.explainers import gradient, integrated_gradients
from tests.checks.models import cnn, images, tabular, two_branches

Check = Callable[[Tensor], Verdict]


def _data(inputs: Tensor) -> Verdict:
    return check_data_sensitivity(gradient, inputs=inputs, models=_four_networks())


def _four_networks() -> Any:
    from pytest_saliency_sanity import TrueAndPermuted

    return TrueAndPermuted(true=[cnn(seed=0), cnn(seed=1)], permuted=[cnn(seed=2), cnn(seed=3)])


def _localization(inputs: Tensor) -> Verdict:
    boxes = torch.tensor([[2.0, 2.0, 6.0, 6.0]]).expand(len(inputs), -1)
    return check_localization(gradient, cnn(), inputs, regions=boxes)


def _distancing(inputs: Tensor) -> Verdict:
    data = images(16), torch.arange(16) % 2
    return check_distancing(gradient, cnn(), inputs, classes=(0, 1), data=data, alphas=(2,), epochs=1)


CHECKS: dict[str, Check] = {
    "consistency": lambda x: check_consistency(gradient, cnn(), x),
    "contract": lambda x: check_contract(gradient, cnn(), x),
    "data": _data,
    "distancing": _distancing,
    "insertion": lambda x: check_insertion_deletion(integrated_gradients, cnn(), x),
    "localization": _localization,
    "model": lambda x: check_model_sensitivity(gradient, cnn(), x),
    "occlusion": lambda x: check_occlusion_sensitivity(integrated_gradients, cnn(), x),
    "target": lambda x: check_target_sensitivity(gradient, cnn(), x),
}


def _jittered(inputs: Tensor, size: float) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return inputs + size * torch.randn(inputs.shape, generator=generator)


def repeated(inputs: Tensor) -> Tensor:
    return inputs[:1].repeat(16, 1, 1, 1)


MANY_TIMES: dict[str, Callable[[Tensor], Tensor]] = {
    "repeated": repeated,
    "expanded": lambda x: x[:1].expand(16, -1, -1, -1),
    "noise of 1e-7": lambda x: _jittered(repeated(x), 1e-7),
    "noise of 1e-4": lambda x: _jittered(repeated(x), 1e-4),
    "other brightness by 1e-3": lambda x: repeated(x) + torch.linspace(0, 1e-3, 16)[:, None, None, None],
    "two values": lambda x: _jittered((repeated(x) > 0.5).float(), 1e-6),
}


@pytest.mark.parametrize("how", MANY_TIMES)
@pytest.mark.parametrize("check", CHECKS)
def test_one_image_many_times_is_inconclusive_in_every_check(check: str, how: str) -> None:
    verdict = CHECKS[check](MANY_TIMES[how](images(16)))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.images"), verdict
    given = 8 if check == "contract" else 16
    assert verdict.summary.endswith(
        f"inconclusive: {given} images were given, but they all count as 1: identical and nearly identical images "
        f"count once; at least 2 are needed, 16 are better"
    )


@pytest.mark.parametrize("check", sorted(set(CHECKS) - {"contract"}))
def test_two_images_eight_times_are_two(check: str) -> None:
    """The verdict is that of the two, and says so."""
    two = images(2)
    verdict, alone = CHECKS[check](two.repeat(8, 1, 1, 1)), CHECKS[check](two)
    assert (verdict.outcome, verdict.reason) == (alone.outcome, alone.reason)
    assert [stage.statistic for stage in verdict.stages] == [stage.statistic for stage in alone.stages]
    assert [stage.images for stage in verdict.stages] == [stage.images for stage in alone.stages]
    note = (
        "14 of the images are identical or nearly identical to others and were left out: 2 different images "
        "were used"
    )
    assert note in verdict.notes
    assert verdict.findings or "2 different images" in verdict.caveats
    assert not any("different" in text for text in (*alone.notes, *alone.caveats))


def test_labels_targets_and_regions_stay_with_their_images() -> None:
    """Of images a, a, b, b, … the rows of the first of each are used."""
    model, x = cnn(), images(8)
    targets = torch.arange(8) % 4
    twice = torch.arange(8).repeat_interleave(2)
    other = (targets + 1) % 4
    rows = torch.stack([targets, other], 1).flatten()
    verdict = check_model_sensitivity(gradient, model, x[twice], rows, seed=2)
    alone = check_model_sensitivity(gradient, model, x, targets, seed=2)
    assert [stage.statistic for stage in verdict.stages] == [stage.statistic for stage in alone.stages]
    boxes = torch.tensor([[k, k, k + 4.0, k + 3.0] for k in range(8)])
    found = check_localization(gradient, model, x[twice], rows, regions=boxes[twice])
    single = check_localization(gradient, model, x, targets, regions=boxes)
    assert [stage.statistic for stage in found.stages] == [stage.statistic for stage in single.stages]


# Which count as different.


def test_different_images_are_all_used_in_their_order() -> None:
    found = chosen((images(12),), 32, 0)
    assert found.order.tolist() == list(range(12))
    assert (found.different, found.left_out) == (12, 0)


def test_a_sample_is_the_one_that_was_drawn_before_there_was_a_search() -> None:
    expected = np.sort(np.random.default_rng(7).permutation(40)[:16])
    assert chosen((images(40),), 16, 7).order.tolist() == expected.tolist()


def test_a_sample_goes_on_until_it_has_enough_different_ones() -> None:
    """Of 20 images twice each, 16 different ones are drawn."""
    found = chosen((images(20).repeat(2, 1, 1, 1),), 16, 3)
    assert found.different == 16 == len({int(number) % 20 for number in found.order})
    assert found.order.tolist() == sorted(found.order.tolist())


def test_of_a_large_set_of_copies_only_so_many_are_looked_at() -> None:
    found = chosen((images(2).repeat(500, 1, 1, 1),), 16, 0)
    assert (found.different, len(found.order)) == (2, 2)


def test_of_one_image_none_is_left_out() -> None:
    found = chosen((repeated(images(1)),), 32, 0)
    assert (found.different, found.left_out, len(found.order)) == (1, 0, 16)


DIFFERENT: dict[str, Tensor] = {
    "one pixel": torch.zeros(6, 1, 12, 12).index_put_(
        (torch.arange(6), torch.zeros(6, dtype=torch.long), torch.arange(6), torch.arange(6)), torch.ones(6)
    ),
    "a small object on one background": images(1).repeat(6, 1, 1, 1)
    + torch.stack([torch.nn.functional.pad(torch.full((1, 2, 2), 0.5), (k, 10 - k, 3, 7)) for k in range(6)]),
    "a table with a year": torch.cat(
        [
            torch.tensor([2020.0, 2021.0] * 3)[:, None],
            torch.randn(6, 3, generator=torch.Generator().manual_seed(0)),
        ],
        1,
    ),
    "faint images": 1e-6 * images(6),
    "on a pedestal": 100 + images(6),
    "noise": torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
    "signals that differ in their phase": torch.stack(
        [torch.sin(torch.linspace(0, 20, 200) + 0.2 * k)[None] for k in range(6)]
    ),
    "half precision": images(6).half(),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_different(name: str) -> None:
    assert first_of_their_kind((DIFFERENT[name],)).all()


@pytest.mark.parametrize("name", DIFFERENT)
def test_each_of_these_twice_counts_once(name: str) -> None:
    twice = DIFFERENT[name].repeat_interleave(2, 0)
    assert first_of_their_kind((twice,)).tolist() == [True, False] * 6


def test_of_several_inputs_one_that_differs_is_enough() -> None:
    same, other = (
        images(1).repeat(4, 1, 1, 1),
        torch.randn(4, 2, 40, generator=torch.Generator().manual_seed(0)),
    )
    assert first_of_their_kind((same, other)).all()
    assert first_of_their_kind((same, other[:1].expand(4, -1, -1))).tolist() == [True, False, False, False]
    verdict = check_contract(gradient, two_branches(), (same.repeat(4, 1, 1, 1), other.repeat(4, 1, 1)))
    assert verdict.outcome == "pass"


def test_rows_of_a_table() -> None:
    row = torch.randn(1, 24, generator=torch.Generator().manual_seed(0))
    verdict = check_model_sensitivity(gradient, tabular(), row.repeat(16, 1))
    assert verdict.reason == "gate.images"
