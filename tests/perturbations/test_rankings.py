"""Places from the most relevant pixel to the least: ties, reversal, and what has no ranking."""

from __future__ import annotations

import pytest
import torch

from pytest_saliency_sanity.perturbations.rankings import least_first, ranked


def test_places_go_from_the_largest_value_to_the_smallest() -> None:
    assert ranked(torch.tensor([[0.5, -2.0, 3.0, 1.0]])).tolist() == [[2, 3, 0, 1]]
    assert least_first(ranked(torch.tensor([[0.5, -2.0, 3.0, 1.0]]))).tolist() == [[1, 0, 3, 2]]


def test_ties_are_broken_by_the_seed_and_not_by_position() -> None:
    maps = torch.zeros(2, 20, 20)
    maps[:, 4, 4] = 1
    one, same, other = ranked(maps, 1), ranked(maps, 1), ranked(maps, 2)
    assert torch.equal(one, same) and not torch.equal(one, other) and not torch.equal(one[0], one[1])
    assert (one.view(2, 20, 20)[:, 4, 4] == 0).all()
    assert torch.equal(one.sort().values, torch.arange(400, dtype=torch.int32).expand(2, -1))
    ties = one.view(2, 20, 20).float()
    assert abs(ties[:, :10].mean() - ties[:, 10:].mean()) < 40  # by position it would be 200


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_maps_that_are_not_finite_have_no_ranking(value: float) -> None:
    with pytest.raises(ValueError, match=r"^maps must be finite to be ranked, got NaN or infinite values\.$"):
        ranked(torch.tensor([[0.0, value]]))
