"""Are an explainer's maps those of the last release?"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.adapters import adapted
from pytest_saliency_sanity.audited import observation, provenance
from pytest_saliency_sanity.audited.conditions import OfRuns, takes
from pytest_saliency_sanity.audited.options import check_demands
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination import reference_maps
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.mean_stage import mean_stage
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.other_explainer import Against
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.reference_maps import Reference, Unreadable, reduced
from pytest_saliency_sanity.examination.single_analysis import Measured, explained, verdict_by
from pytest_saliency_sanity.statistics import is_one_sided, matched_similarity, rank
from pytest_saliency_sanity.text import name_of
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict

CLAIM = Claim(
    fails="gives other maps than the reference",
    measures="is",
    columns=("agreement", "with", "value"),
    code="changed",
    passed="unchanged",
)
OF_EXPLAINERS = Claim(
    fails="gives other maps than the reference",
    measures="is",
    columns=("measure", "from", "distance"),
    code="other_maps",
    passed="same_maps",
)
MIN_AGREEMENT = 0.99
IMAGES = 16
CREATE, FIX = "create", "fix"
_UPDATE = "--saliency-baseline-update"


@takes(OfRuns)
def check_parity(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    *,
    reference: Any = None,
    min_agreement: float = MIN_AGREEMENT,
    tolerance: float | None = None,
    **conditions: Unpack[OfRuns],
) -> Verdict:
    """Whether an explainer's maps of a fixed set of images are those of a reference: a file, or another explainer.

    *A file* has the maps of the last release: a refactoring may change explanations while every other check still
    passes. It is made by `--saliency-baseline-update=create` and replaced with `fix`; it has maps of at most 16 images,
    reduced to 64 pixels a side, and fingerprints of the model and the images. Both sides are reduced in the same way.
    An explainer that draws random numbers draws them from the same stream.

    *Another explainer* is the same method, computed otherwise: another library's, in another precision, on another
    device, compiled. Its maps have to be equal, up to what rounding explains: how far the reference's own maps move
    when each input and each weight changes by a unit in the last place is measured, and ten times that is allowed.
    For maps that lie further apart the hint says where, and what the one seems to be of the other.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S).
        model: the network; it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        reference: a file that ends in .safetensors; or a folder, in which each explainer has a file of its own; or
            another explainer, as `explainer`.
        min_agreement: of a file: the mean rank correlation (with its sign) that is needed, from 0 to 1.
        tolerance: of another explainer: the relative distance (Euclidean, of an image's map) that is allowed, from 0
            to 1; None means what rounding explains.
        **conditions: see `OfRuns`.

    Returns:
        The verdict, with one stage. For another explainer its statistic is the largest relative distance; of up to
        one image in eight a part of the map may lie further away, by up to 0.2, since where numbers are equal rounding
        decides which of them counts. Without a file it is a fail; with other weights, images, targets or another seed
        than the reference's it is inconclusive, since maps may differ then.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.
    """
    check_demands(min_agreement=min_agreement, **({} if tolerance is None else {"tolerance": tolerance}))
    began = time.monotonic()
    audited = subject(explainer, model, inputs, targets, limit=IMAGES, **conditions)
    if tolerance is not None and not _explains(reference):
        raise ValueError(
            "tolerance= belongs to a reference that is another explainer; a file is compared by min_agreement="
        )
    if _explains(reference):
        against = Against(adapted(reference), name_of(reference), tolerance)
        return verdict_by(
            "parity", OF_EXPLAINERS, audited, began, against.measured, load=Load(audited.images)
        )
    path = reference_maps.path_of(reference, audited.name)
    stored = _read(path)
    how = settings.current().references

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        maps = _maps(kept, meter)
        about = _about(kept, maps)
        if (CREATE in how and stored is None) or FIX in how:
            return Measured(findings=_written(path, Reference(maps, about)))
        if not isinstance(stored, Reference):
            raise AssertionError("a missing reference is an early finding")
        if other := stored.differences(about):
            return Measured(findings=_others(path, other))
        observation.some_maps(kept, torch.arange(kept.images), "reference", stored.maps)
        return Measured((_stage(stored.maps, maps, min_agreement),), hint=_hint(kept, stored))

    early = () if FIX in how or (CREATE in how and stored is None) else _missing(path, stored)
    return verdict_by("parity", CLAIM, audited, began, measure, early=early, load=Load(audited.images))


def _explains(reference: Any) -> bool:
    return callable(reference) or any(hasattr(reference, name) for name in ("attribute", "explain"))


assert_parity = asserting(check_parity, "assert_parity")


def _read(path: Path) -> Reference | Unreadable | None:
    try:
        return reference_maps.read(path)
    except FileNotFoundError:
        return None
    except Unreadable as error:
        return error


def _maps(kept: Subject, meter: Meter) -> Maps:
    chunks = explained(kept, meter, IMAGES)
    return tuple(reduced(torch.cat(parts)) for parts in zip(*chunks, strict=True))


def _about(kept: Subject, maps: Maps) -> dict[str, Any]:
    model = provenance.of_model(kept.model)
    return {
        "explainer": kept.name,
        "seed": kept.seed,
        "architecture": model["architecture"],
        "weights": model["weights"],
        "images": provenance.of_tensors(kept.inputs)["content"],
        "targets": provenance.of_tensors([kept.targets])["content"],
        "map shapes": [list(part.shape) for part in maps],
        "torch": torch.__version__,
        "device": model["device"],
    }


def _stage(before: Maps, now: Maps, line: float) -> Stage:
    pairs = [(a.float(), b.float()) for a, b in zip(before, now, strict=True)]
    one_sided = all(is_one_sided(part) for pair in pairs for part in pair)
    ranked = [(rank(a, one_sided=one_sided), rank(b, one_sided=one_sided)) for a, b in pairs]
    values = np.mean([matched_similarity(a, b).double().numpy() for a, b in ranked], axis=0)
    return mean_stage(
        "rank correlation", "the maps of the reference", "the rank correlation with the maps of the reference",
        np.asarray(values), line, limits=(-1.0, 1.0),
    )  # fmt: skip


def _missing(path: Path, stored: Reference | Unreadable | None) -> tuple[Finding, ...]:
    if stored is None:
        sentence = f"has no reference: there is no {path}; {_UPDATE}={CREATE} makes it{_alike(path)}"
        return (Finding("no_reference", "fail", sentence),)
    if isinstance(stored, Unreadable):
        return (Finding("unreadable_reference", "inconclusive", f"{stored}; {_UPDATE}={FIX} replaces it"),)
    return ()


def _alike(path: Path) -> str:
    """Where the folder has a file of nearly this name: perhaps only the explainer's options are others."""
    present = [one.name for one in path.parent.glob(f"*{reference_maps.SUFFIX}")]
    near = difflib.get_close_matches(path.name, present, n=1, cutoff=0.5)
    if not near:
        return ""
    return f". There is {near[0]}: if only the options were changed, pass name= so that one file serves both"


def _others(path: Path, other: list[str]) -> tuple[Finding, ...]:
    sentence = f"the reference {path} was made with {', '.join(other)}; {_UPDATE}={FIX} replaces it"
    return (Finding("other_reference", "inconclusive", sentence),)


def _written(path: Path, reference: Reference) -> tuple[Finding, ...]:
    reference_maps.write(path, reference)
    return (Finding("new_reference", "pass", f"its maps are the reference from now on: {path}"),)


def _hint(kept: Subject, stored: Reference) -> str:
    versions = stored.about.get("torch"), torch.__version__
    if versions[0] == versions[1]:
        return ""
    return f"the reference was made with torch {versions[0]}, and this is {versions[1]}"
