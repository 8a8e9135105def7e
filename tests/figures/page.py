"""`python -m tests.figures.page` draws what a reviewer sees: the top of the page of --saliency-html, by Chromium.

The example's network, which reads digits, and three explainers of it: the gradient, which passes, and guided
backpropagation and an edge detector, which do not.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from pytest_saliency_sanity import Verdict, check_model_sensitivity, check_target_sensitivity
from pytest_saliency_sanity.explainers import gradient, guided_backprop
from pytest_saliency_sanity.explainers.controls import sobel
from pytest_saliency_sanity.report.document import Entry, Report, sorted_report
from pytest_saliency_sanity.report.environment import environment
from pytest_saliency_sanity.report.page import written
from tests import browser

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pictures" / "page.png"
WIDTH, HEIGHT = 1000, 1130
COLORS = 256


def report() -> Report:
    """Two checks of each explainer."""
    sys.path.insert(0, str(ROOT / "example_project"))
    from digit_reader.data import load_digits
    from digit_reader.training import train

    held_out, model = load_digits("held_out"), train(load_digits("train"))
    given = {"inputs": held_out.images[:64], "labels": held_out.labels[:64], "seed": 0, "pictures": True}
    entries = [
        entry(check(explain, model, **given))
        for explain in (gradient, guided_backprop, sobel)
        for check in (check_model_sensitivity, check_target_sensitivity)
    ]
    return sorted_report(entries, settings={"seed": 0, "profile": "ci"}, environment=environment())


def entry(verdict: Verdict) -> Entry:
    """The verdict as one of a test."""
    nodeid = f"tests/test_explanations.py::test_{verdict.check}[{verdict.explainer}]"
    return Entry(nodeid, verdict, 0, verdict.outcome, verdict.pictures)


def drawn(text: str) -> Image.Image:
    """The top of the page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "page.html"
        file.write_text(text, encoding="utf-8")
        with browser.started(browser.needed(), Path(folder)) as found:
            found.open(file, WIDTH, HEIGHT)
            return Image.open(io.BytesIO(found.screenshot())).convert("RGB")


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    drawn(written(report())).quantize(COLORS).save(given.out, optimize=True)
    print(f"{given.out.name}: {given.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
