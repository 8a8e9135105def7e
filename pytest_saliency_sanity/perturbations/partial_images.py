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
    """(T, 5) jobs: infill, ranking, image, and from where up to where in the ranking pixels are hidden.

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
    return torch.cat(whole + between).to(study.images.device)


def perturbed(study: Study, jobs: Tensor) -> Tensor:
    """(B, C, *S) the images of the jobs."""
    infill, ranking, image, first, end = jobs.unbind(1)
    places = study.rankings[ranking, image]
    hidden = (places >= first.to(places.dtype)[:, None]) & (places < end.to(places.dtype)[:, None])
    hidden = hidden.view(-1, 1, *study.images.shape[2:])
    filling = study.fillings.whole[infill, image]
    for row in _to_impute(study, jobs):
        filling[row] = _noisily_imputed(study, int(image[row]), hidden[row, 0])
    return torch.where(hidden, filling, study.images[image])


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
