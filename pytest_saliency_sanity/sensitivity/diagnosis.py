"""The one hint that fits: what a map that ignores the model is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.explainers import controls
from pytest_saliency_sanity.explainers.inputs import tensors
from pytest_saliency_sanity.layout import axis_of, using_channel_axis
from pytest_saliency_sanity.outputs import Inputs
from pytest_saliency_sanity.settings import PROFILES
from pytest_saliency_sanity.statistics import matched_similarity, rank
from pytest_saliency_sanity.verdict import Stage

_ONE_SIDED = (
    "a signed map would tell more: of maps with one sign only what is close to 1 is evidence against them "
    "(captum's Saliency takes the absolute value unless abs=False)"
)
RESEMBLES = 0.6  # rank correlation from which a map is said to look like an edge filter's
EQUALS = 0.95  # from which it is said to be a copy, or to use nothing of what was re-initialized
LOST = 0.1  # by how much less must be left at the deepest stage, before a map is said to use the lower layers
THE_SAME, NEARLY_THE_SAME = 0.9999, 0.999  # from which maps are said to be those of the plain gradient
NOISY = 0.2  # free runs that agree less than this are noise
CLAIMS_REWRITING = ("guided", "deconv")

_EDGES: dict[str, Callable[..., Inputs]] = {
    "the Sobel gradient magnitude": controls.sobel,
    "the Laplacian": controls.laplacian,
    "the local deviation": controls.local_deviation,
    "image × Sobel": controls.input_x_sobel,
}


def hint_of_failure(
    subject: Subject,
    first: Examination,
    stages: tuple[Stage, ...],
    gradient: Maps | None,
    below: Mapping[str, str] | None = None,
) -> str:
    """What a failing explainer seems to be, in a sentence; most specific first.

    Args:
        stages: shallow to deep.
        gradient: the plain gradient's maps of the same images, where they are known.
        below: by a stage's name the block right below the ones that it re-initializes.
    """
    survived = stages[-1].statistic if stages else 1.0
    if survived > 0.9:
        return _noise(first) or _copy_or_edges(subject, first) or _stale(first, gradient) or _blind()
    if upper := _nothing_above(stages, below or {}):
        return upper
    if stages and stages[-1].outcome != "fail":
        return _rewritten()
    return _edges(subject, first)[1] or _partly()


def hint_of_class_blindness(subject: Subject, first: Examination, survived: float) -> str:
    """What an explainer seems to be whose map stays when another class is explained."""
    if survived > 0.99:
        return "its map is the same for every target: it explains one class whatever it is asked, or no class at all"
    return _edges(subject, first)[1] or (
        "most of the map is common to all classes, as it is in methods that let only positive gradients through "
        "(guided backpropagation; Sixt et al. 2020), or in a sum or product with the image"
    )


def hint_of_data_blindness(subject: Subject, first: Examination, survived: float) -> str:
    """What an explainer seems to be whose maps are those of a network that memorized permuted labels."""
    if survived > 0.9:
        return _noise(first) or _copy_or_edges(subject, first) or _same_for_all_networks()
    return _edges(subject, first)[1] or _partly()


def hint_of_open_question(subject: Subject, one_sided: bool) -> str:
    """How to settle what the bounds leave open."""
    if one_sided:
        return _ONE_SIDED
    if subject.amounts.name == "release":
        return (
            "no profile takes more; what stays open lies too close to the line: settle on another threshold="
        )
    images, draws = 2 * PROFILES["release"].images, 4 * PROFILES["release"].draws
    return (
        f"the profile 'release' goes up to {images} images and {draws} draws; here were {subject.images} images. Where "
        f"more would be needed it lies too close to the line: settle on another threshold="
    )


def hint_of_equality(subject: Subject, first: Examination, gradient: Maps | None) -> str:
    """A note for an explainer that claims to change the backward pass and returns the plain gradient."""
    if gradient is None or not any(word in subject.name.lower() for word in CLAIMS_REWRITING):
        return ""
    alike = _alike(first.maps, gradient)
    if alike < NEARLY_THE_SAME:
        return ""
    if alike < THE_SAME:
        return (
            f"its maps are nearly the plain gradient (rank correlation {alike:.4f}) though its name claims another "
            "backward pass: where only squeeze-and-excitation has ReLUs, nearly all of the gradient passes by them"
        )
    return (
        "its maps equal the plain gradient though its name claims another backward pass: hooks on nn.ReLU modules "
        "do not see functional ReLUs or other activations"
    )


def _noise(first: Examination) -> str:
    agreement = float(first.free.mean())
    if first.deterministic or agreement > NOISY:
        return ""
    return (
        f"noise: two runs on different random streams agree only {agreement:.2f}, and on the same stream the map "
        f"stays the same whatever the weights are"
    )


def _copy_or_edges(subject: Subject, first: Examination) -> str:
    """Whichever is more alike: on drawings, image × Sobel is nearly the image."""
    return max(_copy(subject, first), _edges(subject, first))[1]


def _copy(subject: Subject, first: Examination) -> tuple[float, str]:
    image = _summed(subject, first)
    found = {
        what: abs(_similarity(first.maps[0], values))
        for what, values in (("the input", image), ("the absolute input", image.abs()))
    }
    what = max(found, key=lambda what: found[what])
    if found[what] < EQUALS:
        return 0.0, ""
    return found[what], f"a copy of the input: its rank correlation with {what} is {found[what]:.2f}"


def _edges(subject: Subject, first: Examination) -> tuple[float, str]:
    if subject.inputs[0].ndim < 3:
        return 0.0, ""
    images = subject.inputs[0][first.index.to(subject.inputs[0].device)]
    found = {
        name: abs(_similarity(first.maps[0], _map_of(filtered, subject, images)))
        for name, filtered in _EDGES.items()
    }
    name = max(found, key=lambda what: found[what])
    if found[name] < RESEMBLES:
        return 0.0, ""
    return (
        found[name],
        f"an edge detector: its rank correlation with {name} of the input, which knows no model, is {found[name]:.2f}",
    )


def _stale(first: Examination, gradient: Maps | None) -> str:
    if gradient is None or _alike(first.maps, gradient) < EQUALS:
        return ""
    return (
        "a stale model: on the trained weights it equals the plain gradient, and it stays so when they are "
        "re-initialized; it explains a copy of the model, or returns maps that it has kept"
    )


def _blind() -> str:
    return (
        "the map stays when all weights are re-initialized: it is a function of the image alone, or the explainer "
        "holds a copy of the model (deepcopy, export, a layer bound to another object) or keeps its maps"
    )


def _same_for_all_networks() -> str:
    return (
        "the map is the same whatever the network was trained on: it is a function of the image alone, or the "
        "explainer holds the first network that it saw, or keeps its maps"
    )


def _nothing_above(stages: tuple[Stage, ...], below: Mapping[str, str]) -> str:
    """Of a map that all but stays when the upper blocks are re-initialized, and goes with the lower ones."""
    kept = [
        stage
        for stage in stages
        if stage.name in below
        and stage.statistic >= EQUALS
        and stage.statistic - stages[-1].statistic >= LOST
    ]
    if not kept:
        return ""
    return (
        f"the map uses nothing above {below[kept[-1].name]}: {kept[-1].statistic:.2f} of it is left when all that lies "
        "above is re-initialized; it shows the features up to there, whatever the upper layers make of them "
        "(EigenCAM; LRP by the z⁺ rule, Sixt et al. 2020)"
    )


def _rewritten() -> str:
    return (
        "the map follows the lower layers and not the upper ones, as methods do that rewrite the backward pass of "
        "ReLU (guided backpropagation, DeconvNet; Sixt et al. 2020): what they draw is the input's structure"
    )


def _partly() -> str:
    return (
        "part of the map is a function of the image alone: look for a product or a sum with the image or "
        "a filter of it"
    )


def _summed(subject: Subject, first: Examination) -> Tensor:
    images = subject.inputs[0][first.index.to(subject.inputs[0].device)]
    return images.sum(axis_of(images, subject.channel_axis)) if images.ndim > 2 else images


def _map_of(filtered: Callable[..., Inputs], subject: Subject, images: Tensor) -> Tensor:
    with using_channel_axis(subject.channel_axis):
        (made,) = tensors(filtered(subject.model, images, subject.targets[: len(images)]))
    made = made.detach()
    return made.sum(axis_of(made, subject.channel_axis)) if made.ndim == images.ndim else made


def _alike(left: Maps, right: Maps) -> float:
    return min(_similarity(a, b) for a, b in zip(left, right, strict=True))


def _similarity(left: Tensor, right: Tensor) -> float:
    if left.shape != right.shape:
        return 0.0
    a, b = (part.to("cpu", torch.float32) for part in (left, right))
    return float(matched_similarity(rank(a), rank(b)).mean())
