"""The contract of an explainer: what has to hold before its maps can be judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.checks.conclusion import concluded
from pytest_saliency_sanity.checks.explanation import Breach, Maps, Meter, explain, stream_of
from pytest_saliency_sanity.checks.subject import Subject, held, subject
from pytest_saliency_sanity.errors import raise_unless_passed
from pytest_saliency_sanity.outputs import logits
from pytest_saliency_sanity.perturbations import Snapshot, changes, preserved, replayed
from pytest_saliency_sanity.statistics import is_constant, matched_similarity, rank
from pytest_saliency_sanity.verdict import Claim, Finding, Verdict

CLAIM = Claim("breaks its contract", "", ("stage", "detail", "statistic"), "contract")
_FIRST = 8  # images of the first batch
_SCALED = 0.9999  # rank correlation of maps of which one is the other, scaled
_ODD = 3  # size of the odd batch that the maps are compared with
_FORBIDDEN = ("weights", "buffers", "modes", "hooks", "modules", "requires_grad")


@dataclass(frozen=True)
class Examination:
    """The first maps of an explainer, and how it behaves when it is called again.

    Attributes:
        index: the images explained.
        maps: their maps.
        deterministic: whether a call with another random stream gave the same maps.
        repeated: (n,) rank correlation of a call with its replay on the same random stream.
        free: (n,) rank correlation of two calls on different random streams.
        constant: (n,) whether a map has one value everywhere.
    """

    index: Tensor
    maps: Maps
    deterministic: bool
    repeated: Tensor
    free: Tensor
    constant: Tensor


def check_contract(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    *,
    name: str | None = None,
    seed: int | None = None,
    profile: str | None = None,
    forward: Callable[..., Any] | None = None,
    input_shape: tuple[int, ...] | None = None,
) -> Verdict:
    """Whether an explainer keeps its contract: shape, finite, not constant, hands off the model, batch by batch.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S).
        model: the network; given back as it was.
        inputs: (N, C, *S) or a tuple of such; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's prediction.
        name: the explainer's name in messages.
        seed, profile: see `settings`.
        forward: forward(model, inputs) -> logits, for models that return something else.
        input_shape: (C, H, W) of the stand-in photographs.

    Returns:
        A verdict: error for a breach, fail for constant maps, else pass.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.
    """
    audited = subject(
        explainer, model, inputs, targets,
        name=name, seed=seed, profile=profile, forward=forward, input_shape=input_shape, limit=_FIRST,
    )  # fmt: skip
    began, meter = time.monotonic(), Meter()
    findings, exception, evidence = _kept(), None, {}
    try:
        with held(audited) as kept:
            examination = examine(kept, meter)
        findings = constant_findings(examination) or findings
        evidence = described(examination)
    except Breach as breach:
        findings, exception = (breach.finding,), breach.cause
    return concluded(
        Verdict(
            check="contract",
            explainer=audited.name,
            model=audited.model_name,
            claim=CLAIM,
            seed=audited.seed,
            findings=findings,
            notes=audited.notes,
            evidence={**evidence, "cost": meter.evidence(time.monotonic() - began)},
            exception=exception,
        )
    )


def assert_contract(
    explainer: Callable[..., Any], model: torch.nn.Module, inputs: Any = None, **options: Any
) -> Verdict:
    """`check_contract`, raising unless it passes.

    Raises:
        ExplainerContractError: for a breach, chained to the explainer's own exception.
        SanityCheckFailed: for constant maps.
    """
    __tracebackhide__ = True
    return raise_unless_passed(check_contract(explainer, model, inputs, **options))


def examine(audited: Subject, meter: Meter) -> Examination:
    """Explain the first images, watched, and again: on another stream, alone, in another batch.

    Raises:
        Breach: for everything that the contract forbids; what was changed has been undone.
    """
    index = torch.arange(min(_FIRST, audited.images))
    stream = stream_of(audited.seed, "images", 0)
    with preserved(audited.model, audited.snapshot) as snapshot:
        maps = explain(audited, meter, index, stream, watch_inputs=True)
        _check_unchanged(snapshot, audited)
        free = explain(audited, meter, index, stream_of(audited.seed, "free", 0))
        deterministic = bool((_distance(maps, free) <= _rounding(audited)).all())
        if deterministic:
            _check_batches(audited, meter, maps, stream)
            repeated = free = maps
        else:
            repeated = explain(audited, meter, index, stream)
        _check_unchanged(snapshot, audited)
    return Examination(
        index, maps, deterministic, _agreement(maps, repeated), _agreement(maps, free), constant_images(maps)
    )


def constant_images(maps: Maps) -> Tensor:
    """(n,) whether all maps of an image are constant."""
    return torch.stack([is_constant(part) for part in maps]).all(0).cpu()


def constant_findings(examination: Examination) -> tuple[Finding, ...]:
    """A fail when every map is constant."""
    if not examination.constant.all():
        return ()
    sentence = f"returns constant maps: one value everywhere on all {len(examination.index)} images"
    return (Finding("constant", "fail", sentence),)


def described(examination: Examination) -> dict[str, Any]:
    """The examination's numbers."""
    return {
        "deterministic": examination.deterministic,
        "repeated": float(examination.repeated.mean()),
        "free_runs_agree": float(examination.free.mean()),
        "constant_maps": int(examination.constant.sum()),
    }


def _kept() -> tuple[Finding, ...]:
    return (Finding("contract", "pass", "keeps its contract"),)


def _check_unchanged(snapshot: Snapshot, audited: Subject) -> None:
    """Breach when the explainer changed weights, modes or hooks; leaving `preserved` undoes it."""
    found = changes(snapshot)
    if "buffers" in found:
        moved = _moved_by_the_model(audited)
        found["buffers"] = tuple(name for name in found["buffers"] if name not in moved)
    for aspect in _FORBIDDEN:
        if found.get(aspect):
            raise Breach(
                f"contract.{aspect}", f"it changed the model's {aspect} ({_listed(found[aspect])}); undone"
            )


def _moved_by_the_model(audited: Subject) -> frozenset[str]:
    """The buffers that the model's own forward pass changes (a counter of calls): no explainer can help that."""
    with preserved(audited.model) as snapshot, torch.no_grad(), replayed(audited.seed):
        audited.model.eval()  # whatever mode the explainer has left it in
        logits(audited.model, audited.chosen(torch.arange(2)), audited.forward)
        return frozenset(changes(snapshot).get("buffers", ()))


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(name or "the model itself" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _check_batches(audited: Subject, meter: Meter, maps: Maps, stream: int) -> None:
    """One image alone, and an odd batch in another order, must get the maps that they had in the first batch.

    Raises:
        Breach: when a map depends on the rest of its batch by more than rounding.
    """
    batches = {"alone": [0], "in another batch and order": list(range(min(_ODD, len(maps[0]))))[::-1]}
    for how, rows in batches.items():
        before, again = (
            tuple(part[rows] for part in maps),
            explain(audited, meter, torch.tensor(rows), stream),
        )
        apart = float(_distance(before, again).max())
        if apart > _rounding(audited):
            if (_agreement(before, again) < _SCALED).any() and _keeps_its_place(audited, meter, maps, stream):
                return
            sentence = (
                f"its maps depend on the rest of the batch: {how}, an image's map is {apart:.0%} away "
                f"(relative distance) from its map in a batch of {len(maps[0])}"
            )
            raise Breach("contract.batch", sentence)


def _keeps_its_place(audited: Subject, meter: Meter, maps: Maps, stream: int) -> bool:
    """Whether a map depends on its place in the batch and the batch's size, and not on the other images.

    So it is with an explainer that seeds its own noise (`torch.manual_seed(0)`): in another place it draws other
    numbers. The first and the last image get new company, of the same number.
    """
    last = len(maps[0]) - 1
    for place, rows in ((0, [0, *[last] * last]), (last, [*[0] * last, last])):
        again = explain(audited, meter, torch.tensor(rows), stream)
        if float(_distance(*(tuple(part[[place]] for part in kind) for kind in (maps, again)))) > _rounding(
            audited
        ):
            return False
    return True


def _distance(left: Maps, right: Maps) -> Tensor:
    """(n,) Euclidean distance of the maps relative to the left one's length, the largest over the inputs."""
    return torch.stack(
        [
            _relative(a.flatten(1).cpu().double(), b.flatten(1).cpu().double())
            for a, b in zip(left, right, strict=True)
        ]
    ).amax(0)


def _relative(left: Tensor, right: Tensor) -> Tensor:
    gap, length = (left - right).norm(dim=1), left.norm(dim=1)
    return torch.where(gap == 0, 0.0, gap / length.clamp_min(torch.finfo(length.dtype).tiny))


def _rounding(audited: Subject) -> float:
    """The relative distance that the arithmetic of another batch size explains: .01 in single precision."""
    return min(30 * torch.finfo(audited.inputs[0].dtype).eps ** 0.5, 0.3)


def _agreement(left: Maps, right: Maps) -> Tensor:
    if left is right:
        return torch.ones(len(left[0]))
    return torch.stack([matched_similarity(rank(a), rank(b)) for a, b in zip(left, right, strict=True)]).mean(
        0
    )
