"""The bar on planted images: what it counts as a miss, and the table that shows it."""

from __future__ import annotations

from tests.calibration.planted_images import unmet
from tests.calibration.tables import overview
from tests.calibration.trials import Trial


def trial(explainer: str, outcome: str, seed: int = 0) -> Trial:
    return Trial("plain", seed, explainer, outcome, "", {}, {}, 32, 1.0)


def test_what_misses_the_bar() -> None:
    honest, open_ = trial("occlusion", "pass"), trial("rise", "inconclusive")
    caught, missed = trial("sobel", "fail"), trial("noise", "pass")
    beside = trial("guided_backprop", "fail")
    trials = [honest, open_, caught, missed, beside]
    assert unmet("occlusion_sensitivity", trials) == [open_, missed]
    assert unmet("insertion_deletion", trials) == [open_]  # its curves cannot recognize who knows no model
    signed = trial("integrated_gradients", "inconclusive")
    assert unmet("insertion_deletion", [signed]) == []
    assert unmet("localization", [signed]) == [signed]


def test_the_table_counts_outcomes_by_check() -> None:
    found = {"one": [trial("sobel", "fail"), trial("sobel", "fail", 1), trial("sobel", "pass", 2)], "two": []}
    assert overview(found).splitlines()[2:] == ["| sobel | 2 fail, 1 pass |  |"]
