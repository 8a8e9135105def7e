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
    "a signed map would tell more: without signs, smooth maps and maps with a part that is the image's alone retain "
    "alike, and only a value close to 1 is evidence of a fault (captum's Saliency takes the absolute value unless "
    "abs=False)"
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
    if upper := hint_of_unused(stages, below or {}):
        return upper
    if stages and stages[-1].outcome != "fail":
        return _rewritten()
    return _edges(subject, first)[1] or _partly()


def hint_of_class_blindness(subject: Subject, first: Examination, survived: float) -> str:
    """What an explainer seems to be whose map stays when another class is explained."""
    if survived > 0.99:
        return "its map is the same for every target: it always explains the same class, or no class at all"
    return _edges(subject, first)[1] or (
        "most of the map is common to all classes, as with methods that let only positive gradients through "
        "(guided backpropagation; Sixt et al. 2020), or with a map that is added to the image or multiplied by it"
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
            "no profile uses more images or draws; a value that stays open lies too close to the threshold: "
            "choose another threshold="
        )
    images, draws = 2 * PROFILES["release"].images, 4 * PROFILES["release"].draws
    return (
        f"the profile 'release' goes up to {images} images and {draws} draws; this check had {subject.images} "
        f"images. If even more are needed, the value lies too close to the threshold: choose another threshold="
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
            f"its maps are nearly the plain gradient (rank correlation {alike:.4f}), although its name announces "
            f"a modified backward pass: where only squeeze-and-excitation blocks have ReLUs, nearly all of the "
            f"gradient bypasses them"
        )
    return (
        "its maps equal the plain gradient, although its name announces a modified backward pass: hooks on nn.ReLU "
        "modules do not see functional ReLUs or other activations"
    )


def _noise(first: Examination) -> str:
    agreement = float(first.free.mean())
    if first.deterministic or agreement > NOISY:
        return ""
    return (
        f"noise: two runs on different random streams agree by only {agreement:.2f}, and on the same stream the "
        f"map is the same for any weights"
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
    if subject.explained[0].ndim < 3:
        return 0.0, ""
    images = subject.explained_at(first.index)[0]
    found = {
        name: abs(_similarity(first.maps[0], _map_of(filtered, subject, images)))
        for name, filtered in _EDGES.items()
    }
    name = max(found, key=lambda what: found[what])
    if found[name] < RESEMBLES:
        return 0.0, ""
    return (
        found[name],
        f"it resembles the edges of the input: its rank correlation with {name} of the input, which does not use the "
        f"model, is {found[name]:.2f}",
    )


def _stale(first: Examination, gradient: Maps | None) -> str:
    if gradient is None or _alike(first.maps, gradient) < EQUALS:
        return ""
    return (
        "a stale model: the map equals the plain gradient of the trained weights, and does so even after they are "
        "re-initialized; the explainer uses a copy of the model, or returns cached maps"
    )


def _blind() -> str:
    return (
        "the map survives the re-initialization of all weights: it is a function of the image alone, or the "
        "explainer uses a copy of the model (deepcopy, export, a layer bound to another object) or returns cached "
        "maps"
    )


def _same_for_all_networks() -> str:
    return (
        "the map does not change with the labels that the network was trained on: it is a function of the image "
        "alone, or the explainer keeps using the first network that it saw, or returns cached maps"
    )


def hint_of_unused(stages: tuple[Stage, ...], below: Mapping[str, str]) -> str:
    """Of a map that all but stays when the upper blocks are re-initialized, and goes with the lower ones.

    Args:
        stages: shallow to deep.
        below: as in `hint_of_failure`.
    """
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
        f"the map uses nothing above {below[kept[-1].name]}: {kept[-1].statistic:.2f} of it survives when "
        f"everything above is re-initialized; it shows the features up to that layer, not what the upper layers "
        f"make of them (EigenCAM; LRP by the z⁺ rule, Sixt et al. 2020)"
    )


def _rewritten() -> str:
    return (
        "the map follows the lower layers but not the upper ones, as with methods that rewrite the backward pass "
        "of ReLU (guided backpropagation, DeconvNet; Sixt et al. 2020): they draw the structure of the input"
    )


def _partly() -> str:
    return (
        "part of the map is a function of the image alone: look for a product or a sum with the image or with a "
        "filtered image"
    )


def _summed(subject: Subject, first: Examination) -> Tensor:
    images = subject.explained_at(first.index)[0]
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
