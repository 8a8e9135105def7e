"""What model sensitivity does to the model: the cascade, a look at each copy, and the negated head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.audited.sharing import found_once
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter, OutOfBudget, Stopped
from pytest_saliency_sanity.loans import loan
from pytest_saliency_sanity.perturbations import Block, Step, cascading, coverage, negated_head
from pytest_saliency_sanity.perturbations.weights.addresses import holders, tensor_at, unwrapped
from pytest_saliency_sanity.sensitivity.growth import predicted, unusable
from pytest_saliency_sanity.sensitivity.interim_analyses import Measure, ends
from pytest_saliency_sanity.sensitivity.survey import Original, Survey
from pytest_saliency_sanity.sensitivity.suspicions import HEADLESS
from pytest_saliency_sanity.statistics import matched_similarity, rank

_PIXELS = 2**18  # input values on which copies are compared with the trained network: 2 to 8 images
_NEGATED = 1e-3  # relative distance within which -f counts as the negative of f


@dataclass(frozen=True)
class Cascade:
    """Top-down re-initialization of a model's blocks, as the perturbation of an audit.

    Attributes:
        blocks: in execution order.
        copies: what re-initialization did to the model at the shallowest and the deepest judged measure, by its
            name; it fills with the first draw. A control that measures a part of the depths adds the ends of that part.
        known: the same of all checks that share what they find out of the model, see `Subject.known`.
    """

    blocks: tuple[Block, ...]
    copies: dict[str, dict[str, Any]] = field(default_factory=dict)
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    @loan
    def __call__(
        self, subject: Subject, measures: Sequence[Measure], draw: int
    ) -> Iterator[Iterable[tuple[Measure, Tensor | None]]]:
        """Within the context, an iterator over `measures` that re-initializes the model as far as each asks."""
        by_count = {measure.blocks: measure for measure in measures}
        with cascading(
            subject.model,
            self.blocks,
            seed=subject.seed,
            draw=draw,
            depths=sorted(by_count),
            snapshot=subject.snapshot,
        ) as steps:
            both = ends(measures) if draw == 0 else ()
            yield ((self._looked_at(subject, step, by_count[step.index], both), None) for step in steps)

    def _looked_at(self, subject: Subject, step: Step, measure: Measure, both: Sequence[Measure]) -> Measure:
        if measure in both and measure.name not in self.copies:
            self.copies[measure.name] = found_once(
                self.known, measure.name, lambda: _examined_copy(subject, step, measure)
            )
        return measure


def _examined_copy(subject: Subject, step: Step, measure: Measure) -> dict[str, Any]:
    """What the re-initialization at this depth did to the model.

    Raises:
        Stopped: when the copy cannot show anything: unchanged, dead or not finite logits.
    """
    index = _few(subject)
    trained, now = subject.scores[index], predicted(subject, index)
    found = coverage(step, trained, now)
    if found.nan:
        raise Stopped(unusable(f"the logits at {measure.name!r} are not finite"))
    if torch.equal(trained, now):
        raise Stopped(unusable(f"re-initializing {measure.detail} changed no logit"))
    if found.dead == 1:
        raise Stopped(unusable(f"the logits at {measure.name!r} are the same for every image"))
    return asdict(found)


def head_negation(subject: Subject, meter: Meter, begun: Survey, blocks: Sequence[Block]) -> float | None:
    """Mean rank correlation of the maps of f and -f: -1 for an odd explanation of a logit. No draw, no seed."""
    original, index = begun.originals[0], begun.chunks[0]
    try:
        with negated_head(subject.model, blocks, snapshot=subject.snapshot):
            few = _few(subject)
            trained, now = subject.scores[few], predicted(subject, few)
            if (trained + now).norm() > _NEGATED * trained.norm():
                return None
            maps = explain(subject, meter, index, stream_of(subject.seed, "images", 0))
    except (ValueError, Stopped, OutOfBudget):
        return None
    return _still(begun, original, maps)


def kept_blocks(subject: Subject, meter: Meter, begun: Survey, blocks: Sequence[Block], among: range) -> int:
    """How many blocks from the top can be re-initialized before the first chunk's maps change.

    Args:
        among: from the number that was measured to keep them to the last one that may.
    """
    original, index = begun.originals[0], begun.chunks[0]
    known, *others = among
    if not others:
        return known
    try:
        with cascading(
            subject.model, blocks, seed=subject.seed, depths=others, snapshot=subject.snapshot
        ) as steps:
            for step in steps:
                maps = explain(subject, meter, index, stream_of(subject.seed, "images", 0))
                if _still(begun, original, maps) < HEADLESS:
                    break
                known = step.index
    except (Stopped, OutOfBudget):
        pass
    return known


def _still(begun: Survey, original: Original, maps: Maps) -> float:
    """Mean similarity of the maps on a copy with the original ones."""
    similar = [
        matched_similarity(a, rank(b, one_sided=begun.one_sided))
        for a, b in zip(original.ranks, maps, strict=True)
    ]
    return float(torch.stack(similar).mean())


def unused_notes(model: nn.Module, blocks: Sequence[Block]) -> tuple[str, ...]:
    """What a reader must know of weights that no logit depends on, and their share; nothing where there are none."""
    network = unwrapped(model)
    listed = {_memory(tensor_at(network, name)) for block in blocks for name in block.parameters}
    parameters = dict(network.named_parameters())
    unused = {name: p for name, p in parameters.items() if _memory(p) not in listed}
    share = sum(p.numel() for p in unused.values()) / sum(p.numel() for p in parameters.values())
    if not share:
        return ()
    shown = f"{share:.0%}" if share >= 0.01 else "less than 1%"
    return (
        f"{shown} of the weights ({_listed(_holding_only(unused, parameters))}) were not re-initialized, because "
        f"no logit depends on them on these images",
    )


def _memory(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.device, tensor.data_ptr(), tensor.numel()


def _holding_only(names: Iterable[str], among: Iterable[str]) -> list[str]:
    """The outermost modules that hold nothing else, and the other names as they are."""
    mixed = {path for name in set(among) - set(names) for path in holders(name)}
    return list(dict.fromkeys(next((p for p in holders(n) if p not in mixed), n) for n in names))


def _listed(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _few(subject: Subject) -> Tensor:
    """Two to eight images, by their size."""
    size = sum(part[0].numel() for part in subject.inputs)
    return torch.arange(min(max(2, min(8, _PIXELS // size)), subject.images))
