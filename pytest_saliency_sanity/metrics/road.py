"""ROAD: how long the prediction lasts while the most relevant pixels are imputed (Rong et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.metrics.request import Figure, Request, maps_of, one_input
from pytest_saliency_sanity.outputs import logits
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.imputation import linearly_imputed
from pytest_saliency_sanity.perturbations.infills import NOISE
from pytest_saliency_sanity.perturbations.noise import white_noise
from pytest_saliency_sanity.perturbations.rankings import ranked

PERCENTAGES = (10, 20, 30, 40, 50, 60, 70, 80, 90)


def road(asked: Request) -> Figure:
    """The share of the percentages at which an image is still predicted as what is explained; most relevant first."""
    images = one_input(asked)
    if images.ndim != 4 or asked.subject.targets.ndim > 1 or asked.subject.classes < 2:
        raise NotApplicable("it needs images (N, C, H, W) and one class of several for each")
    maps = maps_of(asked)[0]
    rankings = ranked(maps.abs() if asked.absolute else maps, asked.subject.seed)
    kept = torch.stack([_predicted(asked, images, rankings, percent) for percent in PERCENTAGES])
    by_percentage = {str(p): float(one.mean()) for p, one in zip(PERCENTAGES, kept, strict=True)}
    return Figure(kept.mean(0).numpy(), {"noise": NOISE, "accuracy": by_percentage})


def imputed(images: Tensor, rankings: Tensor, percent: float, noise: Tensor) -> Tensor:
    """Images (n, C, H, W) whose first ⌊percent P / 100⌋ pixels by rankings (n, P) are imputed linearly, with noise."""
    count = int(rankings.shape[1] * percent / 100)
    masks = (rankings < count).cpu().view(len(images), *images.shape[2:])
    filled = [linearly_imputed(image, mask) for image, mask in zip(images, masks, strict=True)]
    found = torch.stack(filled).to(images)
    return torch.where(masks[:, None].to(images.device), found + noise, images)


def _predicted(asked: Request, images: Tensor, rankings: Tensor, percent: int) -> Tensor:
    """(n,) 1 where the image is still predicted as its target."""
    kept = asked.subject
    asked.meter.check_deadline()
    noise = NOISE * white_noise(images, kept.seed, f"ROAD {percent}")
    changed = imputed(images, rankings, percent, noise)
    with entered(torch.no_grad()), replayed(kept.seed):
        predicted = logits(kept.model, changed, kept.forward).argmax(1)
    return (predicted == kept.targets[: len(images)].to(predicted.device)).double().cpu()
