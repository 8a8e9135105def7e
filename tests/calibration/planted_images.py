"""`python -m tests.calibration.planted_images`: false alarms and misses of the checks that ask what matters.

On the planted images it is known what matters: the object. Occlusion, integrated gradients and RISE have to pass the
checks of occlusion sensitivity, insertion and deletion, and localization; Sobel, noise and the center must not pass the
first and the last (curves of insertion and deletion cannot recognize an edge detector). Of integrated gradients the
curves take the absolute values: zeros in the place of single pixels, whatever their sign, break the object up, so that
the signed map is inconclusive at times. It is shown. Every seed has networks and images of its own; lines were chosen
on seeds 0 and 1, and to take sizes on 10 to 14 (one signed map of 15 stayed open there). `--position center` and
`--contrast 0.3` show what the center and Sobel are compared for.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity import (
    Verdict,
    check_insertion_deletion,
    check_localization,
    check_occlusion_sensitivity,
)
from pytest_saliency_sanity.planted import PlantedImages, planted_images
from tests.calibration.trials import Trial, errors, matrix, run, table
from tests.planted import KINDS, planted_network

IMAGES = 32
HONEST = ("occlusion", "integrated_gradients", "rise")
RANKED = ("occlusion", "absolute integrated_gradients", "rise")
FAULTY = ("sobel", "noise", "center_prior")
NEITHER = (  # shown, outside of the bar
    "gradient", "input_x_gradient", "smoothgrad", "gradcam", "guided_backprop",
    "input_copy", "input_x_sobel", "laplacian", "local_deviation",
)  # fmt: skip


@dataclass(frozen=True)
class Scenes:
    """Networks of some kind and seed, and planted images with one object position and contrast of the bars."""

    position: str = "anywhere"
    contrast: float = 0.8

    def __call__(self, network: str, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
        data = self.images(seed)
        return planted_network(network, seed), data.images, data.labels

    def images(self, seed: int) -> PlantedImages:
        """The images that networks of this seed explain."""
        return planted_images(IMAGES, seed, position=self.position, contrast=self.contrast)


def localization(
    scenes: Scenes, explainer: Any, model: nn.Module, images: Tensor, seed: int, **options: Any
) -> Verdict:
    """`check_localization` with the objects as regions."""
    regions = scenes.images(seed).masks
    return check_localization(explainer, model, images, regions=regions, seed=seed, **options)


def checks(scenes: Scenes) -> Mapping[str, tuple[Callable[..., Verdict], Sequence[str], Sequence[str]]]:
    """By name: the check, the explainers that have to pass it, and those that must not."""
    return {
        "occlusion_sensitivity": (check_occlusion_sensitivity, HONEST, FAULTY),
        "insertion_deletion": (check_insertion_deletion, RANKED, ()),
        "localization": (partial(localization, scenes), HONEST, FAULTY),
    }


def main(given: argparse.Namespace) -> None:
    scenes = Scenes(given.position, given.contrast)
    found: dict[str, list[Trial]] = {}
    for name in given.checks:
        check, honest, faulty = checks(scenes)[name]
        names = given.explainers or list(dict.fromkeys([*honest, *HONEST, *FAULTY, *NEITHER]))
        trials = run(check, names, given.networks, given.seeds, given.jobs, scenes)
        print(f"{name}: {', '.join(given.networks)}; seeds {', '.join(map(str, given.seeds))}; {scenes}\n")
        print(table(trials, names), "\n")
        print(matrix(trials, names, given.networks), "\n")
        print(errors(trials, honest, honest, faulty), "\n")
        found[name] = trials
    print(overview(found))


def overview(found: Mapping[str, Sequence[Trial]]) -> str:
    """A Markdown table, explainers × checks: how often each outcome was had over all networks and seeds."""
    names = dict.fromkeys(trial.explainer for trials in found.values() for trial in trials)
    lines = [f"| explainer | {' | '.join(found)} |", f"| --- |{' --- |' * len(found)}"]
    for name in names:
        cells = (_outcomes([t for t in trials if t.explainer == name]) for trials in found.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _outcomes(trials: Sequence[Trial]) -> str:
    counts = Counter(trial.outcome for trial in trials).most_common()
    return ", ".join(f"{count} {outcome}" for outcome, count in counts)


def unmet(name: str, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that miss the bar: an honest explainer that does not pass, a faulty one that does."""
    _, honest, faulty = checks(Scenes())[name]
    missed = [trial for trial in trials if trial.explainer in honest and trial.outcome != "pass"]
    return missed + [trial for trial in trials if trial.explainer in faulty and trial.outcome == "pass"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checks", nargs="*", default=list(checks(Scenes())))
    parser.add_argument("--networks", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[20, 21, 22, 23, 24])
    parser.add_argument("--explainers", nargs="*", help="default: all")
    parser.add_argument("--position", default="anywhere", help="of the object: anywhere (default) or center")
    parser.add_argument("--contrast", type=float, default=0.8, help="of the distractors (default: 0.8)")
    parser.add_argument("--jobs", type=int, default=2)
    main(parser.parse_args())
