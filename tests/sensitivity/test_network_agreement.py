"""The agreement of networks in their maps, against a flat reference, and its bounds over networks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from pytest_saliency_sanity.audited.subject import held, subject
from pytest_saliency_sanity.examination.first_maps import examine
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.sensitivity.network_agreement import Agreement, agreement
from pytest_saliency_sanity.sensitivity.survey import RANK, Survey
from pytest_saliency_sanity.statistics import retained_fraction

IMAGES, SIDE = 12, 6


class Drawer(nn.Module):
    """A network that carries the maps it will be explained with; image i has the value i in its corner."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.register_buffer("maps", maps)
        self.head = nn.Linear(SIDE * SIDE, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


def drawn(model: Drawer, inputs: Tensor, targets: Tensor) -> Tensor:
    return model.maps[inputs[:, 0, 0, 0].long()]


def networks(count: int, seed: int = 0) -> list[Drawer]:
    """Half of them share a part of their maps."""
    stream = torch.Generator().manual_seed(seed)
    common = torch.randn(IMAGES, SIDE, SIDE, generator=stream)
    own = [torch.randn(IMAGES, SIDE, SIDE, generator=stream) for _ in range(2 * count)]
    return [Drawer(maps + (common if k < count else 0.3 * common)) for k, maps in enumerate(own)]


def numbered() -> Tensor:
    images = torch.rand(IMAGES, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    images[:, 0, 0, 0] = torch.arange(IMAGES)
    return images


def found(models: list[Drawer]) -> Agreement:
    audited = subject(drawn, models[0], numbered(), None)
    with held(audited) as kept:
        first = examine(kept, Meter())
    return agreement(audited, Meter(), models, len(models) // 2, first, ("abs_spearman",))


def correlation(left: Drawer, right: Drawer, i: int, j: int) -> float:
    return spearmanr(left.maps[i].flatten(), right.maps[j].flatten()).statistic


def reference(models: list[Drawer], pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) matched and mismatched, straight from the definition, in the chunks of 8 and 4 that the check uses."""
    chunks = [range(8), range(8, 12)]
    matched = [np.mean([correlation(models[a], models[b], i, i) for a, b in pairs]) for i in range(IMAGES)]
    mismatched = [
        np.mean([
            (correlation(models[a], models[b], i, j) + correlation(models[b], models[a], i, j)) / 2
            for a, b in pairs for j in chunk if j != i
        ])
        for chunk in chunks for i in chunk
    ]  # fmt: skip
    return np.array(matched), np.array(mismatched)


def test_two_networks_of_each_kind_against_the_definition() -> None:
    models = networks(2)
    sample = found(models).sample()
    true, any_true = reference(models, [(0, 1)])
    permuted, any_permuted = reference(models, [(0, 2), (0, 3), (1, 2), (1, 3)])
    np.testing.assert_allclose(sample.matched[:, 0], permuted, atol=1e-5)
    np.testing.assert_allclose(sample.mismatched[:, 0], any_permuted, atol=1e-5)
    np.testing.assert_allclose(sample.repeated[:, 0] - sample.mismatched[:, 0], true - any_true, atol=1e-5)


def test_the_table_names_the_labels_of_the_two_networks() -> None:
    models = networks(3)
    table = found(models).table()
    among = [(a, b) for a, b in combinations(range(6), 2) if a >= 3]
    assert table["permuted–permuted"] == pytest.approx(reference(models, among)[0].mean(), abs=1e-5)
    assert table["true–true"] == pytest.approx(
        reference(models, list(combinations(range(3), 2)))[0].mean(), abs=1e-5
    )
    assert table["true–true"] > table["true–permuted"] > table["permuted–permuted"]
    assert table["different images"] == pytest.approx(0, abs=0.15)


def test_the_papers_figures_by_the_labels_of_the_two_networks() -> None:
    models = networks(2)
    figure = found(models).figure("abs_spearman")
    expected = [
        spearmanr(models[0].maps[i].abs().flatten(), models[1].maps[i].abs().flatten()).statistic
        for i in range(8)  # of the first chunk
    ]
    assert figure["true–true"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert set(figure) == {"true–true", "true–permuted", "permuted–permuted"}


def test_images_with_a_constant_map_are_left_out() -> None:
    models = networks(2)
    models[1].maps[3] = 0.0
    models[3].maps[5] = 0.0  # on permuted labels a constant map is a map that has changed
    one = found(models)
    assert [int(i) for i in np.flatnonzero(~one.usable)] == [3]
    assert len(one.sample().matched) == IMAGES - 1
    assert one.constant_share == pytest.approx(1 / (2 * IMAGES))


def test_four_networks_of_each_kind_are_these_networks_and_five_stand_for_others() -> None:
    assert found(networks(4)).sample().matched.shape == (IMAGES, 1)
    crossed = found(networks(5))
    sample = crossed.sample()
    assert sample.matched.shape == sample.repeated.shape == (IMAGES, 5)
    assert sample.matched.mean() == pytest.approx(crossed.table()["true–permuted"], abs=0.02)


def random_agreement(stream: np.random.Generator, rho: float, count: int = 5, images: int = 16) -> Agreement:
    """Similarities with effects of networks, images and both; of what two true networks share rho is left."""
    effect = 0.1 * stream.standard_normal(2 * count)
    pairs = {}
    for a, b in combinations(range(2 * count), 2):
        scale = 0.6 if b < count else 0.6 * rho
        noise = 0.1 * stream.standard_normal((2, images))
        pairs[a, b] = {RANK: (scale + effect[a] + effect[b] + noise[0], 0.02 * noise[1])}
    surveys = tuple(_empty(images) for _ in range(2 * count))
    return Agreement(surveys, count, pairs)


def _empty(images: int) -> Survey:
    found = Survey((torch.arange(images),), False, False)
    found.originals.append(type("Original", (), {"constant": np.zeros(images, bool)})())
    return found


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_false_alarms_over_networks_are_as_rare_as_asked_for(rho: float) -> None:
    """At the line itself, 1 % may fail and 5 % may pass."""
    stream = np.random.default_rng(7)
    lower = upper = 0
    trials = 400
    for _ in range(trials):
        sample = random_agreement(stream, rho).sample()
        contrast = retained_fraction(
            sample.matched, sample.mismatched, sample.repeated,
            threshold=rho, alpha_fail=0.01, alpha_pass=0.05,
        )  # fmt: skip
        lower += contrast.lower > rho
        upper += contrast.upper < rho
    assert lower <= 0.03 * trials
    assert upper <= 0.08 * trials


def test_without_its_spread_over_networks_it_would_raise_false_alarms() -> None:
    """The same draws judged as if these networks were all there are: what the jackknife is for."""
    stream = np.random.default_rng(7)
    alarms = 0
    for _ in range(200):
        sample = random_agreement(stream, 0.5).sample()
        columns = (
            part.mean(1, keepdims=True) for part in (sample.matched, sample.mismatched, sample.repeated)
        )
        contrast = retained_fraction(*columns, threshold=0.5, alpha_fail=0.01, alpha_pass=0.05)
        alarms += contrast.lower > 0.5
    assert alarms > 20
