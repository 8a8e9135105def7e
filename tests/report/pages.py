"""Reports made by hand for the page: verdicts with pictures, plots and hostile names."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from pytest_saliency_sanity.report.album import Album
from pytest_saliency_sanity.report.comparison import Change
from pytest_saliency_sanity.report.document import Entry, Report
from pytest_saliency_sanity.report.page import written
from pytest_saliency_sanity.report.pictures import Picture
from tests.plugin.judging import made_stage
from tests.report.made import entry, report

DEPTHS = ("original", "head", "upper", "half", "all")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><script>alert(3)</script>",
    "' onmouseover='alert(4)",
    "javascript:alert(5)",
    "{{ 7 * 7 }}{% raw %}</style>",
    "--><svg onload=alert(6)>",
    "$x^2$ & &lt;b&gt; caf\udce9 😀",
)


@functools.cache
def pictures(images: int = 2, side: int = 16, seed: int = 0) -> tuple[Picture, ...]:
    """Inputs, maps at several depths and a region of random images."""
    random, album = np.random.default_rng(seed), Album()
    for image in range(images):
        album.add_input(image, 0, random.random((3, side, side)))
        for place in DEPTHS:
            album.add_map(image, 0, place, random.standard_normal((side, side)), "class 1")
        mask = np.zeros((side, side), bool)
        mask[2:6, 2:6] = True
        album.add_regions(image, "hull", [mask, mask.T])
    return album.pictures()


def pictured(outcome: str, counted: str | None = None, **changes: Any) -> Entry:
    """An entry with maps, curves and similarities, and a stage a depth."""
    random = np.random.default_rng(1)
    stages = tuple(
        made_stage({"pass": 0.1, "fail": 0.8}.get(outcome, 0.3), name=name, judged=name != "head")
        for name in DEPTHS[1:]
    )
    curves = {name: random.random((10, 29)).tolist() for name in ("most_first", "least_first")}
    alike = {"true–true": 0.8, "true–permuted": 0.1, "permuted–permuted": float("nan")}
    given: dict[str, Any] = {
        "evidence": {"curves": curves, "similarities": {"signed_spearman": alike}, "cost": {"total_seconds": 1.0}},
        "hint": "an edge detector", "notes": ("accuracy was not checked",),
        "replay": "pytest test_a.py --saliency-seed 0",
        **({} if outcome == "error" else {"stages": stages}),
    }  # fmt: skip
    shown = changes.pop("pictures", pictures())
    made = entry(outcome, counted, **{**given, **changes})
    return Entry(made.nodeid, made.verdict, made.number, made.counted, shown)


@functools.cache
def text(name: str) -> str:
    """The page of `whole` or of `hostile`."""
    return written({"whole": whole, "hostile": hostile}[name]())


def whole(**stated: Any) -> Report:
    """A report with one verdict of each kind, changes, and one that was lost."""
    entries = [
        pictured("fail"),
        pictured("pass", explainer="gradient", evidence={}),
        pictured("pass", explainer="gradient", evidence={}, check="target_sensitivity"),
        pictured("pass", explainer="gradient", evidence={}, nodeid="test_b.py::test_it", model="Other"),
        pictured("fail", "xfail", explainer="guided_backprop", evidence={}),
        pictured("inconclusive", explainer="noisy", evidence={}),
        entry("error", explainer="broken", replay="pytest test_a.py"),
        entry("error", "refused", explainer="cam", replay=""),
        entry("fail", "observed", explainer="seen", replay=""),
    ]
    worse = Change("regression", entries[0].key, "test_a.py::test_it: pass 0.10 → fail 0.80")
    gone = Change(
        "missing", ("test_gone.py::test_it", "contract", "old", "Net", 0), "test_gone.py::test_it: was pass"
    )
    return report(*entries, **{"changes": (worse, gone), "lost": ("one verdict did not arrive",), **stated})


def hostile() -> Report:
    """A report in which whatever a user can name tries to be more than text."""
    entries = [
        pictured(
            "fail", explainer=text, model=text, nodeid=f"test_a.py::test_it[{text}]", hint=text, notes=(text,),
            replay=text, check=f"check_{number}", evidence={text: text, "curves": {text: [[1.0, 0.5], [0.5, 0.0]]},
                                      "similarities": {text: {text: 0.5}},
                                      "metrics": {text: {"title": text, "source": text, "better": text, "value": 0.5}}},
            stages=(made_stage(0.8, name=text, detail=text, sentence=text),),
            pictures=tuple(
                Picture(one.image, f"{text}{one.place}", text, one.png, one.low, one.high, one.signed, one.kind)
                for one in pictures(1)[:3]
            ),
        )
        for number, text in enumerate(HOSTILE)
    ]  # fmt: skip
    changes = tuple(Change("regression", one.key, text) for one, text in zip(entries, HOSTILE, strict=True))
    return report(
        *entries, changes=changes, lost=HOSTILE, command=HOSTILE[0],
        settings={"seed": HOSTILE[0], "profile": HOSTILE[1]},
        environment={"python": HOSTILE[2], "packages": {HOSTILE[3]: HOSTILE[4]}},
    )  # fmt: skip


def many(explainers: int = 20, checks: int = 8) -> Report:
    """As large as a report gets: images of 64 pixels that do not compress, long curves, much evidence."""
    random = np.random.default_rng(0)
    curves = {name: random.random((64, 226)).tolist() for name in ("most_first", "least_first")}
    evidence = {"curves": curves, "regions": [{"image": number, "area": 0.5} for number in range(64)]}
    shown = pictures(images=4, side=64)
    return report(
        *(
            pictured(
                "fail",
                explainer=f"explainer_{explainer}",
                check=f"check_{check}",
                evidence=evidence,
                pictures=shown,
            )
            for explainer in range(explainers)
            for check in range(checks)
        )
    )
