"""`python -m tests.figures.distancing [--seeds 0 1 …] [--pictures DIR] [--digits FILE] [--search]`: GAD's tables.

Rodrigues, Boutry and Najman count on how many images GAD's hull is smaller than the original's (RC < 1, table 1), and
on how many hiding it changes the target's logit more, pixel by pixel, than hiding what the original's hull has beyond
it (RS, table 2). Here are both tables in their layout for digits, 4 against 9, and for faces against other pieces of
photographs, five methods and two architectures each, and where the directions agree with the paper. The pictures are
like its figure 6: both hulls over the least activated and over the misclassified images. `--search` looks for the
largest α that a support network still learns, which the paper leaves open.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw  # scikit-image, which the package needs, brings it
from scipy.ndimage import binary_erosion
from torch import Tensor, nn

from pytest_saliency_sanity import explainers, settings
from pytest_saliency_sanity.explainers import ArtificialDistancing, DistancingWarning, gad, largest_alpha
from pytest_saliency_sanity.explainers.gad import MIN_AGREEMENT
from pytest_saliency_sanity.perturbations.restoring.streams import stream
from pytest_saliency_sanity.relevance.distanced_hulls import Counts, Narrowed, counted, narrowed
from pytest_saliency_sanity.statistics.hulls import PAPER_SHARE, hulls
from tests.networks.pairs import PAIRS, TwoClasses, digits, faces, pair_accuracy, pair_network
from tests.networks.training import CACHE


def saliency(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    """The gradient's absolute values (Simonyan, Vedaldi and Zisserman)."""
    return explainers.gradient(model, inputs, targets).abs()


def noise(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Another one for every network and image, and of no meaning."""
    weights = float(next(model.parameters()).detach().double().sum()).hex()
    drawn = [
        torch.randn(image.shape, generator=stream(weights, float(image.sum()).hex())) for image in inputs
    ]
    return torch.stack(drawn)


METHODS: Mapping[str, Callable[..., Any]] = {
    "Saliency": saliency,
    "Deconvolution": explainers.deconvnet,
    "Gradient×Input": explainers.input_x_gradient,
    "Guided Backpropagation": explainers.guided_backprop,
    "Integrated Gradients": partial(explainers.integrated_gradients, steps=8),
    "Noise": noise,  # a control that the paper does not have: what the tables say of it, they say of nothing
}
# The paper's 10 are enough on 480 digits, in 150 steps. Of 200 faces 10 epochs are 70 steps, and VGG's agreement at
# α = 8 is .73; after 60 it is .94.
EPOCHS = {"4": 10, "face": 60}  # by the first class
NEARLY_ALL = 0.9  # share of the images
_CHUNK = 64

SHOWN, SCALE, GAP, CAPTION, HEADER = 5, 5, 8, 14, 30
ORIGINAL, GAD = (0, 110, 220), (225, 40, 40)


@dataclass(frozen=True, eq=False)
class Result:
    """One method on one network: hulls (N, H, W) and what hiding them does."""

    original: Tensor
    gad: Tensor
    found: tuple[Narrowed, ...]

    @property
    def rows(self) -> tuple[Counts, ...]:
        """Of both classes."""
        return counted(self.found, (0, 1))


@dataclass(frozen=True, eq=False)
class Experiment:
    """All methods on one network."""

    data: TwoClasses
    kind: str
    seed: int
    model: nn.Module
    scores: Tensor
    agreements: dict[float, float]
    results: dict[str, Result]

    @property
    def title(self) -> str:
        """The network and its data."""
        return f"{self.data.name}, {self.kind}, seed {self.seed}"


# The measurements.


def experiment(
    data: TwoClasses,
    kind: str,
    seed: int = 0,
    methods: Sequence[str] = tuple(METHODS),
    few: int | None = None,
    **options: Any,
) -> Experiment:
    """Both hulls of every image (or of a few of each class) and method, for its own class; options as of `gad`."""
    model, how = pair_network(kind, data, seed), {"epochs": EPOCHS[data.classes[0]], **options}
    data = data if few is None else data.first(few)
    made = {name: gad(METHODS[name], (data.images, data.labels), classes=(0, 1), **how) for name in methods}
    with torch.no_grad():
        scores = torch.cat([model(images) for images in data.images.split(_CHUNK)])
    results = {name: result(model, data, scores, explainer) for name, explainer in made.items()}
    agreements = next(iter(made.values())).agreements(model)
    return Experiment(data, kind, seed, model, scores, agreements, results)


def result(model: nn.Module, data: TwoClasses, scores: Tensor, explainer: ArtificialDistancing) -> Result:
    """The paper's hulls: of the half of the pixels that a map's absolute values are largest at."""
    original, own = (
        hulls(maps_of(one, model, data).abs(), share=PAPER_SHARE) for one in (explainer.base, explainer)
    )
    hidden = torch.zeros_like(data.images)
    return Result(original, own, narrowed(model, data.images, data.labels, scores, (original, own), hidden))


def maps_of(explainer: Callable[..., Any], model: nn.Module, data: TwoClasses) -> Tensor:
    """(N, H, W), summed over the channels."""
    chunks = zip(data.images.split(_CHUNK), data.labels.split(_CHUNK), strict=True)
    return torch.cat([explainer(model, *chunk).detach() for chunk in chunks]).sum(1)


# The tables.


def report(done: Experiment) -> str:
    """What the network is, and both tables."""
    trained, rest = pair_accuracy(done.model, done.data)
    agreements = ", ".join(_agreement(alpha, value) for alpha, value in done.agreements.items())
    counts = " and ".join(
        f"{int((done.data.labels == k).sum())} × {name}" for k, name in enumerate(done.data.classes)
    )
    return "\n".join([
        f"{done.title}: {counts}; accuracy {trained:.3f} on what it was trained on, {rest:.3f} on the rest",
        f"  agreement of the support networks: {agreements}",
        *table_of_areas(done),
        *table_of_sensitivities(done),
    ])  # fmt: skip


def _agreement(alpha: float, value: float) -> str:
    return f"α = {alpha:g} {value:.3f}{' (left out)' if value < MIN_AGREEMENT else ''}"


def table_of_areas(done: Experiment) -> Iterator[str]:
    """Table 1: on how many images GAD's hull is smaller, equal, larger; those without two hulls; and the mean RC."""
    yield from _heads(done, "Table 1 (RC)", ("< 1", "= 1", "> 1", "none", "mean"))
    for name, found in done.results.items():
        yield f"    {name:22}{''.join(map(_areas, found.rows))}"


def _areas(row: Counts) -> str:
    none = sum(row.areas[name] for name in ("infinite", "emptied", "neither"))
    numbers = "".join(f"{row.areas[name]:6}" for name in ("smaller", "equal", "larger"))
    return f" | {numbers}{none:6}{_number(row.change, 6, 2)}"


def table_of_sensitivities(done: Experiment) -> Iterator[str]:
    """Table 2: on how many images RS of GAD's hull is above that of the rest; those without a rest; and both means."""
    yield from _heads(done, "Table 2 (RS per 1,000)", ("GAD >", "≤", "none", "GAD", "rest"))
    for name, found in done.results.items():
        yield f"    {name:22}{''.join(map(_sensitivities, found.rows))}"


def _sensitivities(row: Counts) -> str:
    none = row.sensitivities["no rest"] + row.sensitivities["no hull"]
    numbers = "".join(f"{row.sensitivities[name]:6}" for name in ("more", "not more"))
    means = "".join(
        _number(None if value is None else 1000 * value, 6, 1) for value in (row.own, row.supplementary)
    )
    return f" | {numbers}{none:6}{means}"


def _heads(done: Experiment, title: str, columns: Sequence[str]) -> Iterator[str]:
    """The title and the classes, then the columns of each."""
    yield f"  {title:24}" + "".join(f" | {name:^30}" for name in done.data.classes)
    yield f"  {'':24}" + f" | {''.join(f'{column:>6}' for column in columns)}" * len(done.data.classes)


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'–':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def directions(done: Experiment) -> Iterator[str]:
    """Where the tables' directions agree with the paper's: one line a method."""
    for name, found in done.results.items():
        smaller = float(np.mean([one.area == "smaller" for one in found.found]))
        compared = [one.sensitivity == "more" for one in found.found if one.has_both_regions]
        more = float(np.mean(compared)) if compared else 0.0
        sizes = f"RC < 1 on {smaller:4.0%} ({_areas_agree(name, smaller)})"
        scores = f"RS larger on {more:4.0%} of {len(compared)} ({_agrees(name, more > 0.5, 'most')})"
        yield f"  {done.data.name + ', ' + done.kind:32} {name:22} {sizes}; {scores}"


def _areas_agree(name: str, smaller: float) -> str:
    """The paper has RC < 1 on nearly all images for all methods but Saliency, where it is mixed."""
    if name == "Saliency":
        return _agrees(name, 1 - NEARLY_ALL < smaller < NEARLY_ALL, "mixed")
    return _agrees(name, smaller >= NEARLY_ALL, "nearly all")


def _agrees(name: str, same: bool, paper: str) -> str:
    if name == "Noise":
        return "control"
    return f"{'agrees' if same else 'does not agree'}: {paper}"


# The pictures.


def least_activated(done: Experiment, count: int = SHOWN) -> list[int]:
    """The images whose own class has the lowest logits."""
    return _own_logits(done).argsort()[:count].tolist()


def misclassified(done: Experiment, count: int = SHOWN) -> list[int]:
    """The first images that are taken for the other class."""
    return (done.scores.argmax(1) != done.data.labels).nonzero()[:count, 0].tolist()


def _own_logits(done: Experiment) -> Tensor:
    return done.scores.gather(1, done.data.labels[:, None])[:, 0]


def sheet(done: Experiment) -> Image.Image:
    """A row for each image, a column for each method: the original's hull in blue, GAD's in red."""
    groups = {"least activated": least_activated(done), "misclassified": misclassified(done)}
    rows = [(group, number) for group, numbers in groups.items() for number in numbers]
    side = SCALE * done.data.images.shape[-1]
    columns, step = 1 + len(done.results), side + GAP
    page = Image.new("RGB", (columns * step + GAP, HEADER + len(rows) * (step + CAPTION)), "white")
    pen = ImageDraw.Draw(page)
    pen.text((GAP, 2), f"{done.title}: hulls of the original (blue) and of GAD (red)", "black")
    for column, name in enumerate(["", *done.results]):
        pen.text((GAP + column * step, 16), name.replace("×", " x "), "black")  # the font has no ×
    for row, (group, number) in enumerate(rows):
        top = HEADER + row * (step + CAPTION)
        pen.text((GAP, top), f"{group}: {_caption(done, number)}", "black")
        for column, picture in enumerate(_pictures(done, number)):
            page.paste(picture, (GAP + column * step, top + CAPTION))
    return page


def _caption(done: Experiment, number: int) -> str:
    names, label = done.data.classes, int(done.data.labels[number])
    read, logit = names[int(done.scores[number].argmax())], float(_own_logits(done)[number])
    return f"{names[label]}, read as {read}, its logit {logit:.2f}"


def _pictures(done: Experiment, number: int) -> Iterator[Image.Image]:
    plain = _gray(done.data.images[number, 0])
    yield Image.fromarray(plain)
    for found in done.results.values():
        picture = plain.copy()
        for mask, color in ((found.original[number], ORIGINAL), (found.gad[number], GAD)):
            picture[_outline(mask)] = color
        yield Image.fromarray(picture)


def _gray(image: Tensor) -> np.ndarray:
    """(H · SCALE, W · SCALE, 3) from white to black, as ink on paper."""
    low, high = image.min(), image.max()
    values = (200 * (image - low) / (high - low) + 40).byte().numpy()
    return np.repeat(_enlarged(values)[..., None], 3, 2)


def _enlarged(values: np.ndarray) -> np.ndarray:
    return values.repeat(SCALE, 0).repeat(SCALE, 1)


def _outline(mask: Tensor) -> np.ndarray:
    """The inner border of a region, two pixels wide; the sides of the frame count as outside."""
    large = _enlarged(mask.numpy())
    return large & ~binary_erosion(large, iterations=2)


def searched(done: Experiment) -> str:
    """The largest α of the network."""
    data, epochs = (done.data.images, done.data.labels), EPOCHS[done.data.classes[0]]
    found = largest_alpha(done.model, data, classes=(0, 1), epochs=epochs)
    tried = ", ".join(_agreement(alpha, value) for alpha, value in found.agreements.items())
    return f"  largest α in {epochs} epochs: {found.alpha:g}{' (the cap)' if found.capped else ''}; {tried}"


def main(
    seeds: Sequence[int], pictures: Path | None = None, file: Path | None = None, search: bool = False
) -> None:
    """Print both tables for each network, then the directions; `file` has digits to take in place of the project's."""
    began, lines = time.monotonic(), []
    warnings.simplefilter("ignore", DistancingWarning)  # the report says which are left out
    with settings.using(settings.Settings(cache=CACHE / "support", progress=None)):
        for seed in seeds:
            for data in (digits(file), faces()):
                for kind in PAIRS:
                    done = experiment(data, kind, seed)
                    print(report(done), *([searched(done)] if search else []), "", sep="\n", flush=True)
                    lines += directions(done)
                    if pictures:
                        sheet(done).save(pictures / f"{data.name}-{kind}-{seed}.png".replace(" ", "-"))
    print("Directions, as in the paper or not:", *lines, sep="\n")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--pictures", type=Path, help="a directory for the sheets")
    parser.add_argument("--digits", type=Path, help="an npz of MNIST, of which 256 fours and nines are taken")
    parser.add_argument("--search", action="store_true", help="look for the largest α")
    given = parser.parse_args()
    main(given.seeds, given.pictures, given.digits, given.search)
