"""SRG, the symmetric relevance gain: least relevant pixels first less most relevant first (Blücher et al. 2024)."""

from __future__ import annotations

import torch

from pytest_saliency_sanity.metrics.request import Figure, Request, maps_of, one_input
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.insertion import (
    area_between,
    least_first,
    perturbation_curves,
    ranked,
)

STEPS = 28


def srg(asked: Request) -> Figure:
    """The area between the two deletion curves of the target's logit, of each image.

    It is what `check_insertion_deletion` without thresholds compares with that of a random map.
    """
    kept, images, maps = asked.subject, one_input(asked), maps_of(asked)[0]
    order = ranked((maps.abs() if asked.absolute else maps).to(images.device), kept.seed)
    steps = min(STEPS, maps[0].numel()) if asked.steps is None else asked.steps
    with replayed(kept.seed):
        curves = perturbation_curves(
            kept.model, images, torch.stack([order, least_first(order)]), kept.targets[: len(images)],
            steps=steps, infill=asked.infill, modes=("deletion",), score="logit", seed=kept.seed,
            forward=kept.forward, before_call=asked.meter.check_deadline,
        )  # fmt: skip
    most, least = curves.scores["deletion"]
    return Figure(area_between(least, most).double().cpu().numpy(), {"steps": steps})
