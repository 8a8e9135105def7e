"""Explainers with a known verdict on trained networks, the depths, and the words of a verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    SanityCheckFailed,
    Verdict,
    assert_model_sensitive,
    check_model_sensitivity,
    check_target_sensitivity,
    explainers,
    settings,
)
from pytest_saliency_sanity.checks import model_sensitivity
from pytest_saliency_sanity.explainers import CONTROLS, gradient, guided_backprop, sobel
from tests.checks.models import cnn, images, signal_cnn
from tests.checks.verdicts import checked, named
from tests.digits import held_out_digits
from tests.networks import DEVELOPMENT, EVALUATION, train

NETWORKS = ("plain_cnn", "mlp", "vision_transformer")
QUICK = ("gradient", "input_x_gradient")
HONEST = (*QUICK, "integrated_gradients", "smoothgrad", "gradcam", "occlusion")
FIGURES = ("spearman", "abs_spearman", "ssim", "hog_pearson")


def words(text: str) -> str:
    """`text` without its line breaks."""
    return " ".join(text.split())


# Honest explainers pass.


@pytest.mark.covering
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

EDGES = (
    r"^it resembles the edges of the input: its rank correlation with {} of the input, which does not use the "
    r"model, is 1\.00$"
)
STALE = (
    "^a stale model: the map equals the plain gradient of the trained weights, and does so even after they"
)
FAULTS = {
    "sobel": EDGES.format("the Sobel gradient magnitude"),
    "laplacian": EDGES.format("the Laplacian"),
    "local_deviation": EDGES.format("the local deviation"),
    "input_x_sobel": EDGES.format("image × Sobel"),
    "noisy_sobel": r"^it resembles the edges of the input: its rank correlation with [\w× ]+ of the input, which does "
    r"not use the model, is 0\.\d\d+$",
    "input_copy": r"^a copy of the input: its rank correlation with the input is 1\.00$",
    "noise": r"^noise: two runs on different random streams agree by only -?0\.0\d, and on the same stream the "
    "map is the same",
    "stale_model": STALE,
    "cached_maps": STALE,
}


@pytest.mark.covering
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
        "center_prior draws the same map for every image: another image, explained for the same target at the "
        "same position in the batch, gets a map with a correlation of 1.00"
    )


@pytest.mark.parametrize("network", ["plain_cnn", "mlp"])
def test_guided_backpropagation_fails(network: str) -> None:
    verdict = checked(guided_backprop, network)
    assert (verdict.outcome, verdict.reason, verdict.deciding.name) == ("fail", "insensitive", "upper")
    assert verdict.hint == (
        "the map follows the lower layers but not the upper ones, as with methods that rewrite the backward pass "
        "of ReLU (guided backpropagation, DeconvNet; Sixt et al. 2020): they draw the structure of the input"
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_edges_mixed_into_a_gradient_do_not_pass(network: str) -> None:
    verdict = checked(explainers.gradient_sobel_mixture, network)
    assert verdict.outcome in ("fail", "inconclusive")


def held_model(model: nn.Module) -> Callable[..., Tensor]:
    """An explainer that looks at another model than the one it is given: a copy, made when it was built."""
    return lambda _, inputs, targets: explainers.input_x_gradient(model, inputs, targets)


def of_the_first_layer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    inputs = inputs.requires_grad_()
    (found,) = torch.autograd.grad(model[0](inputs).abs().sum(), inputs)
    return found


@pytest.mark.parametrize("explainer, among", [(of_the_first_layer, [range(3, 5)]), (sobel, [])])
def test_depths_in_between_are_tried_only_where_the_maps_change_there(
    explainer: Callable[..., Tensor], among: list[range], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To name the first block that changes them. Maps that no depth changes are not asked for again."""
    asked: list[range] = []
    try_each = model_sensitivity.kept_blocks
    monkeypatch.setattr(
        model_sensitivity, "kept_blocks", lambda *given: asked.append(given[-1]) or try_each(*given)
    )
    assert checked(explainer).outcome == "fail" and asked == among


def test_a_copy_of_the_model_fails_with_a_hint() -> None:
    verdict = checked(held_model(train("plain_cnn")))
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert verdict.hint.startswith(
        "the map survives the re-initialization of all weights: it is a function of the image alone"
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
        "edges_times_score changes only the sign of its map: up to the sign, 1.00 of the map survives"
    )


def pattern_times_score(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """One pattern for all images; only its sign comes from the model."""
    with torch.no_grad():
        scores = model(inputs).gather(1, targets[:, None])
    pattern = torch.randn(inputs.shape[1:], generator=torch.Generator().manual_seed(1))
    return pattern * scores[..., None, None]


@pytest.mark.parametrize("network", ["functional_cnn", *NETWORKS])
def test_a_pattern_times_a_score_fails(network: str) -> None:
    verdict = checked(pattern_times_score, network)
    assert (verdict.outcome, verdict.reason) == ("fail", "input_independent")
    assert verdict.summary.startswith(
        "pattern_times_score draws the same map for every image: another image, explained for the same target"
    )


def _added(strength: float, model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """A pattern of unit length for all images, and the gradient at some strength beside it."""
    pattern = torch.randn(inputs.shape[1:], generator=torch.Generator().manual_seed(1)).expand_as(inputs)
    own = explainers.gradient(model, inputs, targets)
    lengths = (part.flatten(1).norm(dim=1)[:, None, None, None] for part in (pattern, own))
    unit, small = (part / length for part, length in zip((pattern, own), lengths, strict=True))
    return unit, strength * small


def nearly_a_pattern(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Its maps of different images have a correlation of about .92."""
    return sum(_added(0.3, model, inputs, targets))


def nearly_a_pattern_times_a_score(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    pattern, own = _added(0.3, model, inputs, targets)
    with torch.no_grad():
        scores = model(inputs).gather(1, targets[:, None])
    return scores.sign()[..., None, None] * (pattern + own)


@pytest.mark.parametrize("network", ["functional_cnn", *NETWORKS])
def test_nearly_a_map_for_all_images_fails(network: str) -> None:
    verdict = checked(nearly_a_pattern, network)
    assert (verdict.outcome, verdict.reason) == ("fail", "input_independent")
    assert re.search(
        r"depends on neither image nor model: its map of an image has a rank correlation of 0\.9\d with its maps of "
        r"other images on re-initialized models",
        verdict.summary,
    )
    verdict = checked(nearly_a_pattern_times_a_score, network)
    assert verdict.outcome == "fail"
    assert "depends on neither image nor model" in verdict.summary or verdict.reason == "sign_only"


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
        {(8, 3), (16, 6), (16, 12)},
        {(16, 5), (32, 10), (32, 20)},
        {(32, 10), (32, 20), (32, 40)},
    ]  # of each profile's looks at the 32 images that there are; all but the early one may pass
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


# Words.


def test_a_failure_reads_like_this() -> None:
    with pytest.raises(SanityCheckFailed) as caught:
        assert_model_sensitive(guided_backprop, train("plain_cnn"), held_out_digits().images[:32])
    lines = str(caught.value).splitlines()
    assert re.fullmatch(
        r"guided_backprop ignores the model: 0\.\d\d+ of the map survives when the upper third \(11 … 9\) is "
        r"re-initialized \(99 % lower bound 0\.\d\d+ > 0\.30\) \[accuracy not checked\]",
        lines[0],
    )
    assert lines[1] == ""
    assert words(lines[2]) == "depth re-initialized retained interval (99 % … 95 %) verdict"
    rows = [
        r"head 11 \(1 of 5 blocks\) 0\.\d\d+ -?0\.\d\d+ … \d\.\d\d+ \(shown only\)",
        r"upper 11 … 9 \(2 of 5 blocks\) 0\.\d\d+ 0\.\d\d+ … \d\.\d\d+ fail",
        r"half 11 … 6 \(3 of 5 blocks\) 0\.\d\d+ -?0\.\d\d+ … \d\.\d\d+ (fail|inconclusive)",
        r"all 11 … 0 \(5 of 5 blocks\) -?0\.\d\d+ -?\d\.\d\d+ … \d\.\d\d+ (pass|inconclusive|fail)",
    ]
    for row, line in zip(rows, lines[3:7], strict=True):
        assert re.fullmatch(row, words(line))
    assert lines[7] == "reason: insensitive"
    assert lines[8].startswith("hint: the map follows the lower layers but not the upper ones")
    assert lines[-1] == "replay: check_model_sensitivity(guided_backprop, Sequential, …, seed=0)"


def test_a_pass_reads_like_this() -> None:
    assert re.fullmatch(
        r"gradient: no evidence that it ignores the model: (0\.\d\d+|nothing) of the map survives when "
        r"(the upper third \(11 … 9\) "
        r"is|the upper half \(11 … 6\) is|all weights are) re-initialized "
        r"\((retained -0\.\d\d+, )?95 % upper bound -?0\.\d\d+ < 0\.30\)",
        checked(gradient).summary,
    )


def test_an_undecided_verdict_says_what_would_settle_it() -> None:
    """What is retained lies next to the line."""
    line = checked(guided_backprop, "mlp", profile="smoke").judged[0].statistic + 0.02
    verdict = checked(guided_backprop, "mlp", name="mixture", profile="smoke", threshold=line)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "bound")
    assert re.fullmatch(
        r"mixture: inconclusive whether it ignores the model: 0\.\d\d+ of the map survives when "
        r"the upper third \(\S+ … \S+\) "
        r"is re-initialized \(99 % lower bound -?\d\.\d\d+, 95 % upper bound \d\.\d\d+, threshold "
        r"0\.\d\d\); (about \d+ "
        r"(images|draws) instead of \d+( and \d+ draws instead of \d+)? would settle it|no number "
        r"of images or draws would settle it: the value lies between the thresholds, at one of them or very close "
        r"to one)",
        verdict.summary,
    )


def absolute_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).abs()


def test_maps_of_one_sign_are_held_against_another_line() -> None:
    verdict = checked(absolute_gradient, "mlp")
    assert verdict.outcome in ("pass", "inconclusive")
    assert {stage.fail_above for stage in verdict.stages} == {0.8}
    assert all(0.3 <= stage.pass_below <= 0.55 for stage in verdict.stages)
    assert (
        "the maps have one sign: they are compared over the union of their supports, and fail only above 0.8"
        in verdict.notes
    )
    if verdict.outcome == "inconclusive":
        assert verdict.hint.startswith("a signed map would tell more:")
        assert " passes, above 0.80 fails); " in verdict.summary


def deviation(maps: Tensor) -> Tensor:
    return maps.flatten(1).std(1).view(-1, 1, 1, 1)


def test_between_the_lines_no_look_is_wasted() -> None:
    def mostly_edges(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        edges, honest = sobel(model, inputs, targets), gradient(model, inputs, targets).abs()
        return 0.88 * edges / deviation(edges) + 0.12 * honest / deviation(honest)

    verdict = checked(mostly_edges, threshold=0.1, one_sided_threshold=0.99)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "bound")
    assert max(stage.images for stage in verdict.stages) == 16


def test_a_pretended_guided_method_is_told_from_a_guided_one() -> None:
    pretended = checked(gradient, name="MyGuidedBackprop")
    assert pretended.outcome == "pass"
    assert pretended.hint == (
        "its maps equal the plain gradient, although its name announces a modified backward pass: hooks on "
        "nn.ReLU modules "
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


class Untrained(nn.Module):
    """Has parameters, and logits that use none of them."""

    def __init__(self, logits: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.logits = cnn(), logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)


@pytest.mark.parametrize(
    "logits",
    [lambda x: x.flatten(1)[:, :4], lambda x: x.flatten(1) @ images(144, (4,))],
    ids=["of pixels", "of weights that are no parameters"],
)
def test_a_model_whose_logits_use_no_parameter(logits: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(
        ValueError, match=r"^no logit of Untrained depends on a parameter: there is nothing to re-"
    ):
        check_model_sensitivity(gradient, Untrained(logits), images(8))


@pytest.mark.parametrize("count", [2, 3, 8, 9, 10, 17])
@pytest.mark.parametrize("check", [check_model_sensitivity, check_target_sensitivity])
def test_any_number_of_images_can_be_compared(check: Callable[..., Verdict], count: int) -> None:
    """Chunks hold eight images; a single one that is left over joins the chunk before it."""
    verdict = check(gradient, cnn(), images(count))
    assert verdict.outcome in ("pass", "inconclusive"), verdict
    assert max(stage.images for stage in verdict.stages) == count, verdict
