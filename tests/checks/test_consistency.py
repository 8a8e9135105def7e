"""Agreement of an explainer's runs: what it is, its bounds, and the words."""

from __future__ import annotations

import re
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from pytest_saliency_sanity import (
    ExplainerContractError,
    SanityCheckFailed,
    Verdict,
    assert_consistent,
    check_consistency,
)
from pytest_saliency_sanity.examination.explanation import stream_of
from pytest_saliency_sanity.explainers import CONTROLS, gradient, smoothgrad
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.statistics.contrast import mean_bounds, pseudo_values
from tests.checks.models import cnn, images


def checked(explainer: Any, **options: Any) -> Verdict:
    return check_consistency(explainer, cnn(), images(16), **options)


def noisy(share: float) -> Any:
    """A gradient whose noise has `share` of the variance."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets)
        spread = maps.flatten(1).std(dim=1).view(-1, 1, 1, 1)
        return (1 - share) ** 0.5 * maps / spread + share**0.5 * torch.randn_like(maps)

    return explainer


def test_a_deterministic_explainer_passes_at_one() -> None:
    verdict = checked(gradient)
    assert (verdict.outcome, verdict.reason) == ("pass", "consistent")
    assert verdict.statistic == 1 and verdict.interval == (1, 1)
    assert verdict.stages[1].statistic == 1
    assert verdict.evidence["cost"]["calls"] <= 6


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share, outcome", [(0.1, "pass"), (0.9, "fail"), (1.0, "fail")])
def test_noise_in_the_map(share: float, outcome: str, seed: int) -> None:
    verdict = checked(noisy(share), seed=seed)
    assert verdict.outcome == outcome
    assert verdict.statistic == pytest.approx(1 - share, abs=0.1)


def test_more_samples_agree_more() -> None:
    values = [checked(partial(smoothgrad, samples=n, noise=0.5)).statistic for n in (2, 8, 32)]
    assert values[0] < values[1] < values[2]


def test_the_threshold_is_the_users() -> None:
    assert checked(noisy(0.3), min_agreement=0.4).outcome == "pass"
    assert checked(noisy(0.3), min_agreement=0.9).outcome == "fail"


def test_the_agreement_is_the_mean_over_pairs_of_runs() -> None:
    """Straight from the definition, with the streams that the check uses."""
    explainer, model, inputs = noisy(0.5), cnn(), images(16)
    verdict = check_consistency(explainer, model, inputs, seed=3)
    targets = model(inputs).argmax(1)
    maps = []
    for run in range(5):
        chunks = []
        for start in (0, 8):
            with replayed(stream_of(3, "free", run, start)):
                chunk = slice(start, start + 8)
                chunks.append(explainer(model, inputs[chunk], targets[chunk]).sum(1))
        maps.append(torch.cat(chunks).flatten(1).numpy())
    found = [
        spearmanr(maps[a][i], maps[b][i]).statistic for a, b in combinations(range(5), 2) for i in range(16)
    ]
    assert verdict.statistic == pytest.approx(np.mean(found), abs=1e-5)


def test_the_message_of_a_failure() -> None:
    verdict = checked(CONTROLS["noise"](), name="noise")
    lines = str(verdict).splitlines()
    assert re.fullmatch(
        r"noise disagrees with itself: -?0\.0\d is the rank correlation of two runs on the same images "
        r"\(99 % upper bound -?0\.\d\d+ < 0\.50\)",
        lines[0],
    )
    assert re.match(r"  agreement +of +value +interval \(95 % … 99 %\) +verdict", lines[2])
    assert re.match(r"  rank correlation +two runs on the same images \(5 runs\) +-?0\.0\d .* fail", lines[3])
    assert re.match(r"  top 5 % .*\(shown only\)", lines[4])
    assert verdict.reason == "inconsistent"


def test_the_hint_says_how_many_more_samples() -> None:
    verdict = checked(noisy(0.8))
    times = float(
        re.search(
            r"with about ([\d.]+) times as many samples, two runs would agree by 0\.5", verdict.hint
        ).group(1)
    )
    present = verdict.statistic
    assert times == pytest.approx(0.5 * (1 - present) / (present * 0.5), abs=0.06)


def test_an_open_question_says_what_would_settle_it() -> None:
    value = checked(noisy(0.45)).statistic
    verdict = checked(noisy(0.45), min_agreement=round(value, 2))
    assert verdict.outcome == "inconclusive"
    assert re.search(
        r"threshold 0\.\d\d\); (about \d+ .*(runs|images)|no number of images or runs)", verdict.summary
    )


def test_constant_maps_fail_and_broken_ones_are_errors() -> None:
    assert checked(CONTROLS["constant"]()).reason == "constant"
    with pytest.raises(ExplainerContractError):
        assert_consistent(lambda model, inputs, targets: None, cnn(), images(16))
    with pytest.raises(SanityCheckFailed, match=r"^noise disagrees with itself"):
        assert_consistent(CONTROLS["noise"](), cnn(), images(16), name="noise")


@pytest.mark.parametrize("value", [1.5, -0.2, float("nan"), "much", True, None])
def test_a_bad_threshold(value: Any) -> None:
    sentence = f"min_agreement must be a number from 0 to 1, not {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        checked(gradient, min_agreement=value)


def test_the_ends_of_the_threshold() -> None:
    """At 1 only maps that are the same in all runs pass; at 0 all that agree at all."""
    assert checked(gradient, min_agreement=1).outcome == "pass"
    verdict = checked(noisy(0.01), min_agreement=1)
    assert (verdict.outcome, verdict.hint) == ("fail", "")
    assert checked(noisy(0.5), min_agreement=0).outcome == "pass"
    assert checked(CONTROLS["noise"](), min_agreement=0).outcome == "inconclusive"


def test_one_image_is_not_enough() -> None:
    with pytest.raises(
        ValueError, match=r"^inputs hold one image, shape \(1, 1, 12, 12\); at least 2 are needed"
    ):
        check_consistency(gradient, cnn(), images(1))


def test_maps_of_zeros_are_constant() -> None:
    verdict = checked(lambda model, inputs, targets: torch.zeros_like(inputs), min_agreement=0)
    assert (verdict.outcome, verdict.reason) == ("fail", "constant")


def test_the_budget() -> None:
    verdict = checked(noisy(0.5), max_seconds=1e-4)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "budget")


@pytest.mark.parametrize("truth", [0.3, 0.6])
def test_bounds_of_the_mean_over_pairs(truth: float) -> None:
    """Effects of images, runs and both: the bounds miss the truth as rarely as they say."""
    stream, missed_low, missed_high, trials = np.random.default_rng(5), 0, 0, 500
    for _ in range(trials):
        runs, image = 0.1 * stream.standard_normal(5), 0.1 * stream.standard_normal(12)
        noise = 0.1 * stream.standard_normal((5, 5, 12))

        def agreement(chosen: Any, runs=runs, image=image, noise=noise) -> np.ndarray:
            pairs = combinations(chosen, 2)
            return np.mean([truth + image + runs[a] + runs[b] + noise[a, b] for a, b in pairs], axis=0)

        _, lower, upper = mean_bounds(pseudo_values(agreement, 5), 0.05, 0.01)
        missed_low += lower > truth
        missed_high += upper < truth
    assert missed_low <= 0.08 * trials
    assert missed_high <= 0.03 * trials
