"""Insertion and deletion: the target's score while an image appears, or disappears, in the order of a ranking.

RISE's protocol (Petsiuk, Das, Saenko 2018, section 4.3, and `evaluation.py` and `Evaluation.ipynb` of its
repository) is the default: softmax probability of the target, pixels ranked over space with all channels moving
together, 224 steps (225 evaluations, both ends included; 224 pixels a step at 224×224), deletion to zero in
normalized space, insertion into the blurred image. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy import sparse
from scipy.ndimage import gaussian_filter1d
from scipy.sparse.linalg import splu
from torch import Tensor

from ..outputs import Forward, as_targets, check_targets, logits
from .streams import stream

Infill: TypeAlias = "str | Tensor"

MODES = ("insertion", "deletion")
SCORES = ("softmax", "logit")
INFILLS = ("zero", "blur", "noisy_linear")
RISE: Mapping[str, Infill] = MappingProxyType({"insertion": "blur", "deletion": "zero"})
STEPS = 224
BLUR_SIZE, BLUR_SIGMA = 11, 5.0  # pixels
NOISE = 0.01  # standard deviation that ROAD's program adds to imputed pixels, in units of the inputs
DIRECT, DIAGONAL = 1 / 6, 1 / 12  # ROAD's weights of the eight neighbors
VALUES_PER_CALL = 2**22  # about 28 images of 3×224×224; more make no call faster


@dataclass(frozen=True, eq=False)
class Curves:
    """The target's score along R rankings of n images.

    Attributes:
        scores: mode -> (R, n, steps + 1), in at least single precision. Insertion begins at the infilled image
            and ends at the image, deletion the other way round.
        fractions: (steps + 1,) share of the pixels that are inserted, or deleted, at each score: from 0 to 1.
    """

    scores: Mapping[str, Tensor]
    fractions: Tensor

    @property
    def aucs(self) -> dict[str, Tensor]:
        """mode -> (R, n) area under the curves; see `auc`."""
        return {mode: auc(scores) for mode, scores in self.scores.items()}

    @property
    def normalized_aucs(self) -> dict[str, Tensor]:
        """mode -> (R, n) area under the normalized curves; see `normalized`."""
        return {mode: auc(normalized(scores)) for mode, scores in self.scores.items()}


def perturbation_curves(
    model: Any,
    inputs: Tensor,
    maps: Tensor,
    targets: Any,
    *,
    steps: int | None = None,
    infill: Infill | Mapping[str, Infill] = RISE,
    modes: str | Sequence[str] = MODES,
    score: str = "softmax",
    batch_size: int | None = None,
    seed: int = 0,
    forward: Forward | None = None,
) -> Curves:
    """Insertion and deletion curves of several rankings of the same images, in shared batches.

    The image and the infilled image are evaluated once for all rankings and modes: n (1 + infills) + R n modes
    (steps - 1) images in all. Step i has moved floor(i P / steps) of the P pixels, so that all steps are equal
    where P divides, as in RISE, and differ by one pixel otherwise.

    Args:
        model: called as it is, in evaluation mode, without gradients.
        inputs: (n, C, *S), one to three spatial axes, normalized as the model wants them.
        maps: (n, *S) or (R, n, *S). Floating-point: attribution maps, ranked by `ranked(maps, seed)`. Integers:
            rankings as `ranked` and `least_first` give them, also in the shapes (n, P) and (R, n, P).
        targets: (n,) classes, or (n, K) weights of their scores.
        steps: 1 to P; None is 224, or P where there are fewer pixels.
        infill: what takes the place of hidden pixels, one for all modes or one for each: "zero"; "blur" (see
            `blurred`); "noisy_linear" (see `linearly_imputed`; a sparse solve for every image and step, up to
            a third of a second at 224×224), a tensor that broadcasts to the inputs. Linear imputation has nothing to
            go by where all is hidden: there it is the mean of each channel. Its noise is one field an image,
            drawn from `seed`, the same at all steps and for all rankings, so that these differ by their order
            alone; ROAD draws it anew each time.
        modes: "insertion", "deletion" or both.
        score: "softmax", the target's probability, or "logit".
        batch_size: the most images in one call; None goes by memory.
        seed: of ties and noise.
        forward: as for `outputs.logits`, whose errors pass through.

    Raises:
        TypeError: for inputs or maps that are no tensors of the right kind.
        ValueError: for an option or a shape that does not fit, with its value and the choices; for a model in
            training mode, or with one logit and softmax.
    """
    _check_subject(model, inputs)
    chosen = _chosen_modes(modes)
    _check_choice("score", score, SCORES)
    counts, per_call = _pixel_counts(inputs[0, 0].numel(), steps), _images_per_call(inputs, batch_size)
    study = _study(inputs, _rankings(maps, inputs, seed), _infills(infill, chosen), seed)
    readout = _Readout(model, as_targets(targets, len(inputs)).to(inputs.device), score, forward)
    with torch.no_grad():
        calls = _plan(study, counts).split(per_call)
        scores = torch.cat([_read(readout, _perturbed(study, jobs), jobs) for jobs in calls])
    return Curves(_assembled(study, scores, len(counts)), _fractions(counts, scores))


def auc(scores: Tensor) -> Tensor:
    """(…) the area under curves (…, N + 1): (Σs − s₀/2 − s_N/2) / N, as in RISE's program: trapezoids of one width."""
    return (scores.sum(-1) - scores[..., 0] / 2 - scores[..., -1] / 2) / (scores.shape[-1] - 1)


def normalized(scores: Tensor) -> Tensor:
    """Curves (…, N + 1) with their lower end at 0 and their higher end at 1: (s − min end) / (max end − min end).

    After Schulz et al. 2020 (information bottleneck attribution, "image degradation"), with the ends of each image
    in place of their means over images. Scores beyond the ends leave [0, 1]. Of one image's rankings it changes
    no order, for all of them share their ends. Where the ends are equal the curve is NaN: nothing was lost or
    won that a ranking could have a share in. Nearly equal ends give very large numbers.
    """
    ends = torch.stack((scores[..., 0], scores[..., -1]), -1)
    low, high = ends.amin(-1, keepdim=True), ends.amax(-1, keepdim=True)
    undefined = torch.full_like(scores, float("nan"))
    return torch.where(high > low, (scores - low) / (high - low), undefined)


def area_between(least_first: Tensor, most_first: Tensor) -> Tensor:
    """(…) area between deletion curves (…, N + 1), least relevant first less most relevant first.

    Schulz et al. 2020, "image degradation"; the orders are Ancona et al. 2018's LeRF and MoRF. Positive when the
    score outlasts the loss of what the map calls irrelevant. A random ranking is as likely as its reverse, and so
    its expectation is exactly 0. For insertion curves swap the arguments.
    """
    return auc(least_first) - auc(most_first)


def ranked(maps: Tensor, seed: int = 0) -> Tensor:
    """(n, P) int32 places of the P pixels of maps (n, *S), 0 for the most relevant.

    Equal values come in an order drawn from `seed`, an own one for each image, the same on every device. RISE
    takes them as numpy happens to sort them; but by position, the zeros of a rectified map would go row by row.

    Raises ValueError for values that are not finite.
    """
    flat = maps.detach().flatten(1)
    if not flat.isfinite().all():
        raise ValueError("maps must be finite to be ranked, got NaN or infinite values.")
    shuffle = _shuffles(*flat.shape, seed).to(flat.device)
    order = shuffle.gather(1, flat.gather(1, shuffle).argsort(dim=1, descending=True, stable=True))
    places = torch.arange(flat.shape[1], dtype=torch.int32, device=flat.device).expand_as(order)
    return torch.empty_like(places, memory_format=torch.contiguous_format).scatter_(1, order, places)


def least_first(rankings: Tensor) -> Tensor:
    """Rankings (…, P) reversed, ties too: what came last comes first."""
    return rankings.shape[-1] - 1 - rankings


def smooth_random_maps(maps: Tensor, seed: int) -> Tensor:
    """Random maps (n, *S), each with the power spectrum, and so the smoothness, of one of `maps` (n, *S).

    Theiler et al. 1992, section 2.4.1: the Fourier transform's amplitudes stay and its phases are drawn, here as
    those of white noise, which are uniform and have the symmetry of a real signal. A map and its negative are
    equally likely, up to their means. The values become about Gaussian; only their order is meant to be used.
    The result is in at least single precision; a constant map has no smoothness to share and no usable result.
    """
    wide, space = _wide(maps.detach()), tuple(range(1, maps.ndim))
    noise = _noise(wide, seed, "smooth random maps")
    phases = torch.fft.rfftn(noise, dim=space).angle()
    spectrum = torch.polar(torch.fft.rfftn(wide, dim=space).abs(), phases)
    return torch.fft.irfftn(spectrum, s=maps.shape[1:], dim=space)


def blurred(inputs: Tensor) -> Tensor:
    """`inputs` (n, C, *S) blurred as in RISE's program: 11 pixels a side, σ = 5, zeros beyond the border.

    Its kernel is scipy's Gaussian filter of a single 1 in 11×11 pixels, which mirrors what falls outside back into
    the kernel: it is flatter than a Gaussian cut off and scaled. The zeros darken the border, in normalized space
    towards the mean of the data. Signals and volumes are blurred likewise along each of their axes.
    """
    result, kernel = _wide(inputs), _kernel()
    for axis in range(2, inputs.ndim):
        result = _convolved(result, kernel.to(result), axis)
    return result.to(inputs.dtype)


def linearly_imputed(image: Tensor, hidden: Tensor) -> Tensor:
    """`image` (C, H, W) with the pixels `hidden` (H, W) imputed linearly, without noise; on the CPU in double.

    Rong et al. 2022 (ROAD), "noisy linear imputation": every hidden pixel is the weighted mean of its eight
    neighbors, 1/6 for direct and 1/12 for diagonal ones, hidden or not; at the border of those there are. The
    sparse linear system of all hidden pixels is solved as a whole.

    Raises ValueError when no pixel is known.
    """
    unknown = hidden.cpu().numpy().ravel()
    if unknown.all():
        raise ValueError(f"linear imputation needs a known pixel, but all {unknown.size} are hidden")
    values = image.detach().cpu().double().flatten(1).numpy().T.copy()
    equations = _mean_of_neighbors(*hidden.shape)[unknown]
    known = equations[:, ~unknown] @ values[~unknown]
    values[unknown] = _factorized(equations[:, unknown].tocsc()).solve(-known)
    return torch.from_numpy(values.T.copy()).view(image.shape)


# What is perturbed: a job is one image at one step of one ranking.


@dataclass(frozen=True, eq=False)
class _Study:
    """Images (n, C, *S), rankings (R, n, P), whole infills (F, n, C, *S), and which of them each mode takes.

    `noise` (n, C, H, W) is there when the infill of number `linear` is solved for at every step.
    """

    images: Tensor
    rankings: Tensor
    infills: Tensor
    infill_of: dict[str, int]
    linear: int | None
    noise: Tensor | None


def _study(images: Tensor, rankings: Tensor, infills: dict[str, Infill], seed: int) -> _Study:
    images, distinct = images.detach(), _distinct(infills.values())
    infill_of = {mode: _position(infill, distinct) for mode, infill in infills.items()}
    linear = _position("noisy_linear", distinct)
    noise = None if linear is None else NOISE * _noise(_wide(images), seed, "noisy linear").to(images.dtype)
    whole = torch.stack([_whole(infill, images, noise) for infill in distinct])
    return _Study(images, rankings, whole, infill_of, linear, noise)


def _distinct(infills: Any) -> list[Infill]:
    found: list[Infill] = []
    for infill in infills:
        if _position(infill, found) is None:
            found.append(infill)
    return found


def _position(infill: Infill, infills: Sequence[Infill]) -> int | None:
    # Tensors by identity: == would compare their elements.
    same = (infill is other if isinstance(infill, Tensor) else _is(other, infill) for other in infills)
    return next((place for place, found in enumerate(same) if found), None)


def _is(infill: Infill, name: str) -> bool:
    return isinstance(infill, str) and infill == name


def _whole(infill: Infill, images: Tensor, noise: Tensor | None) -> Tensor:
    """(n, C, *S) what is left of the images when all is hidden."""
    if isinstance(infill, Tensor):
        return _broadcast(infill, images)
    if infill == "zero":
        return torch.zeros_like(images)
    return blurred(images) if infill == "blur" else _channel_means(images, noise)


def _channel_means(images: Tensor, noise: Tensor | None) -> Tensor:
    if images.ndim != 4 or noise is None:
        raise ValueError(f'infill "noisy_linear" needs images (n, C, H, W), got {tuple(images.shape)}.')
    return _wide(images).mean((2, 3), keepdim=True).to(images.dtype) + noise


def _broadcast(infill: Tensor, images: Tensor) -> Tensor:
    try:
        return infill.detach().to(images).expand_as(images)
    except RuntimeError:
        raise ValueError(
            f"An infill of shape {tuple(infill.shape)} does not broadcast to inputs of shape {tuple(images.shape)}."
        ) from None


def _plan(study: _Study, counts: Tensor) -> Tensor:
    """(T, 5) jobs: infill, ranking, image, and from where up to where in the ranking pixels are hidden.

    First the images as they are, then each infill whole, then what lies between, as `_assembled` takes them.
    """
    pixels, inner = study.rankings.shape[2], counts[1:-1]
    whole = [_jobs(study, 0, 1, torch.tensor([[0, 0]]))]
    whole += [_jobs(study, infill, 1, torch.tensor([[0, pixels]])) for infill in range(len(study.infills))]
    between = [
        _jobs(study, infill, len(study.rankings), _hidden_places(mode, inner, pixels))
        for mode, infill in study.infill_of.items()
    ]
    return torch.cat(whole + between).to(study.images.device)


def _hidden_places(mode: str, counts: Tensor, pixels: int) -> Tensor:
    """(steps, 2) deletion hides the first places of a ranking, insertion has yet to show the last ones."""
    if mode == "deletion":
        return torch.stack((torch.zeros_like(counts), counts), 1)
    return torch.stack((counts, torch.full_like(counts, pixels)), 1)


def _jobs(study: _Study, infill: int, rankings: int, places: Tensor) -> Tensor:
    cells = torch.cartesian_prod(
        torch.arange(rankings), torch.arange(len(study.images)), torch.arange(len(places))
    )
    return torch.cat((torch.full_like(cells[:, :1], infill), cells[:, :2], places[cells[:, 2]]), 1)


def _perturbed(study: _Study, jobs: Tensor) -> Tensor:
    """(B, C, *S) the images of the jobs."""
    infill, ranking, image, first, end = jobs.unbind(1)
    places = study.rankings[ranking, image]
    hidden = (places >= first.to(places.dtype)[:, None]) & (places < end.to(places.dtype)[:, None])
    hidden = hidden.view(-1, 1, *study.images.shape[2:])
    filling = study.infills[infill, image]
    for row in _to_impute(study, jobs):
        filling[row] = _noisily_imputed(study, int(image[row]), hidden[row, 0])
    return torch.where(hidden, filling, study.images[image])


def _to_impute(study: _Study, jobs: Tensor) -> Iterator[int]:
    """The rows whose infill depends on what is hidden: neither nothing nor all."""
    if study.linear is None:
        return iter(())
    count = jobs[:, 4] - jobs[:, 3]
    rows = (jobs[:, 0] == study.linear) & (count > 0) & (count < study.rankings.shape[2])
    return iter(rows.nonzero().flatten().tolist())


def _noisily_imputed(study: _Study, image: int, hidden: Tensor) -> Tensor:
    imputed = linearly_imputed(study.images[image], hidden).to(study.images.dtype)
    return imputed.to(study.images.device) + study.noise[image]


# What is made of it.


@dataclass(frozen=True, eq=False)
class _Readout:
    """Which score of which model; `targets` are those of the n images."""

    model: Any
    targets: Tensor
    score: str
    forward: Forward | None


def _read(readout: _Readout, images: Tensor, jobs: Tensor) -> Tensor:
    """(B,) the scores of images (B, C, *S), widened: half precision would round probabilities by .0005."""
    scores = _wide(logits(readout.model, images, readout.forward))
    targets = check_targets(readout.targets[jobs[:, 2]], *scores.shape).to(scores.device)
    scores = _probabilities(scores) if readout.score == "softmax" else scores
    if targets.dim() == 2:
        return (scores * targets.to(scores.dtype)).sum(1)
    return scores.gather(1, targets[:, None]).squeeze(1)


def _probabilities(scores: Tensor) -> Tensor:
    if scores.shape[1] == 1:
        raise ValueError(
            'score="softmax" is 1 for every image of a model with a single logit; use score="logit".'
        )
    return scores.softmax(1)


def _assembled(study: _Study, scores: Tensor, points: int) -> dict[str, Tensor]:
    rankings, images = study.rankings.shape[:2]
    ends = images * (1 + len(study.infills))
    whole, between = scores[:ends], scores[ends:]
    image, *infilled = whole.view(-1, images)[:, None, :, None].expand(-1, rankings, -1, -1)
    inner = between.view(len(study.infill_of), rankings, images, points - 2)
    curves = {}
    for (mode, infill), curve in zip(study.infill_of.items(), inner, strict=True):
        first, last = (image, infilled[infill])[:: 1 if mode == "deletion" else -1]
        curves[mode] = torch.cat((first, curve, last), 2)
    return curves


def _fractions(counts: Tensor, scores: Tensor) -> Tensor:
    return counts.to(scores) / int(counts[-1])


# Pieces.


def _shuffles(n: int, pixels: int, seed: int) -> Tensor:
    return torch.stack([torch.randperm(pixels, generator=stream(seed, "ties", i)) for i in range(n)])


def _noise(like: Tensor, seed: int, purpose: str) -> Tensor:
    """White noise of the shape of `like`; an image's does not depend on how many others there are."""
    draws = [torch.randn(like.shape[1:], generator=stream(seed, purpose, i)) for i in range(len(like))]
    return torch.stack(draws).to(like)


def _kernel() -> Tensor:
    impulse = np.zeros(BLUR_SIZE)
    impulse[BLUR_SIZE // 2] = 1
    return torch.from_numpy(gaussian_filter1d(impulse, BLUR_SIGMA))  # mode="reflect", as in RISE's gkern


def _convolved(values: Tensor, kernel: Tensor, axis: int) -> Tensor:
    last = values.movedim(axis, -1)
    rows = last.reshape(-1, 1, last.shape[-1])
    rows = torch.nn.functional.conv1d(rows, kernel[None, None], padding=len(kernel) // 2)
    return rows.view(last.shape).movedim(-1, axis)


def _factorized(equations: sparse.csc_matrix) -> Any:
    # The system is symmetric and definite: without pivoting it fills in least, and is solved fastest.
    return splu(equations, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


@lru_cache(maxsize=2)
def _mean_of_neighbors(height: int, width: int) -> sparse.csr_matrix:
    """(P, P) the equations of ROAD, one a pixel: its neighbors, weighted, less itself are 0."""
    (rows, row), (columns, column) = _beside(height), _beside(width)
    direct = sparse.kron(rows, column) + sparse.kron(row, columns)
    weights = DIRECT * direct + DIAGONAL * sparse.kron(rows, columns)
    return (weights - sparse.diags(np.asarray(weights.sum(1)).ravel())).tocsr()


def _beside(side: int) -> tuple[sparse.spmatrix, sparse.spmatrix]:
    """Which of the places 0, 1, … are neighbors, and which are the same."""
    return sparse.diags([np.ones(side - 1)] * 2, [-1, 1], shape=(side, side)), sparse.identity(side)


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


# What was asked for.


def _check_subject(model: Any, inputs: Any) -> None:
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        kind = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(f"inputs must be one floating-point tensor (n, C, *S), got {kind}.")
    if not 3 <= inputs.ndim <= 5 or not inputs.numel():
        raise ValueError(
            f"inputs must be (n, C, *S) with one to three spatial axes, got {tuple(inputs.shape)}."
        )
    if getattr(model, "training", False):
        raise ValueError(
            "The model is in training mode, where a score depends on its batch; call model.eval() first."
        )


def _check_choice(name: str, value: Any, choices: Sequence[str], others: str = "") -> None:
    if not isinstance(value, str) or value not in choices:
        listed = " ".join(filter(None, (", ".join(choices), others)))
        raise ValueError(f"{name} must be one of {listed}, got {value!r}.")


def _check_whole(name: str, value: Any, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most and value > most):
        limits = "of at least 1" if most is None else f"from 1 to {most}, the number of pixels"
        raise ValueError(f"{name} must be a whole number {limits}, got {value!r}.")


def _chosen_modes(modes: str | Sequence[str]) -> tuple[str, ...]:
    chosen = (modes,) if isinstance(modes, str) else tuple(dict.fromkeys(modes))
    for mode in chosen or (modes,):
        _check_choice("modes", mode, MODES)
    return chosen


def _infills(infill: Infill | Mapping[str, Infill], modes: Sequence[str]) -> dict[str, Infill]:
    given = infill if isinstance(infill, Mapping) else dict.fromkeys(modes, infill)
    for mode in modes:
        if mode not in given:
            raise ValueError(
                f"infill must have an entry for {mode}, got {', '.join(map(str, given)) or 'none'}."
            )
        if not isinstance(given[mode], Tensor):
            _check_choice("infill", given[mode], INFILLS, "or a tensor")
    return {mode: given[mode] for mode in modes}


def _pixel_counts(pixels: int, steps: int | None) -> Tensor:
    """(steps + 1,) how many pixels have been moved at each step, from none to all."""
    steps = min(STEPS, pixels) if steps is None else steps
    _check_whole("steps", steps, pixels)
    return torch.arange(steps + 1) * pixels // steps


def _images_per_call(inputs: Tensor, batch_size: int | None) -> int:
    if batch_size is None:
        return max(1, VALUES_PER_CALL // inputs[0].numel())
    _check_whole("batch_size", batch_size)
    return batch_size


def _rankings(maps: Any, inputs: Tensor, seed: int) -> Tensor:
    """(R, n, P) int32, on the device of the inputs."""
    flat = _flat(maps, inputs).to(inputs.device)
    if flat.is_floating_point():
        return torch.stack([ranked(one, seed) for one in flat])
    _check_permutations(flat)
    return flat.to(torch.int32)


def _flat(maps: Any, inputs: Tensor) -> Tensor:
    if not isinstance(maps, Tensor) or maps.is_complex() or maps.dtype == torch.bool:
        kind = maps.dtype if isinstance(maps, Tensor) else type(maps).__name__
        raise TypeError(f"maps must be a tensor of real maps or of integer rankings, got {kind}.")
    n, pixels, space = len(inputs), inputs[0, 0].numel(), tuple(inputs.shape[2:])
    for tail in ((n, *space), (n, pixels)):
        if maps.shape[-len(tail) :] == tail and maps.ndim - len(tail) in (0, 1) and len(maps):
            return maps.detach().reshape(-1, n, pixels)
    raise ValueError(f"maps must be ({n}, *{space}) or (R, {n}, *{space}), got {tuple(maps.shape)}.")


def _check_permutations(rankings: Tensor) -> None:
    pixels = rankings.shape[2]
    inside = bool(((rankings >= 0) & (rankings < pixels)).all())
    if inside:
        seen = torch.zeros_like(rankings, dtype=torch.bool).scatter_(2, rankings.long(), True)
    if not inside or not seen.all():
        raise ValueError(
            f"Integer maps must be rankings, each of the places 0 to {pixels - 1} once; "
            "pass attribution maps as floating-point numbers."
        )
