"""`python -m tests.calibration.planted_images`: do explainers find the planted object, and what does hiding it do?

For each explainer: how much further the target's logit drops (with its sign) when the hull of its map is set to zero
than when the same shape is, elsewhere in the same image (mid-rank percentile among 39 placements), and the
intersection over union of the hull with the object's box. The spread is that of the seeds' means; each seed has a
network and images of its own. The last column is the percentile less that of Sobel's hulls on the same images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.explainers import (
    center_prior,
    gradient,
    guided_backprop,
    integrated_gradients,
    noise,
    occlusion,
    smoothgrad,
    sobel,
)
from pytest_saliency_sanity.planted import PlantedImages, planted_images
from pytest_saliency_sanity.statistics.hulls import TOP_SHARE, hulls, placements
from pytest_saliency_sanity.statistics.regions import as_masks, intersection_over_union
from tests.planted import planted_accuracy, planted_cnn

IMAGES = 32

Explainer = Callable[[nn.Module, Tensor, Tensor], Tensor]


def size_of(explainer: Explainer) -> Explainer:
    """The absolute values of an explainer's maps."""
    return lambda model, images, targets: explainer(model, images, targets).abs()


def distance_from_mean(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """|x − mean| in each image: ink."""
    return (images - images.mean((2, 3), keepdim=True)).abs()


EXPLAINERS: Mapping[str, Explainer] = {
    "occlusion": occlusion,
    "integrated gradients": size_of(integrated_gradients),
    "|gradient|": size_of(gradient),
    "SmoothGrad": size_of(smoothgrad),
    "guided backpropagation": size_of(guided_backprop),
    "noise": noise,
    "Sobel": sobel,
    "|x − mean|": distance_from_mean,
    "center": center_prior,
}


def trial(explainer: Explainer, model: nn.Module, data: PlantedImages, seed: int) -> Tensor:
    """(2, n) percentiles of an explainer's hulls among their placements, and their agreement with the boxes."""
    targets = predictions(model, data.images)
    torch.manual_seed(seed)  # noise and SmoothGrad draw from the global stream
    found = hulls(explainer(model, data.images, targets)[:, 0], share=TOP_SHARE)
    percentiles = [
        percentile(model, *one, seed=seed) for one in zip(data.images, targets, found, strict=True)
    ]
    regions = as_masks(data.boxes, tuple(found.shape))
    return torch.stack([torch.tensor(percentiles), intersection_over_union(found, regions)])


def percentile(model: nn.Module, image: Tensor, target: Tensor, hull: Tensor, seed: int) -> float:
    """The mid-rank of the logit's drop among the drops of the same shape elsewhere, 0 to 1."""
    masks = torch.cat([hull[None], placements(hull, seed=seed)])
    with torch.no_grad():
        logits = model(torch.cat([image[None], image * ~masks[:, None]]))[:, target]
    drops = logits[0] - logits[1:]
    below, equal = (drops[1:] < drops[0]).float(), (drops[1:] == drops[0]).float()
    return float((below + equal / 2).mean())


def predictions(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(1)


def main(seeds: int, contrast: float, position: str) -> None:
    results: dict[str, list[Tensor]] = {name: [] for name in EXPLAINERS}
    for seed in range(seeds):
        model, data = planted_cnn(seed), planted_images(IMAGES, seed, contrast=contrast, position=position)
        print(f"seed {seed}: accuracy {planted_accuracy(model, planted_images(400, seed + 100)):.3f}")
        for name, explainer in EXPLAINERS.items():
            results[name].append(trial(explainer, model, data, seed))
    print(f"\n{'explainer':24}{'percentile':>16}{'IoU':>8}{'over Sobel':>12}")
    for name, trials in results.items():
        print(row(name, torch.stack(trials), torch.stack(results["Sobel"])))


def row(name: str, trials: Tensor, rival: Tensor) -> str:
    """A line of the table, from (seeds, 2, n) of an explainer and of Sobel."""
    means = trials.mean(2)
    spread = means[:, 0].std() if len(means) > 1 else torch.tensor(float("nan"))
    lead = (trials[:, 0] - rival[:, 0]).mean()
    return f"{name:24}{means[:, 0].mean():9.2f} ± {spread:4.2f}{means[:, 1].mean():8.2f}{lead:12.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="networks and sets of images (default: 3)")
    parser.add_argument("--contrast", type=float, default=0.8, help="of the distractors (default: 0.8)")
    parser.add_argument("--position", default="anywhere", help="of the object: anywhere (default) or center")
    options = parser.parse_args()
    torch.set_num_threads(1)
    main(options.seeds, options.contrast, options.position)
