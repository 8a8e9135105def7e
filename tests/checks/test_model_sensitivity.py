"""Explainers with a known verdict on trained networks; the gates; what is given back; the words."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import make_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    SanityCheckFailed,
    SanityCheckInconclusive,
    Verdict,
    assert_model_sensitive,
    check_model_sensitivity,
    explainers,
    settings,
)
from pytest_saliency_sanity.checks import audit
from pytest_saliency_sanity.explainers import (
    CONTROLS,
    gradcam,
    gradient,
    guided_backprop,
    noise,
    sobel,
)
from tests.checks.models import Wrapped, cnn, images, norm_cnn, seeded, signal_cnn, tabular, two_branches
from tests.digits import held_out_digits
from tests.networks import DEVELOPMENT, EVALUATION, train
from tests.perturbations.state import state_of

NETWORKS = ("plain_cnn", "mlp", "vision_transformer")
QUICK = ("gradient", "input_x_gradient")
HONEST = (*QUICK, "integrated_gradients", "smoothgrad", "gradcam", "occlusion")
FIGURES = ("spearman", "abs_spearman", "ssim", "hog_pearson")


def named(name: str) -> Callable[..., Any]:
    return CONTROLS[name]() if name in CONTROLS else getattr(explainers, name)


def checked(
    explainer: Callable[..., Any], network: str = "plain_cnn", seed: int | None = 0, **options: Any
) -> Verdict:
    digits = held_out_digits()
    labels = digits.labels[:32]
    return check_model_sensitivity(
        explainer,
        train(network, seed or 0),
        digits.images[:32],
        **{"labels": labels, "seed": seed, **options},
    )


def words(text: str) -> str:
    """`text` without its line breaks."""
    return " ".join(text.split())


# Honest explainers pass.


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", QUICK)
def test_gradients_pass(name: str, network: str) -> None:
    verdict = checked(named(name), network)
    assert (verdict.outcome, verdict.reason) == ("pass", "sensitive")
    assert all(stage.upper < 0.3 for stage in verdict.judged)


@pytest.mark.parametrize(
    "network, name", [("mlp", "integrated_gradients"), ("mlp", "smoothgrad"), ("plain_cnn", "gradcam")]
)
def test_slower_ones_pass(name: str, network: str) -> None:
    assert checked(named(name), network).outcome == "pass"


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("network", [*EVALUATION, *DEVELOPMENT])
def test_honest_explainers_never_fail(network: str, seed: int) -> None:
    for name in (*HONEST, "vargrad"):
        if (network, name) not in {("mlp", "gradcam"), ("mlp_bn", "gradcam")}:
            assert checked(named(name), network, seed).outcome in ("pass", "inconclusive")


# Faulty ones fail, each with its reason and its hint.

EDGES = r"^an edge detector: its rank correlation with {} of the input, which knows no model, is 1\.00$"
STALE = "^a stale model: on the trained weights it equals the plain gradient, and it stays so when they are re-initialized"
FAULTS = {
    "sobel": EDGES.format("the Sobel gradient magnitude"),
    "laplacian": EDGES.format("the Laplacian"),
    "local_deviation": EDGES.format("the local deviation"),
    "input_x_sobel": EDGES.format("image × Sobel"),
    "noisy_sobel": r"^an edge detector: its rank correlation with [\w× ]+ of the input, which knows no model, is 0\.\d\d$",
    "input_copy": r"^a copy of the input: its rank correlation with the input is 1\.00$",
    "noise": r"^noise: two runs on different random streams agree only -?0\.0\d, and on the same stream the map stays",
    "stale_model": STALE,
    "cached_maps": STALE,
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", FAULTS)
def test_plain_faults_fail_at_the_early_look(name: str, network: str) -> None:
    verdict = checked(named(name), network)
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert verdict.statistic == pytest.approx(1, abs=0.01)
    assert {stage.images for stage in verdict.stages} == {8}
    assert re.search(FAULTS[name], verdict.hint)


@pytest.mark.parametrize("network", NETWORKS)
def test_maps_of_one_value_fail(network: str) -> None:
    verdict = checked(explainers.constant, network)
    assert (verdict.outcome, verdict.reason, verdict.stages) == ("fail", "constant", ())
    assert verdict.summary == "constant returns constant maps: one value everywhere on all 8 images"


@pytest.mark.parametrize("network", NETWORKS)
def test_a_map_for_all_images_fails(network: str) -> None:
    verdict = checked(explainers.center_prior, network)
    assert (verdict.outcome, verdict.reason, verdict.stages) == ("fail", "input_independent", ())
    assert verdict.summary == (
        "center_prior depends on neither image nor model: its map of an image has a rank correlation of 1.00 with "
        "its maps of other images on re-initialized models"
    )


@pytest.mark.parametrize("network", ["plain_cnn", "mlp"])
def test_guided_backpropagation_fails(network: str) -> None:
    verdict = checked(guided_backprop, network)
    assert (verdict.outcome, verdict.reason, verdict.deciding.name) == ("fail", "insensitive", "upper")
    assert verdict.hint == (
        "the map follows the lower layers and not the upper ones, as methods do that rewrite the backward pass of "
        "ReLU (guided backpropagation, DeconvNet; Sixt et al. 2020): what they draw is the input's structure"
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_edges_mixed_into_a_gradient_do_not_pass(network: str) -> None:
    verdict = checked(explainers.gradient_sobel_mixture, network)
    assert verdict.outcome in ("fail", "inconclusive")


def held_model(model: nn.Module) -> Callable[..., Tensor]:
    """An explainer that looks at another model than the one it is given: a copy, made when it was built."""
    return lambda _, inputs, targets: explainers.input_x_gradient(model, inputs, targets)


def test_a_copy_of_the_model_fails_with_a_hint() -> None:
    verdict = checked(held_model(train("plain_cnn")))
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert verdict.hint.startswith(
        "the map stays when all weights are re-initialized: it is a function of the image alone"
    )


def edges_times_score(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Edges, turned over where the logit is below the mean: the model decides the sign and nothing else."""
    with torch.no_grad():
        scores = model(inputs)
    above = scores.gather(1, targets[:, None]) - scores.mean(1, keepdim=True)
    return explainers.laplacian(model, inputs, targets) * above[..., None, None]


@pytest.mark.parametrize("network", NETWORKS)
def test_edges_times_a_score_fail(network: str) -> None:
    verdict = checked(edges_times_score, network)
    assert (verdict.outcome, verdict.reason) == ("fail", "sign_only")
    assert verdict.summary.startswith(
        "edges_times_score ignores the model but for the sign of its map: up to the sign 1.00 of the map survives"
    )


def binary_edges(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """An edge mask of zeros and ones, as Canny's: over the union of the supports it has no correlation."""
    edges = sobel(model, inputs, targets)
    return (edges > edges.flatten(1).median(1).values[:, None, None, None]).to(inputs.dtype)


def test_binary_maps_fail() -> None:
    verdict = checked(binary_edges)
    assert (verdict.outcome, verdict.statistic) == ("fail", 1)


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("network", EVALUATION)
def test_no_control_ever_passes(network: str, seed: int) -> None:
    for name in CONTROLS:
        assert checked(named(name), network, seed).outcome in ("fail", "inconclusive")


# Random streams.


def test_noise_with_a_generator_of_its_own_is_inconclusive() -> None:
    generator = torch.Generator().manual_seed(0)

    def own_noise(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return torch.randn(inputs.shape, generator=generator)

    verdict = checked(own_noise)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.repeatability")
    assert re.fullmatch(
        r"own_noise: inconclusive: two runs of it agree only -?0\.\d\d, and it cannot be replayed: it draws from a "
        r"generator of its own; let it draw from torch's global generator, or raise its number of samples",
        verdict.summary,
    )


def test_free_runs_that_disagree_are_noted() -> None:
    note = r"two runs on different random streams agree only -?0\.0\d; raise the number of samples"
    assert any(re.fullmatch(note, found) for found in checked(noise).notes)
    assert not any(re.fullmatch(note, found) for found in checked(sobel).notes)


def test_the_same_seed_gives_the_same_verdict() -> None:
    model, inputs = train("mlp"), held_out_digits().images[:32]
    first, again, other = (check_model_sensitivity(gradient, model, inputs, seed=seed) for seed in (0, 0, 1))
    assert without_cost(first) == without_cost(again)
    assert first.interval != other.interval


def without_cost(verdict: Verdict) -> str:
    shown = verdict.to_json()
    del shown["evidence"]["cost"], shown["evidence"]["control_cost"]
    return json.dumps(shown)


def test_a_seed_of_the_run_and_an_argument_are_the_same() -> None:
    model, inputs = train("mlp"), held_out_digits().images[:32]
    with settings.using(settings.Settings(seed=1)):
        of_the_run = check_model_sensitivity(gradient, model, inputs)
    assert without_cost(of_the_run) == without_cost(check_model_sensitivity(gradient, model, inputs, seed=1))


# Depths.


@pytest.mark.parametrize(
    "network, depths",
    [
        ("plain_cnn", {"head": 1, "upper": 2, "half": 3, "all": 5}),
        ("mlp", {"head": 1, "upper": 2, "all": 4}),
        ("wide_cnn", {"upper": 1, "half": 2, "all": 3}),
    ],
)
def test_the_judged_depths(network: str, depths: dict[str, int]) -> None:
    """Upper third, half, all; the head is shown and not judged, unless it is the upper third."""
    verdict = checked(sobel, network)
    found = {stage.name: int(re.search(r"\((\d+) of", stage.detail)[1]) for stage in verdict.stages}
    assert found == depths
    assert [stage.judged for stage in verdict.stages] == [name != "head" for name in depths]


def test_depths_by_name() -> None:
    verdict = checked(sobel, depths=["all", "upper"])
    assert [(stage.name, stage.detail) for stage in verdict.stages] == [
        ("upper", "11 … 9 (2 of 5 blocks)"),
        ("all", "11 … 0 (5 of 5 blocks)"),
    ]
    assert [stage.name for stage in checked(sobel, depths="upper").stages] == ["upper"]


def test_every_depth() -> None:
    verdict = checked(gradient, depths="every", profile="smoke")
    assert [stage.name for stage in verdict.stages] == ["head", "upper", "half", "top 4", "all"]
    assert [stage.name for stage in verdict.judged] == ["upper", "half", "all"]


def test_blocks_by_name() -> None:
    verdict = checked(sobel, blocks=["11", "0"])
    assert [stage.detail for stage in verdict.stages] == ["11 (1 of 2 blocks)", "11 … 0 (2 of 2 blocks)"]
    assert verdict.evidence["blocks"] == ["0", "11"]


def test_profiles() -> None:
    smoke, ci, release = (checked(gradient, "mlp", profile=profile) for profile in ("smoke", "ci", "release"))
    assert [stage.name for stage in smoke.judged] == ["upper"]
    passing = [
        {(8, 3), (16, 6)},
        {(16, 5), (32, 10)},
        {(32, 10), (32, 20)},
    ]  # of each profile's first two looks
    for verdict, sizes in zip((smoke, ci, release), passing, strict=True):
        assert verdict.outcome == "pass" and (verdict.judged[0].images, verdict.judged[0].draws) in sizes
    assert [v.evidence["profile"] for v in (smoke, ci, release)] == ["smoke", "ci", "release"]


# The paper's figures.


def test_four_figures_for_each_stage() -> None:
    edges, honest = (
        checked(explainer, similarities=FIGURES, profile="smoke") for explainer in (sobel, gradient)
    )
    for stage in (*edges.stages, *honest.stages):
        assert list(stage.evidence["similarities"]) == list(FIGURES)
    assert all(
        stage.evidence["similarities"] == pytest.approx(dict.fromkeys(FIGURES, 1)) for stage in edges.stages
    )
    assert all(abs(stage.evidence["similarities"]["spearman"]) < 0.5 for stage in honest.judged)
    assert "similarities" not in checked(sobel).stages[0].evidence


@pytest.mark.filterwarnings("error")
def test_figures_that_do_not_exist_are_none() -> None:
    verdict = check_model_sensitivity(
        gradient, signal_cnn(), images(16, (2, 40)), similarities=FIGURES, profile="smoke"
    )
    figures = verdict.to_json()["stages"][0]["evidence"]["similarities"]
    assert figures["hog_pearson"] is None and abs(figures["spearman"]) <= 1


# Gates.


def test_labels_at_chance() -> None:
    labels = (held_out_digits().labels[:32] + 3) % 10
    verdict = checked(gradient, labels=labels)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.accuracy")
    assert re.fullmatch(
        r"gradient: inconclusive: the model predicts \d of 32 labels, no better than chance \(0\.\d\d\); its maps "
        r"cannot show whether they depend on what it learned",
        verdict.summary,
    )
    with pytest.raises(SanityCheckInconclusive):
        assert_model_sensitive(gradient, train("plain_cnn"), held_out_digits().images[:32], labels=labels)


def test_without_labels_it_is_said() -> None:
    note = "no labels were given: the model's accuracy was not checked"
    assert note in checked(sobel, labels=None).notes
    assert note not in checked(sobel).notes


def test_random_weights_may_be_audited() -> None:
    model, inputs = cnn(), images(32, (1, 12, 12))
    assert check_model_sensitivity(gradient, model, inputs).outcome == "pass"
    assert check_model_sensitivity(sobel, model, inputs).outcome == "fail"


@pytest.mark.parametrize("explainer", [gradient, guided_backprop])
def test_images_that_are_one_and_the_same(explainer: Callable[..., Any]) -> None:
    image = held_out_digits().images[:1]
    verdict = check_model_sensitivity(
        explainer, train("plain_cnn"), image.expand(16, -1, -1, -1), name="mine"
    )
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.images")
    assert verdict.summary == (
        "mine: inconclusive: the model's logits are the same for all 16 images; on these images nothing can be shown"
    )


def test_images_that_are_all_alike() -> None:
    """One digit, lighter and darker: the edges are the same in all of them."""
    lighter = torch.linspace(0.6, 1, 16)[:, None, None, None] * held_out_digits().images[:1]
    verdict = check_model_sensitivity(gradient, train("plain_cnn"), lighter)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")
    assert (
        "even Sobel's edges cannot tell the images apart (they share 1.00); this model on these"
        in verdict.summary
    )


class Skipping(nn.Module):
    """Logits that are all but free of the blocks that can be re-initialized."""

    def __init__(self) -> None:
        super().__init__()
        self.network = cnn()
        self.fixed = seeded(lambda: (torch.randn(144, 64), torch.randn(64, 4)))

    def forward(self, x: Tensor) -> Tensor:
        return 100 * (x.flatten(1) @ self.fixed[0]).relu() @ self.fixed[1] + 1e-3 * self.network(x)


def test_a_model_that_cannot_show_anything() -> None:
    """The plain gradient stays as well: the verdict of no explainer means something here."""
    for explainer in (gradient, sobel):
        verdict = check_model_sensitivity(explainer, Skipping().eval(), images(16), name="mine")
        assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")
        assert re.fullmatch(
            r"mine: inconclusive: even the plain gradient retains 1\.00, at most 1\.00, when the upper third "
            r"\(network\.7 … network\.5\) is re-initialized, and should pass; this model on these images cannot show "
            r"whether an explainer depends on it",
            verdict.summary,
        )


def test_a_bottleneck_of_one_unit_convicts_nobody() -> None:
    """What is above it decides the sign of an honest gradient, and nothing else."""
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(600, 1), nn.Tanh(),
            nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 4),
        )
    ).eval()  # fmt: skip
    verdict = check_model_sensitivity(gradient, model, images(32))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")


def test_a_model_without_gradients() -> None:
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = cnn()

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x.detach())

    verdict = check_model_sensitivity(sobel, Detached().eval(), images(16))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")
    assert (
        "the plain gradient cannot be taken here: it raised ValueError: No gradient reaches the inputs"
        in verdict.summary
    )


class Bypassed(nn.Module):
    """Its network runs and has a gradient, of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.network = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4] + 0 * self.network(x)


def dying() -> nn.Module:
    """Logits that pass a threshold which re-initialized weights are too small for."""
    network = cnn()
    network[-1].weight.data.mul_(1e6)
    return Wrapped(lambda scores: (scores - 1e3).relu(), network)


def overflowing() -> nn.Module:
    """Logits that are finite as long as the head is small."""
    network = cnn()
    network[-1].weight.data.mul_(1e-9), network[-1].bias.data.zero_()
    return Wrapped(lambda scores: (1e5 * scores).exp(), network)


UNUSABLE = {
    "unchanged": (Bypassed, "re-initializing network.7 … network.5 (2 of 4 blocks) changed no logit"),
    "dead": (dying, "the logits at 'upper' are the same for every image"),
    "not finite": (overflowing, "the logits at 'upper' are not finite"),
}


@pytest.mark.parametrize("make, text", UNUSABLE.values(), ids=UNUSABLE)
def test_copies_that_cannot_show_anything(make: Callable[[], nn.Module], text: str) -> None:
    verdict = check_model_sensitivity(sobel, make().eval(), images(8), name="mine")
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.randomization")
    assert verdict.summary == f"mine: inconclusive: {text}; such a copy of the model cannot show anything"


def test_mostly_constant_maps() -> None:
    def of_few(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        brightest = inputs.mean((1, 2, 3), keepdim=True) > images(16).mean((1, 2, 3)).topk(2).values[1]
        return gradient(model, inputs, targets) * brightest

    verdict = check_model_sensitivity(of_few, cnn(), images(16))
    assert (verdict.outcome, verdict.reason) in {("inconclusive", "gate.constant_maps"), ("fail", "constant")}


# The budget.


def test_a_budget_that_is_used_up_early() -> None:
    verdict = checked(gradient, max_seconds=1e-6)
    assert (verdict.outcome, verdict.reason, verdict.stages) == ("inconclusive", "budget", ())
    assert re.fullmatch(
        r"gradient: inconclusive: the budget of 1e-06 s ended after 8 maps \(0\.\d\d s each\); raise max_seconds, or "
        r"take the profile 'smoke'",
        verdict.summary,
    )


def test_a_budget_that_ends_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known by then is shown, and decides nothing: not even for an edge detector."""
    calls: list[int] = []

    def slow(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(len(inputs))
        if len(calls) == 20:
            monkeypatch.setattr("time.monotonic", lambda: float("inf"))
        return sobel(model, inputs, targets)

    verdict = checked(slow, max_seconds=500)
    monkeypatch.undo()
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "budget")
    assert "; so far 1.00 is retained at 'upper'; raise max_seconds" in verdict.summary
    assert [stage.name for stage in verdict.stages] == ["upper", "half", "all"]
    assert verdict.stages[0].draws >= 2


# Models.


def test_an_explainer_that_holds_a_layer_sees_its_randomized_weights() -> None:
    model = train("plain_cnn")
    by_object, by_name = (
        check_model_sensitivity(
            functools.partial(gradcam, layer=layer), model, held_out_digits().images[:32], name="gradcam"
        )
        for layer in (model[6], "6")
    )
    assert by_object.outcome == by_name.outcome == "pass"
    assert by_object.statistic == by_name.statistic


class OwnsItsModel:
    """As captum's classes do: the model is handed over when the object is made."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, _: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(self.model, inputs, targets)


def test_an_explainer_that_holds_the_model() -> None:
    model, inputs = cnn(), images(32)
    assert check_model_sensitivity(OwnsItsModel(model), model, inputs).outcome == "pass"
    assert check_model_sensitivity(OwnsItsModel(cnn()), model, inputs).outcome == "fail"


Output = make_dataclass("Output", ["logits", "loss"])
OUTPUTS = {
    "a dict": (lambda scores: {"out": scores, "aux": None}, None),
    "a dataclass": (lambda scores: Output(scores, None), None),
    "a tuple": (lambda scores: (scores, None), lambda model, inputs: model(inputs)[0]),
    "a list": (lambda scores: [None, scores], lambda model, inputs: model(inputs)[1]),
    "a map of scores": (lambda scores: scores[..., None, None].expand(-1, -1, 3, 3), None),
    "a single logit": (lambda scores: scores[:, 0], None),
}


@pytest.mark.parametrize("wrap, forward", OUTPUTS.values(), ids=OUTPUTS)
def test_models_that_return_something_else(
    wrap: Callable[..., Any], forward: Callable[..., Any] | None
) -> None:
    model, inputs = Wrapped(wrap).eval(), images(32)
    assert check_model_sensitivity(gradient, model, inputs, forward=forward).outcome == "pass"
    assert check_model_sensitivity(sobel, model, inputs, forward=forward).outcome == "fail"


def shared_storage() -> nn.Module:
    """Two layers whose weights are views of one memory."""
    model = cnn()
    memory = torch.cat([model[0].weight.flatten(), model[2].weight.flatten()]).detach()
    size = model[0].weight.numel()
    model[0].weight = nn.Parameter(memory[:size].view_as(model[0].weight))
    model[2].weight = nn.Parameter(memory[size:].view_as(model[2].weight))
    return model


def compiled() -> nn.Module:
    return torch.compile(cnn(), backend="eager")


KINDS = {
    "half": lambda: cnn().half(),
    "double": lambda: cnn().double(),
    "frozen": lambda: cnn().requires_grad_(False),
    "data parallel": lambda: nn.DataParallel(cnn()),
    "shared storage": shared_storage,
    "compiled": compiled,
    "BatchNorm": norm_cnn,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_models_of_many_kinds(make: Callable[[], nn.Module]) -> None:
    model, inputs = make(), images(32)
    before = state_of(model)
    assert check_model_sensitivity(gradient, model, inputs, profile="smoke").outcome == "pass"
    assert check_model_sensitivity(sobel, model, inputs, profile="smoke").outcome == "fail"
    assert state_of(model) == before


def test_a_compiled_model_under_a_guided_method() -> None:
    verdict = check_model_sensitivity(guided_backprop, compiled(), images(8))
    assert verdict.reason == "contract.exception"
    assert (
        "does not see inside the model, which is compiled (torch.compile): pass the original model."
        in verdict.summary
    )


def test_a_model_in_training_mode() -> None:
    """It is audited in evaluation mode (dropout, batch statistics), and given back as it came."""
    model, inputs = train("mlp"), held_out_digits().images[:32]
    expected = check_model_sensitivity(gradient, model, inputs)
    model.train()
    before = state_of(model)
    found = check_model_sensitivity(gradient, model, inputs)
    assert state_of(model) == before
    assert found.statistic == expected.statistic
    assert "the model was handed over in training mode; it was audited in evaluation mode" in found.notes


def test_several_labels_an_image() -> None:
    inputs = images(32)
    targets = torch.rand(32, 4, generator=torch.Generator().manual_seed(0)).round()
    targets[:, 0] = 1
    assert check_model_sensitivity(gradient, cnn(), inputs, targets).outcome == "pass"
    assert check_model_sensitivity(sobel, cnn(), inputs, targets).outcome == "fail"


def test_signals_tables_and_tuples() -> None:
    signals, rows = images(32, (2, 40)), images(32, (24,)) - 0.5
    pairs = images(32), signals
    for model, inputs in ((signal_cnn(), signals), (tabular(), rows), (two_branches(), pairs)):
        assert check_model_sensitivity(gradient, model, inputs).outcome == "pass"
        assert check_model_sensitivity(explainers.input_copy, model, inputs).outcome == "fail"


@pytest.mark.parametrize("features", [2, 3])
def test_maps_too_small_to_tell_are_not_convicted(features: int) -> None:
    """Any two rankings of two values agree or are opposite: an honest explanation looks like a turned one."""
    verdict = check_model_sensitivity(gradient, tabular(features), images(32, (features,)) - 0.5)
    assert verdict.outcome in ("pass", "inconclusive") and not verdict.evidence["one_sided"]


# What is given back.


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("calls", [1, 3, 8])
def test_the_model_is_given_back_whenever_the_explainer_raises(
    error: type[BaseException], calls: int
) -> None:
    """Call 1 examines the contract, 3 repeats it, 8 sees a re-initialized model."""
    model, made = norm_cnn().train(), []
    before = state_of(model)

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        made.append(len(inputs))
        model[1].running_mean.add_(0 if len(made) < calls else 1)
        if len(made) == calls:
            raise error
        return gradient(model, inputs, targets)

    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            check_model_sensitivity(explainer, model, images(16))
    else:
        assert check_model_sensitivity(explainer, model, images(16)).reason == "contract.exception"
    assert state_of(model) == before


def test_the_model_is_given_back_after_a_verdict() -> None:
    model = train("plain_cnn")
    before = state_of(model)
    for explainer in (gradient, sobel, noise, guided_backprop, explainers.constant):
        check_model_sensitivity(explainer, model, held_out_digits().images[:16])
    assert state_of(model) == before


# Evidence.


def test_the_evidence_of_a_verdict() -> None:
    evidence = checked(gradient).to_json()["evidence"]
    assert set(evidence) == {
        "profile", "images", "one_sided", "explainer", "cost", "control_cost", "blocks", "copies", "head_negation"
    }  # fmt: skip
    assert (evidence["profile"], evidence["images"], evidence["one_sided"]) == ("ci", 32, False)
    assert evidence["blocks"] == ["0", "3", "6", "9", "11"]
    assert set(evidence["cost"]) == {"calls", "images", "seconds", "total_seconds"}
    assert set(evidence["copies"]) == {"upper", "half", "all"}


def test_the_coverage_of_the_randomization() -> None:
    copies = checked(sobel).evidence["copies"]
    parameters = sum(parameter.numel() for parameter in train("plain_cnn").parameters())
    assert set(copies["all"]) == {
        "tensors_changed", "tensors_total", "parameters_changed", "parameters_total",
        "logit_correlation", "prediction_agreement", "nan", "dead",
    }  # fmt: skip
    assert copies["all"]["tensors_changed"] == copies["all"]["tensors_total"] == 10
    assert copies["all"]["parameters_changed"] == copies["all"]["parameters_total"] == parameters
    assert copies["upper"]["tensors_changed"] == 4
    assert all(copy["nan"] is False and copy["dead"] < 1 for copy in copies.values())


@pytest.mark.parametrize("name", ["gradient", "input_x_gradient"])
def test_head_negation_turns_a_gradient_around(name: str) -> None:
    assert checked(named(name), "mlp").evidence["head_negation"] == pytest.approx(-1, abs=1e-3)


def test_head_negation_leaves_edges_and_most_of_guided_backpropagation_alone() -> None:
    assert checked(sobel).evidence["head_negation"] == 1
    assert checked(guided_backprop).evidence["head_negation"] > 0


def test_the_control_is_made_once_for_all_explainers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_CONTROLS", audit.gates.ControlSurveys())
    calls = [
        checked(explainer).evidence["control_cost"]["calls"] for explainer in (sobel, noise, guided_backprop)
    ]
    assert calls[0] > 0 and calls[1:] == [0, 0]
    other_seed = checked(sobel, seed=1).evidence["control_cost"]["calls"]
    assert other_seed == calls[0]


def test_controls_of_two_architectures_with_equal_weights_are_kept_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Activations have no weights: what tells the two networks apart is not among their parameters."""
    monkeypatch.setattr(audit, "_CONTROLS", audit.gates.ControlSurveys())
    relu, tanh = cnn(), cnn()
    tanh[1], tanh[3], tanh[6] = nn.Tanh(), nn.Tanh(), nn.Tanh()
    for model in (relu, tanh):
        verdict = check_model_sensitivity(sobel, model, images(8), [0] * 8)
        assert verdict.evidence["control_cost"]["calls"] > 0


# Words.


def test_a_failure_reads_like_this() -> None:
    with pytest.raises(SanityCheckFailed) as caught:
        assert_model_sensitive(guided_backprop, train("plain_cnn"), held_out_digits().images[:32])
    lines = str(caught.value).splitlines()
    assert re.fullmatch(
        r"guided_backprop ignores the model: 0\.\d\d of the map survives when the upper third \(11 … 9\) is "
        r"re-initialized \(99 % lower bound 0\.\d\d > 0\.30\)",
        lines[0],
    )
    assert lines[1] == ""
    assert words(lines[2]) == "depth re-initialized retained interval verdict"
    rows = [
        r"head 11 \(1 of 5 blocks\) 0\.\d\d -?0\.\d\d … \d\.\d\d \(shown only\)",
        r"upper 11 … 9 \(2 of 5 blocks\) 0\.\d\d 0\.\d\d … \d\.\d\d fail",
        r"half 11 … 6 \(3 of 5 blocks\) 0\.\d\d -?0\.\d\d … \d\.\d\d (fail|inconclusive)",
        r"all 11 … 0 \(5 of 5 blocks\) -?0\.\d\d -?\d\.\d\d … \d\.\d\d (pass|inconclusive|fail)",
    ]
    for row, line in zip(rows, lines[3:7], strict=True):
        assert re.fullmatch(row, words(line))
    assert lines[7].startswith("hint: the map follows the lower layers and not the upper ones")
    assert lines[-2] == "note: no labels were given: the model's accuracy was not checked"
    assert lines[-1] == "replay: check_model_sensitivity(guided_backprop, Sequential, …, seed=0)"


def test_a_pass_reads_like_this() -> None:
    assert re.fullmatch(
        r"gradient: no evidence that it ignores the model: -?0\.\d\d of the map survives when (the upper third \(11 … 9\) "
        r"is|the upper half \(11 … 6\) is|all weights are) re-initialized \(95 % upper bound 0\.\d\d < 0\.30\)",
        checked(gradient).summary,
    )


def test_an_undecided_verdict_says_what_would_settle_it() -> None:
    """What is retained lies next to the line."""
    mixture = functools.partial(explainers.gradient_sobel_mixture, sobel=0.6)
    line = checked(mixture, "mlp", profile="smoke").judged[0].statistic + 0.02
    verdict = checked(mixture, "mlp", name="mixture", profile="smoke", threshold=line)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "bound")
    assert re.fullmatch(
        r"mixture: inconclusive whether it ignores the model: 0\.\d\d of the map survives when the upper third \(\S+ … \S+\) "
        r"is re-initialized \(99 % lower bound -?\d\.\d\d, 95 % upper bound \d\.\d\d, threshold 0\.\d\d\); (about \d+ "
        r"(images|draws) instead of \d+( and \d+ draws instead of \d+)? would settle it|no number of images or draws would "
        r"settle it: it lies between the lines, at one or very close to it)",
        verdict.summary,
    )


def absolute_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).abs()


def test_maps_of_one_sign_are_held_against_another_line() -> None:
    verdict = checked(absolute_gradient, "mlp")
    assert verdict.outcome in ("pass", "inconclusive")
    assert {(stage.pass_below, stage.fail_above) for stage in verdict.stages} == {(0.3, 0.8)}
    assert (
        "the maps have one sign: they are compared over the union of their supports, and fail only above 0.8"
        in verdict.notes
    )
    if verdict.outcome == "inconclusive":
        assert verdict.hint.startswith("a signed map would tell more:")
        assert "; below 0.30 passes, above 0.80 fails); " in verdict.summary


def test_a_pretended_guided_method_is_told_from_a_guided_one() -> None:
    pretended = checked(gradient, name="MyGuidedBackprop")
    assert pretended.outcome == "pass"
    assert pretended.hint == (
        "its maps equal the plain gradient though its name claims another backward pass: hooks on nn.ReLU modules "
        "do not see functional ReLUs or other activations"
    )
    assert checked(gradient, name="saliency").hint == ""


def test_thresholds_can_be_set() -> None:
    verdict = checked(guided_backprop, threshold=0.95)
    assert verdict.outcome == "pass"
    assert {stage.pass_below for stage in verdict.stages} == {0.95}


# The running test's settings.


def test_a_verdict_is_recorded_once() -> None:
    recorded: list[Verdict] = []
    with settings.using(
        settings.Settings(seed=2, profile="smoke", record=recorded.append, replay="pytest test_it.py")
    ):
        verdict = check_model_sensitivity(gradient, cnn(), images(16))
        with pytest.raises(SanityCheckFailed):
            assert_model_sensitive(sobel, cnn(), images(16))
    assert recorded[0] == verdict and len(recorded) == 2
    assert (verdict.seed, verdict.evidence["profile"]) == (2, "smoke")
    assert verdict.replay == "pytest test_it.py --saliency-seed 2"


def test_nothing_is_recorded_for_bad_arguments() -> None:
    recorded: list[Verdict] = []
    with (
        settings.using(settings.Settings(record=recorded.append)),
        pytest.raises(ValueError, match="hold one image"),
    ):
        check_model_sensitivity(gradient, cnn(), images(1))
    assert recorded == []


def test_json_holds_builtin_types_only() -> None:
    shown = checked(gradient, similarities=FIGURES, profile="smoke").to_json()
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
