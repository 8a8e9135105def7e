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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.checks.insertion_deletion import check_insertion_deletion
from pytest_saliency_sanity.checks.localization import check_localization
from pytest_saliency_sanity.checks.occlusion_sensitivity import check_occlusion_sensitivity
from pytest_saliency_sanity.planted import PlantedImages, planted_images
from pytest_saliency_sanity.verdict import Verdict
from tests.calibration.tables import errors, matrix, overview, table
from tests.calibration.trials import Trial, run
from tests.planted import KINDS, planted_network

IMAGES = 32
SEEDS = (20, 21, 22, 23, 24)
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


def names(honest: Sequence[str]) -> list[str]:
    """The explainers that a check with these honest ones is tried on."""
    return list(dict.fromkeys([*honest, *HONEST, *FAULTY, *NEITHER]))


def main(given: argparse.Namespace) -> None:
    """Run the trials that the command line asks for, and print the tables."""
    scenes = Scenes(given.position, given.contrast)
    found: dict[str, list[Trial]] = {}
    for name in given.checks:
        check, honest, faulty = checks(scenes)[name]
        tried = given.explainers or names(honest)
        trials = run(check, tried, given.networks, given.seeds, given.jobs, scenes)
        print(f"{name}: {', '.join(given.networks)}; seeds {', '.join(map(str, given.seeds))}; {scenes}\n")
        print(table(trials, tried), "\n")
        print(matrix(trials, tried, given.networks), "\n")
        print(errors(trials, honest, honest, faulty), "\n")
        found[name] = trials
    print(overview(found))


def unmet(name: str, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that miss the bar: an honest explainer that does not pass, a faulty one that does."""
    _, honest, faulty = checks(Scenes())[name]
    missed = [trial for trial in trials if trial.explainer in honest and trial.outcome != "pass"]
    return missed + [trial for trial in trials if trial.explainer in faulty and trial.outcome == "pass"]


if __name__ == "__main__":
    from tests.calibration.command_line import add_publishing, published

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checks", nargs="*", default=list(checks(Scenes())))
    parser.add_argument("--networks", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--explainers", nargs="*", help="default: all")
    parser.add_argument("--position", default="anywhere", help="of the object: anywhere (default) or center")
    parser.add_argument("--contrast", type=float, default=0.8, help="of the distractors (default: 0.8)")
    parser.add_argument("--jobs", type=int, default=2)
    add_publishing(parser)
    choices = parser.parse_args()
    if not published("planted_images", choices):
        main(choices)
