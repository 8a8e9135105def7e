"""Images of which a part is hidden, in the order of rankings: a job is one image at one step of one ranking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_saliency_sanity.perturbations.imputation import linearly_imputed
from pytest_saliency_sanity.perturbations.infills import Fillings


@dataclass(frozen=True, eq=False)
class Study:
    """Images (n, C, *S), rankings (R, n, P), and what takes the place of hidden pixels."""

    images: Tensor
    rankings: Tensor
    fillings: Fillings


def plan(study: Study, counts: Tensor) -> Tensor:
    """(T, 5) jobs, on the CPU: infill, ranking, image, and from where up to where in the ranking pixels are hidden.

    First the images as they are, then each infill whole, then what lies between, as `assembled` takes them.
    """
    pixels, inner = study.rankings.shape[2], counts[1:-1]
    whole = [_jobs(study, 0, 1, torch.tensor([[0, 0]]))]
    whole += [
        _jobs(study, infill, 1, torch.tensor([[0, pixels]])) for infill in range(len(study.fillings.whole))
    ]
    between = [
        _jobs(study, infill, len(study.rankings), _hidden_places(mode, inner, pixels))
        for mode, infill in study.fillings.of_mode.items()
    ]
    return torch.cat(whole + between)


def perturbed(study: Study, jobs: Tensor, result: Tensor) -> Tensor:
    """(B, C, *S) the images of the jobs, written into `result`.

    Neighbors are mostly steps of one ranking of one image, of which nothing is copied but what is shown.
    """
    first = 0
    for own, count in zip(*_runs(jobs), strict=True):
        _hide(study, own, jobs[first : first + count, 3:], result[first : first + count])
        first += count
    for row in _to_impute(study, jobs):
        image, hidden = int(jobs[row, 2]), _hidden(study, jobs[row].tolist()[:3], jobs[row : row + 1, 3:])[0]
        result[row] = torch.where(hidden, _noisily_imputed(study, image, hidden[0]), study.images[image])
    return result


def _runs(jobs: Tensor) -> tuple[list[list[int]], list[int]]:
    """The infill, the ranking and the image of jobs that follow one another, and how many they are."""
    own, counts = torch.unique_consecutive(jobs[:, :3], dim=0, return_counts=True)
    return own.tolist(), counts.tolist()


def _hide(study: Study, own: list[int], places: Tensor, result: Tensor) -> None:
    """Write one image, with pixels hidden from where up to where `places` (B, 2) say, into (B, C, *S)."""
    infill, _, image = own
    filling = study.fillings.whole[infill, image]
    torch.where(_hidden(study, own, places), filling, study.images[image], out=result)


def _hidden(study: Study, own: list[int], places: Tensor) -> Tensor:
    """(B, 1, *S) whether each pixel is hidden."""
    _, ranking, image = own
    order = study.rankings[ranking, image]
    first, end = places.to(order)[:, :, None].unbind(1)
    return ((order >= first) & (order < end)).view(-1, 1, *study.images.shape[2:])


def assembled(study: Study, scores: Tensor, points: int) -> dict[str, Tensor]:
    """mode -> (R, n, points) the scores (T,) of all planned jobs, put together as curves."""
    rankings, images = study.rankings.shape[:2]
    ends = images * (1 + len(study.fillings.whole))
    whole, between = scores[:ends], scores[ends:]
    image, *infilled = whole.view(-1, images)[:, None, :, None].expand(-1, rankings, -1, -1)
    inner = between.view(len(study.fillings.of_mode), rankings, images, points - 2)
    curves = {}
    for (mode, infill), curve in zip(study.fillings.of_mode.items(), inner, strict=True):
        first, last = (image, infilled[infill])[:: 1 if mode == "deletion" else -1]
        curves[mode] = torch.cat((first, curve, last), 2)
    return curves


def _hidden_places(mode: str, counts: Tensor, pixels: int) -> Tensor:
    """(steps, 2) deletion hides the first places of a ranking, insertion has yet to show the last ones."""
    if mode == "deletion":
        return torch.stack((torch.zeros_like(counts), counts), 1)
    return torch.stack((counts, torch.full_like(counts, pixels)), 1)


def _jobs(study: Study, infill: int, rankings: int, places: Tensor) -> Tensor:
    cells = torch.cartesian_prod(
        torch.arange(rankings), torch.arange(len(study.images)), torch.arange(len(places))
    )
    return torch.cat((torch.full_like(cells[:, :1], infill), cells[:, :2], places[cells[:, 2]]), 1)


def _to_impute(study: Study, jobs: Tensor) -> Iterator[int]:
    """The rows whose infill depends on what is hidden: neither nothing nor all."""
    if study.fillings.linear is None:
        return iter(())
    count = jobs[:, 4] - jobs[:, 3]
    rows = (jobs[:, 0] == study.fillings.linear) & (count > 0) & (count < study.rankings.shape[2])
    return iter(rows.nonzero().flatten().tolist())


def _noisily_imputed(study: Study, image: int, hidden: Tensor) -> Tensor:
    imputed = linearly_imputed(study.images[image], hidden).to(study.images.dtype)
    return imputed.to(study.images.device) + study.fillings.noise[image]
