"""`python -m tests.calibration.libraries`: explainers of other libraries on the example's digit reader, in a table.

Each explainer is the library's own class, through its adapter. `--write` stores the outcomes and writes the table into
the manual; the default tests compare both, `extended` audits again and compares the outcomes. `--photographs` asks them
of EfficientNet-Lite0 with its ImageNet weights instead, by the profile `smoke` (`tests.calibration.photographs` says
what that needs).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pytest_saliency_sanity import Audit, Case, audit
from pytest_saliency_sanity.adapters import named
from tests.calibration import pages, photographs

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "libraries.json"
PAGE = ROOT / "docs" / "explanation" / "other_libraries.md"
CHECKS = (
    "contract",
    "model_sensitivity",
    "target_sensitivity",
    "occlusion_sensitivity",
    "insertion_deletion",
)
# By its name: options, and what the literature says of the method.
EXPLAINERS: dict[str, tuple[dict[str, Any], str]] = {
    "captum:Saliency": ({"abs": False}, "passes (Adebayo et al. 2018)"),
    "captum:InputXGradient": ({}, "keeps its input factor (Adebayo et al. 2018, appendix)"),
    "captum:IntegratedGradients": ({}, "keeps its input factor (Adebayo et al. 2018; Sundararajan & Taly 2018)"),
    "captum:DeepLift": ({}, "depends on the weights (Sixt et al. 2020)"),
    "captum:GuidedBackprop": ({}, "ignores upper layers (Adebayo et al. 2018; Nie et al. 2018)"),
    "captum:Deconvolution": ({}, "ignores upper layers (Mahendran & Vedaldi 2016; Nie et al. 2018)"),
    "captum:Occlusion": (
        {"sliding_window_shapes": [1, 4, 4], "strides": [1, 2, 2]},
        "asks the model alone (Zeiler & Fergus 2014)",
    ),
    "zennit:EpsilonPlus": ({}, "z⁺ rules converge to rank 1 (Sixt et al. 2020)"),
    "zennit:EpsilonPlusFlat": ({}, "z⁺ rules converge to rank 1 (Sixt et al. 2020)"),
    "grad-cam:GradCAM": ({}, "passes (Adebayo et al. 2018)"),
    "grad-cam:HiResCAM": ({}, "faithful for one linear layer behind it (Draelos & Carin 2020)"),
    "grad-cam:EigenCAM": ({}, "does not see the class (Muhammad & Yeasin 2020)"),
    "torchcam:LayerCAM": ({}, "positive gradients only (Jiang et al. 2021)"),
    "shap:GradientExplainer": ({"nsamples": 20}, "keeps its input factor, as integrated gradients"),
    "shap:DeepExplainer": ({}, "DeepLIFT's rules (Lundberg & Lee 2017)"),
}  # fmt: skip
SYMBOLS = {
    "pass": "✓",
    "fail": "**✗**",
    "inconclusive": "?",
    "error": "error",
    "refused": "–",
    "skipped": "·",
}


def case() -> Case:
    """The example's network, trained, and its held-out digits."""
    sys.path.insert(0, str(ROOT / "example_project"))
    try:
        from digit_reader.data import load_digits
        from digit_reader.training import train
    finally:
        sys.path.pop(0)
    held_out = load_digits("held_out")
    model = train(load_digits("train"))
    return Case(model=model.eval(), inputs=held_out.images[:64], labels=held_out.labels[:64])


# Of each library a few, whose maps of 224 x 224 pixels take seconds and not minutes, and two checks.
ON_PHOTOGRAPHS = (
    "captum:Saliency", "captum:GuidedBackprop", "zennit:EpsilonPlusFlat", "grad-cam:GradCAM", "grad-cam:EigenCAM",
    "torchcam:LayerCAM", "shap:GradientExplainer",
)  # fmt: skip
CHECKS_ON_PHOTOGRAPHS = CHECKS[:2]


def on_photographs(names: Sequence[str]) -> Audit:
    """These explainers on EfficientNet-Lite0 and eight photographs of ImageNet."""
    images, labels = photographs.photographs(8, seed=0)
    case = Case(model=photographs.classifier(), inputs=images, labels=labels)
    return audit(explainers(names), case, CHECKS_ON_PHOTOGRAPHS, profile="smoke", max_seconds=600.0)


def explainers(names: Sequence[str] | None = None) -> dict[str, Any]:
    """The libraries' classes with their options."""
    return {
        name: partial(named(name), **options) if options else named(name)
        for name, (options, _) in EXPLAINERS.items()
        if names is None or name in names
    }


def outcomes(found: Audit) -> dict[str, dict[str, Any]]:
    """By explainer and check: the outcome and the statistic, rounded."""
    table: dict[str, dict[str, Any]] = {}
    for one in found:
        statistic = one.verdict.statistic if one.verdict is not None else None
        table.setdefault(one.explainer, {})[one.check] = [
            one.outcome,
            None if statistic is None else round(statistic, 2),
        ]
    return table


def rendered(table: dict[str, dict[str, Any]], checks: Sequence[str] = CHECKS) -> str:
    """The table in Markdown."""
    head = " | ".join(check.replace("_", " ") for check in checks)
    lines = [f"| explainer | {head} | the literature |", f"|{' --- |' * (len(checks) + 2)}"]
    for name, row in table.items():
        cells = " | ".join(_cell(*row[check]) for check in checks)
        options = EXPLAINERS[name][0]
        shown = f"{name}{json.dumps(options)}" if options else name
        lines.append(f"| `{shown}` | {cells} | {EXPLAINERS[name][1]} |")
    return "\n".join(lines)


def _cell(outcome: str, statistic: float | None) -> str:
    return SYMBOLS[outcome] + ("" if statistic is None else f" {statistic:.2f}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.calibration.libraries", description=__doc__)
    parser.add_argument("--explainers", nargs="+", choices=EXPLAINERS, metavar="NAME")
    parser.add_argument(
        "--write", action="store_true", help="store the outcomes and write the table into the manual"
    )
    parser.add_argument("--photographs", action="store_true", help="on EfficientNet-Lite0 and photographs")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if given.photographs:
        found = on_photographs(given.explainers or ON_PHOTOGRAPHS)
        print(found)
        print(rendered(outcomes(found), CHECKS_ON_PHOTOGRAPHS))
        return
    found = audit(explainers(given.explainers), case(), CHECKS)
    table = outcomes(found)
    print(found)
    print(rendered(table))
    if given.write:
        RESULTS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        pages.write(PAGE, {"libraries": rendered(table)})


if __name__ == "__main__":
    main()
