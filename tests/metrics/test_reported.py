"""`metrics=` adds figures to a verdict's evidence, and changes nothing else."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from pytest_saliency_sanity import (
    Verdict,
    check_consistency,
    check_insertion_deletion,
    check_model_sensitivity,
)
from pytest_saliency_sanity.explainers import gradient, smoothgrad
from pytest_saliency_sanity.metrics import max_sensitivity, smprt
from pytest_saliency_sanity.metrics.reported import METRICS
from tests.checks.models import cnn, images, seeded, signal_cnn, two_branches

CHECKS = {
    "model_sensitivity": check_model_sensitivity,
    "consistency": check_consistency,
    "insertion_deletion": check_insertion_deletion,
}


@pytest.fixture(autouse=True)
def few_samples(monkeypatch) -> None:
    monkeypatch.setattr(smprt, "SAMPLES", 3)
    monkeypatch.setattr(max_sensitivity, "SAMPLES", 3)


def offered(check: str) -> list[str]:
    return [name for name, one in METRICS.items() if check in one.checks]


def checked(check: str, explainer=gradient, model=None, inputs=None, **options) -> Verdict:
    inputs = images(8) if inputs is None else inputs
    return CHECKS[check](explainer, model or cnn(), inputs, **{"profile": "smoke", **options})


def essence(verdict: Verdict) -> tuple:
    numbers = [(one.name, one.statistic, one.interval) for one in verdict.stages]
    return verdict.outcome, verdict.reason, numbers, verdict.findings, verdict.hint, verdict.notes


@pytest.mark.parametrize("explainer", [gradient, pytest.param(smoothgrad, marks=pytest.mark.extended)])
@pytest.mark.parametrize("check", CHECKS)
def test_all_that_a_check_offers(check, explainer) -> None:
    plain, asked = checked(check, explainer), checked(check, explainer, metrics=offered(check))
    assert essence(plain) == essence(asked) and "metrics" not in plain.evidence
    assert plain.evidence["cost"]["images"] == asked.evidence["cost"]["images"]
    assert list(asked.evidence["metrics"]) == offered(check)
    for name, found in asked.evidence["metrics"].items():
        assert (found["title"], found["source"]) == (METRICS[name].title, METRICS[name].source)
        assert math.isfinite(found["value"]) and found["images"] == len(found["by_image"]) == 8
        assert found["value"] == pytest.approx(np.mean(found["by_image"]))
    assert asked.evidence["metrics_cost"]["images"] > 0
    assert f"beside the verdict: {METRICS[offered(check)[0]].title} " in str(asked)
    assert Verdict.from_json(asked.to_json()) == asked == pickle.loads(pickle.dumps(asked))


@pytest.mark.parametrize(
    "check",
    [
        "consistency",
        *(pytest.param(name, marks=pytest.mark.extended) for name in CHECKS if name != "consistency"),
    ],
)
def test_the_same_again(check) -> None:
    """The figures draw from the seed, and leave the model and the caller's random numbers as they were."""
    model = cnn()
    before, state = [one.clone() for one in model.state_dict().values()], torch.get_rng_state()
    first, second = (checked(check, model=model, metrics=offered(check)) for _ in range(2))
    assert first.evidence["metrics"] == second.evidence["metrics"]
    assert all(map(torch.equal, before, model.state_dict().values()))
    assert torch.equal(state, torch.get_rng_state())
    other = checked(check, model=model, metrics=offered(check), seed=first.seed + 1)
    assert other.evidence["metrics"] != first.evidence["metrics"] or check == "consistency"


def test_the_area_of_the_check_is_srg() -> None:
    verdict = checked("insertion_deletion", metrics="srg", infill=0.3)
    assert verdict.evidence["metrics"]["srg"]["by_image"] == pytest.approx(
        verdict.evidence["areas"]["explainer"]
    )


@pytest.mark.parametrize(
    "check, given, words",
    [
        (
            "model_sensitivity",
            "emrpt",
            r"^unknown metric 'emrpt'; model_sensitivity offers smprt, emprt, infid",
        ),
        (
            "model_sensitivity",
            ["srg"],
            r"^the metric 'srg' belongs to insertion_deletion; model_sensitivity offers",
        ),
        (
            "consistency",
            ("infidelity",),
            r"belongs to model_sensitivity and insertion_deletion; consistency offers",
        ),
        (
            "insertion_deletion",
            3,
            r"^unknown metric 3; insertion_deletion offers infidelity, sparseness, road, srg$",
        ),
        ("consistency", [None], r"^unknown metric None"),
    ],
)
def test_other_names_are_refused(check, given, words) -> None:
    with pytest.raises(ValueError, match=words):
        checked(check, metrics=given)


def test_what_cannot_be_computed_says_why_and_leaves_the_verdict() -> None:
    """One that needs images, of signals; an explainer that raises for other images than the user's; no time left."""
    signals = checked(
        "model_sensitivity", model=signal_cnn(), inputs=images(8, (2, 40)), metrics=("infidelity", "smprt")
    )
    assert all(math.isfinite(one["value"]) for one in signals.evidence["metrics"].values())
    inputs = images(8)

    def narrow(model, given, targets):
        if not all((inputs == one).flatten(1).all(1).any() for one in given):
            raise RuntimeError("these are not my images")
        return gradient(model, given, targets)

    plain, asked = (
        checked("consistency", narrow),
        checked("consistency", narrow, metrics=("max_sensitivity", "sparseness")),
    )
    assert essence(plain) == essence(asked)
    found = asked.evidence["metrics"]
    assert found["max_sensitivity"]["value"] is None and found["sparseness"]["value"] > 0
    assert found["max_sensitivity"]["not_computed"].startswith(
        "it raised RuntimeError: these are not my images"
    )
    assert "max-sensitivity not computed (it raised RuntimeError" in " ".join(str(asked).split())


def test_road_needs_several_classes() -> None:
    one = seeded(lambda: cnn(classes=1))
    verdict = checked("insertion_deletion", model=one, metrics="road")
    assert verdict.evidence["metrics"]["road"]["not_computed"].startswith(
        "it needs images (N, C, H, W) and one class"
    )


def test_a_budget_that_is_used_up(monkeypatch) -> None:
    """The check is done in time; the figures then find none left."""
    verdict = checked("model_sensitivity", metrics="sparseness")

    def late(asked, names):
        object.__setattr__(asked.meter, "deadline", 0.0)
        return reported(asked, names)

    from pytest_saliency_sanity.checks import model_sensitivity
    from pytest_saliency_sanity.metrics.reported import reported

    monkeypatch.setattr(model_sensitivity, "reported", late)
    spent = checked("model_sensitivity", metrics="sparseness")
    assert essence(spent) == essence(verdict)
    assert (
        spent.evidence["metrics"]["sparseness"]["not_computed"] == "the budget was used up; raise max_seconds"
    )


def test_nothing_is_computed_where_the_contract_is_broken() -> None:
    def broken(model, inputs, targets):
        raise RuntimeError("no")

    for check in CHECKS:
        verdict = checked(check, broken, metrics=offered(check))
        assert verdict.outcome == "error" and "metrics" not in verdict.evidence


def test_a_verdict_that_a_gate_stopped_has_figures_all_the_same() -> None:
    """The one map for all images, and noise that cannot be replayed: what is compared with the literature."""
    own = torch.Generator().manual_seed(0)

    def noise(model, inputs, targets):
        return torch.randn(inputs.shape, generator=own)

    def center(model, inputs, targets):
        return torch.ones_like(inputs).cumsum(2).cumsum(3)

    for explainer, scores in ((noise, 0), (center, 1)):
        verdict = checked("model_sensitivity", explainer, metrics=("smprt", "emprt"))
        found = verdict.evidence["metrics"]
        assert verdict.findings and verdict.outcome != "pass"
        assert found["smprt"]["value"] == pytest.approx(scores, abs=0.1)
        assert found["emprt"]["value"] == pytest.approx(0, abs=0.05)
    for check in ("consistency", "insertion_deletion"):
        verdict = checked(check, center, metrics="sparseness")
        assert verdict.findings and verdict.evidence["metrics"]["sparseness"]["value"] > 0.1


def test_several_inputs_and_channels_that_come_last() -> None:
    """What needs images says so; the others are the mean over the inputs."""
    names = ("smprt", "sparseness", "infidelity")
    verdict = check_model_sensitivity(
        gradient, two_branches(), (images(8), images(8, (2, 40), 1)), profile="smoke", metrics=names
    )
    found = verdict.evidence["metrics"]
    assert found["infidelity"]["not_computed"] == "it needs one tensor of inputs (N, C, *S)"
    assert -1 <= found["smprt"]["value"] <= 1 and 0 < found["sparseness"]["value"] < 1
    last = check_consistency(
        gradient, LastChannels(), images(8, (12, 3)), channel_axis=-1, profile="smoke", metrics="sparseness"
    )
    assert 0 < last.evidence["metrics"]["sparseness"]["value"] < 1


class LastChannels(nn.Module):
    """Signals (N, L, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = seeded(lambda: nn.Linear(36, 4))
        self.eval()

    def forward(self, inputs):
        return self.head(inputs.flatten(1).tanh())
