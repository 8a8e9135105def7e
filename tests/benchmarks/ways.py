"""`python -m tests.benchmarks.ways`: what each way to spend less saves, of those that are used and those that are not.

Each line names a way, prints what it saves where it can be used at all, and says whether the package uses it. One
thread, networks with random weights; ratios are medians of several turns in one process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from tests.benchmarks.bars import in_turn, seconds
from tests.benchmarks.model_sensitivity import Timed, setting
from tests.networks import EVALUATION

DEPTHS = {"upper": 2 / 3, "half": 1 / 2, "all": 0.0}  # the share of the blocks that are left below


def below() -> str:
    """Activations below the first block that changed are the same on every copy."""
    model, images = setting()
    few = images[:8]
    stages = [nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)]  # type: ignore[union-attr]
    stages += [getattr(model, f"layer{k}") for k in (1, 2, 3, 4)]
    times, reached = [], few
    with torch.no_grad():
        for stage in stages:
            times.append(median(seconds(partial(stage, reached)) for _ in range(5)))
            reached = stage(reached)
    forward = np.cumsum(times) / sum(times)
    whole = median(seconds(lambda: _gradient(model, few)) for _ in range(3))
    share = sum(times) / whole
    saved = share * float(
        np.mean([np.interp(left, np.arange(1, 6) / 5, forward) for left in DEPTHS.values()])
    )
    return (
        f"the forward pass below the first block that changed, once for all draws: at most {saved:.0%} of the "
        f"gradient's calls on ResNet-18 (the forward pass is {share:.0%} of a call). Not used: they are the user's own"
    )


def _gradient(model: nn.Module, images: Tensor) -> Tensor:
    images = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(images).amax(1).sum(), images)
    return found


def originals() -> str:
    """The forward pass of the originals is that of the logits."""
    explained = 16 * (1 + 3 * 5) + 8 * 3
    return (
        f"the forward pass of the originals, shared with that of the logits: 16 of {explained} maps are originals, so "
        f"{16 / 3 / explained:.1%} of the calls. Not used"
    )


def packed() -> str:
    """Maps of several draws in one ranking."""
    from pytest_saliency_sanity.statistics import rank

    maps = torch.randn(5, 16, 224 * 224)
    _, _, ratio, _ = in_turn(lambda: rank(maps.flatten(0, 1)), lambda: [rank(one) for one in maps], 5)
    return f"maps of five draws ranked at once: ×{ratio:.2f} as fast as one by one. Not used: it holds five draws' maps"


def one_sort() -> str:
    """Float32 values and their places in one integer."""
    from pytest_saliency_sanity.statistics.ranks import average_ranks

    maps = torch.randn(16, 224 * 224)
    _, _, ratio, _ = in_turn(lambda: average_ranks(maps), lambda: _by_argsort(maps.numpy()), 5)
    return f"ranks by one sort of values packed with their places: ×{ratio:.2f} as fast as by numpy's argsort. Used"


def _by_argsort(maps: np.ndarray) -> np.ndarray:
    from pytest_saliency_sanity.statistics.ranks import Ranking

    ranking = Ranking(maps.shape[1])
    ranks = np.empty_like(maps)
    for row, values in zip(ranks, maps, strict=True):
        order = values.argsort()
        row[order] = ranking._places_of(values[order])
    return ranks


def stacked() -> str:
    """Gradients of several copies of a small network at once, through torch.func."""
    found = []
    for name in ("mlp", "plain_cnn"):
        models, images = [EVALUATION[name]().eval() for _ in range(5)], torch.rand(8, 1, 28, 28)
        parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]

        def score(images: Tensor, own: Any, kept: Any, model: nn.Module = models[0]) -> Tensor:
            scores: Tensor = functional_call(model, (own, kept), (images,)).amax(1).sum()
            return scores

        at_once = partial(vmap(grad(score), in_dims=(None, 0, 0)), images, parameters, buffers)
        _, _, ratio, _ = in_turn(at_once, lambda images=images, models=models: _each(models, images), 9)
        found.append(f"×{ratio:.2f} ({name})")
    return (
        f"gradients of five copies of a small network at once, by torch.func.vmap: {', '.join(found)} as fast as one "
        f"by one. Not used: only the control's calls are the package's own"
    )


def _each(models: list[nn.Module], images: Tensor) -> None:
    for model in models:
        _gradient(model, images)


def large_layers() -> str:
    """Re-initializing and giving back 133 million weights."""
    import torchvision

    from pytest_saliency_sanity import check_model_sensitivity
    from pytest_saliency_sanity.explainers import gradient

    torch.manual_seed(0)
    model = torchvision.models.vgg11_bn(weights=None).eval()
    timed, images = Timed(partial(gradient), "gradient"), torch.randn(16, 3, 64, 64)
    began = time.perf_counter()
    check_model_sensitivity(timed, model, images, max_seconds=36_000)
    ratio = (time.perf_counter() - began) / timed.seconds
    return (
        f"large dense layers re-initialized and given back in one pass each (vgg11_bn, 133 million weights, images of "
        f"64×64): the whole check takes ×{ratio:.2f} of its calls. Used"
    )


WAYS: Mapping[str, Callable[[], str]] = {
    "below": below,
    "originals": originals,
    "packed": packed,
    "one_sort": one_sort,
    "stacked": stacked,
    "large_layers": large_layers,
}


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.only:
        print(f"{name}: {WAYS[name]()}", flush=True)


if __name__ == "__main__":
    main()
