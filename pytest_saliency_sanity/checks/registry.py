"""What the checks are, said once: their fixtures, their public names and their table come from these entries.

A new check is a module here that defines `check_<name>`, and an entry in `CHECKS`. Nothing is imported, so that
pytest's start and the package's names stay light.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True)
class Check:
    """One sanity check.

    Attributes:
        name: its module in this folder, and `Verdict.check`.
        assertion: the function that raises unless it passes, and the fixture of the same name; None if there is none.
        question: what it asks of an explainer.
        takes: the fields of a `Case` that it reads.
        columns: of its table of stages, what each heading holds, in their order.
        source: where the method was published.
        trains: whether it trains networks.
        needs: the fields of a `Case` without which it cannot be asked.
        path: "package.module:function" of a check of another package, or the function itself; "" for one of this
            folder.
        axiom: whether it asks for a property that only some methods claim to have; "all" then means those methods.
    """

    name: str
    assertion: str | None
    question: str
    takes: tuple[str, ...]
    columns: Mapping[str, str]
    source: str
    trains: bool = False
    needs: tuple[str, ...] = ("model",)
    path: str | Callable[..., Any] = ""
    axiom: bool = False

    @property
    def function(self) -> str:
        """The function that returns a verdict."""
        return f"check_{self.name}"

    @property
    def home(self) -> str:
        """Its module, within the package."""
        return f"checks.{self.name}"

    def load(self) -> Callable[..., Any]:
        """The function that returns a verdict, which it records; it imports torch."""
        if callable(self.path):
            return _recording(self.path, self.name)
        module, _, name = (self.path or f"{_PACKAGE}.{self.home}:{self.function}").partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return _recording(found, self.name) if self.path else found

    def load_assertion(self) -> Callable[..., Any]:
        """The function that raises unless the check passes."""
        from pytest_saliency_sanity.errors import asserting

        if not self.path:
            module = importlib.import_module(f"{_PACKAGE}.{self.home}")
            return getattr(module, str(self.assertion))  # type: ignore[no-any-return]
        return asserting(self.load(), str(self.assertion))


def _recording(check: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function of another package, whose verdict is recorded where it is asked for."""

    @functools.wraps(check)
    def recording(*args: Any, **options: Any) -> Any:
        from pytest_saliency_sanity.examination.conclusion import concluded
        from pytest_saliency_sanity.examination.planning import is_planned, of_another_package

        __tracebackhide__ = True
        if is_planned():
            return of_another_package(name, *args, **options)
        return concluded(check(*args, **options))

    return recording


def _axiom(name: str, assertion: str, source: str, question: str, *columns: tuple[str, str]) -> Check:
    """A check of a property that only some methods claim."""
    takes = ("model", "inputs", "targets", "channel_axis")
    return Check(name, assertion, question, takes, dict(columns), source, axiom=True)


_LABELED = ("model", "inputs", "targets", "labels")
CHECKS = (
    Check(
        name="model_sensitivity",
        assertion="assert_model_sensitive",
        question="does the map change when the weights are re-initialized, from the top layer down?",
        takes=(*_LABELED, "channel_axis", "embed"),
        columns={
            "depth": "how far down",
            "re-initialized": "the blocks with new weights",
            "retained": "the fraction of the map that is left: 1 unchanged, 0 no more than two images' maps share",
        },
        source="Adebayo et al. 2018, section 3",
    ),
    Check(
        name="data_sensitivity",
        assertion="assert_data_sensitive",
        question="does a network that memorized permuted labels get another map?",
        takes=("make_model", "train_set", "inputs", "targets", "labels", "channel_axis", "embed"),
        columns={
            "trained on": "what the compared network has learned",
            "rank correlation of two networks' maps": "on average, for each kind of pair",
            "retained": "the fraction of the agreement of two trained networks that is left",
        },
        source="Adebayo et al. 2018, section 4",
        trains=True,
        needs=("make_model", "train_set", "inputs"),
    ),
    Check(
        name="target_sensitivity",
        assertion="assert_target_sensitive",
        question="does another class get another map?",
        takes=(*_LABELED, "channel_axis", "embed"),
        columns={
            "stage": "what was changed",
            "explained instead": "how many other classes",
            "retained": "the fraction of the map that is left",
        },
        source="Sixt et al. 2020, section 5",
    ),
    Check(
        name="consistency",
        assertion="assert_consistent",
        question="do two runs with different random numbers agree (mean rank correlation above "
        "`min_agreement=0.5`)? A deterministic explainer passes with 1",
        takes=("model", "inputs", "targets", "channel_axis", "embed"),
        columns={
            "agreement": "how maps are compared",
            "of": "the runs",
            "value": "the mean over images and pairs of runs",
        },
        source="Thakur and Fischmeister",
    ),
    Check(
        name="parity",
        assertion="assert_parity",
        question="are the maps those of the last release, which a file (`reference=`) keeps: does their mean rank "
        "correlation exceed `min_agreement=0.99`? Or those of another explainer, up to what rounding explains?",
        takes=("model", "inputs", "targets", "channel_axis", "embed", "reference"),
        columns={
            "agreement": "how maps are compared",
            "with": "what they are compared with",
            "value": "the mean over images",
        },
        source="",
        needs=("model", "inputs", "reference"),
    ),
    Check(
        name="occlusion_sensitivity",
        assertion="assert_occlusion_sensitive",
        question="does hiding the region that the map points at lower the score more than hiding the same shape "
        "elsewhere, and more than hiding what an edge detector and the center point at?",
        takes=_LABELED,
        columns={
            "measure": "a percentile, or a lead over a rival that does not use the model",
            "how": "what was hidden",
            "value": "the mean over images",
        },
        source="Rodrigues, Boutry and Najman (GAD), equation 2",
        needs=("model", "inputs"),
    ),
    Check(
        name="insertion_deletion",
        assertion="assert_insertion_deletion",
        question="does the score fall as relevant pixels are deleted, more than for a random map of the same "
        "smoothness? With `min_insertion=` or `max_deletion=`: do the areas under RISE's curves meet these "
        "thresholds?",
        takes=_LABELED,
        columns={
            "measure": "an area under or between curves",
            "how": "the pixels' order, and what takes their place",
            "value": "the mean over images",
        },
        source="Petsiuk et al. 2018, section 4.3",
        needs=("model", "inputs"),
    ),
    Check(
        name="localization",
        assertion="assert_localized",
        question="do the map's highest pixels overlap the given regions (`regions=`, boxes or masks) more than "
        "those of the center and of random boxes do, or with a mean IoU of at least `min_iou=`; and more than "
        "those of an edge detector and of contrast?",
        takes=(*_LABELED, "regions"),
        columns={
            "measure": "an overlap, or a lead over a rival that does not use the model",
            "beside it": "what the map was compared with",
            "value": "the mean over images",
        },
        source="pointing game, Zhang et al. 2016; mass inside, Arras et al. 2022",
        needs=("model", "inputs", "regions"),
    ),
    Check(
        name="contract",
        assertion="assert_contract",
        question="are the maps finite, not constant and of the right shape; is the model left unchanged, and nothing "
        "left behind beside it; does each image get a map of its own, which does not depend on the rest of the batch?",
        takes=("model", "inputs", "targets", "channel_axis", "embed"),
        columns={"stage": "", "detail": "", "statistic": ""},
        source="",
    ),
    _axiom(
        "completeness",
        "assert_complete",
        "Sundararajan et al. 2017, section 3",
        "do the values of each map sum to the score of the image less that of the baseline (`baseline=`), the cost of "
        "the steps of an integral apart?",
        ("deviation", "of a map's sum, or what the steps of its integral cost"),
        ("how", "with how many steps"),
        ("relative", "the largest of all images, relative to the difference of the outputs"),
    ),
    _axiom(
        "linear_oracle",
        "assert_linear_oracle",
        "Sundararajan et al. 2017, section 4",
        "are the maps of linear networks w or (x - baseline) w, the only right ones?",
        ("known map", "what the map has to be"),
        ("compared", "on which networks"),
        ("distance", "the largest of all images, relative to the map"),
    ),
    _axiom(
        "ignored_input",
        "assert_ignored_input",
        "Sundararajan et al. 2017, section 4, sensitivity (b)",
        "do pixels that the model does not read get nothing?",
        ("on", "where"),
        ("of", "what is counted"),
        ("share", "the largest of all images"),
    ),
    _axiom(
        "implementation_invariance",
        "assert_implementation_invariant",
        "Sundararajan et al. 2017, section 2.2",
        "do two networks of the same function, differently written (`rewritten=`), get the same map?",
        ("compared", "what is compared"),
        ("written", "the second network"),
        ("distance", "the largest of all images, relative to the map"),
    ),
    _axiom(
        "input_shift",
        "assert_input_shift_invariant",
        "Kindermans et al. 2019, section 2",
        "does the map stay as it is when a constant is added to the inputs and the network takes it back?",
        ("compared", "what is compared"),
        ("shifted by", "the constant"),
        ("distance", "the largest of all images, relative to the map"),
    ),
    Check(
        name="distancing",
        assertion=None,
        question="do the maps that artificial distancing (`explainers.gad`) has narrowed down point at what matters?",
        takes=(*_LABELED,),
        columns={
            "measure": "a percentile, a lead, RC or RS",
            "counted": "on which images",
            "value": "the mean, or the share of images",
        },
        source="Rodrigues, Boutry and Najman (GAD), equations 1 and 2, tables 1 and 2",
        trains=True,
    ),
)
ASSERTED: Mapping[str, Check] = {check.assertion: check for check in CHECKS if check.assertion}
