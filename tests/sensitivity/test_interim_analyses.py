"""How a sample grows, what each look may say, and what a verdict's stages are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pytest_saliency_sanity.audited.subject import subject
from pytest_saliency_sanity.examination.explanation import stream_of
from pytest_saliency_sanity.examination.first_maps import examine
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.examination.meter import Meter, OutOfBudget
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Measure, Thresholds, judged, looks
from pytest_saliency_sanity.sensitivity.survey import Sample, Survey, chunks_for, survey
from pytest_saliency_sanity.settings import PROFILES
from tests.checks.models import cnn, images

CI = PROFILES["ci"]


def sizes(found: tuple[Look, ...]) -> list[tuple[int, int]]:
    return [(look.images, look.draws) for look in found]


@pytest.mark.parametrize(
    "profile, available, expected",
    [
        ("ci", 100, [(8, 3), (16, 5), (32, 10), (32, 20)]),
        ("ci", 20, [(8, 3), (16, 5), (20, 10), (20, 20)]),
        ("ci", 4, [(4, 5), (4, 10), (4, 20)]),
        ("smoke", 100, [(8, 3), (16, 6), (16, 12)]),
        ("release", 100, [(8, 3), (32, 10), (64, 20), (64, 40)]),
    ],
)
def test_images_and_draws_grow_together(
    profile: str, available: int, expected: list[tuple[int, int]]
) -> None:
    assert sizes(looks(PROFILES[profile], available)) == expected


def test_draws_end_where_no_more_can_be_had() -> None:
    assert sizes(looks(CI, 100, most_draws=3)) == [(8, 3), (16, 3), (32, 3)]


@pytest.mark.parametrize("available", [4, 8, 20, 100])
def test_the_looks_share_the_error_rates(available: int) -> None:
    found = looks(CI, available)
    assert sum(look.alpha_fail for look in found) == pytest.approx(ALPHA_FAIL)
    assert sum(look.alpha_pass for look in found if look.may_pass) == pytest.approx(ALPHA_PASS)


def test_the_early_look_may_fail_but_not_pass() -> None:
    assert [look.may_pass for look in looks(CI, 100)] == [False, True, True, True]
    assert all(look.may_pass for look in looks(CI, 8))


# Stages.


def measure(name: str, shown: bool = False) -> Measure:
    return Measure(name, f"{name} (1 of 3 blocks)", f"{name} is re-initialized", not shown)


def sample(rho: float, noise: float = 0.0, seed: int = 0) -> Sample:
    stream = np.random.default_rng(seed)
    return Sample(rho + noise * stream.standard_normal((16, 5)), np.zeros((16, 5)), np.ones(16))


def test_stages_carry_what_they_were_judged_by() -> None:
    samples = {"upper": sample(0.9), "all": sample(0.1), "head": sample(0.5)}
    measures = [measure("head", shown=True), measure("upper"), measure("half"), measure("all")]
    stages = judged(samples, measures, Thresholds(0.3, 0.3), 0.01, 0.05)
    assert [(stage.name, stage.judged, stage.outcome) for stage in stages] == [
        ("head", False, "fail"), ("upper", True, "fail"), ("all", True, "pass")
    ]  # fmt: skip
    upper = stages[1]
    assert (upper.statistic, upper.images, upper.draws) == (pytest.approx(0.9), 16, 5)
    assert (upper.fail_above, upper.pass_below, upper.alpha_pass) == (0.3, 0.3, 0.05)
    assert {key: upper.evidence[key] for key in ("matched", "mismatched", "repeated")} == pytest.approx(
        {"matched": 0.9, "mismatched": 0, "repeated": 1}
    )


def test_judged_stages_share_the_level_by_holm_and_shown_ones_do_not() -> None:
    samples = {"upper": sample(0.9, 0.1), "half": sample(0.1, 0.1), "head": sample(0.9, 0.1)}
    measures = [measure("head", shown=True), measure("upper"), measure("half")]
    stages = judged(samples, measures, Thresholds(0.3, 0.3), 0.01, 0.05)
    assert [stage.alpha_fail for stage in stages] == pytest.approx([0.01, 0.005, 0.01])


def test_what_would_settle_an_open_stage() -> None:
    (stage,) = judged({"upper": sample(0.28, 0.3)}, [measure("upper")], Thresholds(0.3, 0.3), 0.01, 0.05)
    assert stage.outcome == "inconclusive"
    assert " instead of " in stage.evidence["settled_by"] and stage.evidence["settled_by"].endswith(
        " would settle it"
    )
    (stage,) = judged({"upper": sample(0.5, 0.1)}, [measure("upper")], Thresholds(0.8, 0.3), 0.01, 0.05)
    assert stage.evidence["settled_by"] == (
        "no number of images or draws would settle it: the value lies between the thresholds, at one of them or "
        "very close to one"
    )


# Chunks of images, with a random stream each.


@pytest.mark.parametrize(
    "available, expected", [(2, [2]), (8, [8]), (9, [9]), (10, [8, 2]), (32, [8, 8, 8, 8]), (17, [8, 9])]
)
def test_chunks(available: int, expected: list[int]) -> None:
    """Eight at a time; one image left over joins the chunk before it, for a map needs another to "
    "differ from."""
    audited = subject(gradient, cnn(), images(available), None)
    begun = survey(audited, examine(audited, Meter()))
    assert [len(chunk) for chunk in begun.chunks] == expected
    assert torch.cat(begun.chunks).tolist() == list(range(available))


def test_how_many_chunks_hold_so_many_images() -> None:
    begun = Survey((torch.arange(8), torch.arange(8, 16), torch.arange(16, 20)), False, False)
    assert [chunks_for(begun, n) for n in (1, 8, 9, 16, 17, 20, 32)] == [1, 1, 2, 2, 3, 3, 3]


def test_streams_have_names() -> None:
    assert stream_of(0, "images", 0) == stream_of(0, "images", 0)
    assert (
        len(
            {
                stream_of(seed, kind, chunk)
                for seed in (0, 1)
                for kind in ("images", "free")
                for chunk in (0, 1)
            }
        )
        == 8
    )


# Cost.


def test_a_meter_counts_calls_that_raise_too() -> None:
    meter = Meter()
    assert meter.timed(lambda: "map", 8) == "map"
    with pytest.raises(ZeroDivisionError):
        meter.timed(lambda: 1 / 0, 3)
    assert (meter.calls, meter.images) == (2, 11)
    assert meter.evidence(7.0)["total_seconds"] == 7.0


def test_past_the_deadline_only_the_first_call_is_made() -> None:
    meter = Meter(deadline=0.0)
    meter.timed(lambda: None, 8)
    with pytest.raises(OutOfBudget):
        meter.timed(lambda: None, 8)
    assert meter.calls == 1
