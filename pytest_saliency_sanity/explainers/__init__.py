"""Explainers as plain functions `(model, inputs, targets, *, options) -> map`, one family per file."""

from __future__ import annotations

from pytest_saliency_sanity.explainers.backprop import deconvnet, guided_backprop
from pytest_saliency_sanity.explainers.cam import gradcam, guided_gradcam
from pytest_saliency_sanity.explainers.controls import (
    CONTROLS,
    cached_maps,
    center_prior,
    constant,
    gradient_sobel_mixture,
    input_copy,
    input_x_sobel,
    laplacian,
    local_deviation,
    noise,
    noisy_sobel,
    sobel,
    stale_model,
)
from pytest_saliency_sanity.explainers.distances import LargestAlpha, largest_alpha
from pytest_saliency_sanity.explainers.gad import ArtificialDistancing, DistancingWarning, NotDistanced, gad
from pytest_saliency_sanity.explainers.gradients import (
    gradient,
    input_x_gradient,
    integrated_gradients,
    smoothgrad,
    vargrad,
)
from pytest_saliency_sanity.explainers.masks import occlusion
from pytest_saliency_sanity.explainers.random_masks import Track, mask_estimation, rise

__all__ = [
    "CONTROLS",
    "ArtificialDistancing",
    "DistancingWarning",
    "LargestAlpha",
    "NotDistanced",
    "Track",
    "cached_maps",
    "center_prior",
    "constant",
    "deconvnet",
    "gad",
    "gradcam",
    "gradient",
    "gradient_sobel_mixture",
    "guided_backprop",
    "guided_gradcam",
    "input_copy",
    "input_x_gradient",
    "input_x_sobel",
    "integrated_gradients",
    "laplacian",
    "largest_alpha",
    "local_deviation",
    "mask_estimation",
    "noise",
    "noisy_sobel",
    "occlusion",
    "rise",
    "smoothgrad",
    "sobel",
    "stale_model",
    "vargrad",
]
