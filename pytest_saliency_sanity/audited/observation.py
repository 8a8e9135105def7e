"""An observer of the running check: what it explains becomes thumbnails at once, where pictures are asked for.

Where none are, each function here returns at once. An error of the observer is never one of the check: it becomes a
note. Nothing here draws a random number, and no tensor is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_saliency_sanity.layout import channels_first
from pytest_saliency_sanity.loans import Loan, holding
from pytest_saliency_sanity.report.album import IMAGES, Album
from pytest_saliency_sanity.report.pictures import ORIGINAL, Picture
from pytest_saliency_sanity.signals import is_interruption

if TYPE_CHECKING:
    import numpy as np

    from pytest_saliency_sanity.audited.subject import Subject


@dataclass
class Observer:
    """The album of the running check. Mutable: it fills, and notes the first error.

    Attributes:
        album: the thumbnails.
        failed: the first error, "" for none.
    """

    album: Album = field(default_factory=Album)
    failed: str = ""


_observer: ContextVar[Observer | None] = ContextVar("saliency_observer", default=None)


def observing(wanted: bool) -> Loan[None]:
    """Within this context, the maps of a check are observed if `wanted`."""
    return holding(_observer, Observer() if wanted else None)


def unobserved() -> Loan[None]:
    """Within this context nothing is observed: the control explainers' maps are not the explainer's."""
    return holding(_observer, None)


def is_observed() -> bool:
    """Whether there is an observer here: what only a picture needs has to be computed."""
    return _observer.get() is not None


def first_maps(subject: Subject, index: Tensor, maps: Sequence[Tensor]) -> None:
    """The images at `index`, and the maps of the model as it is."""
    if is_observed():
        _noting(lambda observer: _add_inputs(observer.album, subject, index))
        some_maps(subject, index, ORIGINAL, maps, subject.targets)


def some_maps(
    subject: Subject, index: Tensor, place: str, maps: Sequence[Tensor], targets: Tensor | None = None
) -> None:
    """The maps of the images at `index`, for each input of the model (n, *S).

    Args:
        targets: (N,) or (N, K) of all images, if they are to be said.
    """
    if is_observed():
        _noting(lambda observer: _add_maps(observer.album, subject, index, place, maps, targets))


def regions(subject: Subject, place: str, masks: Sequence[Tensor], caption: str = "") -> None:
    """Regions (n, H, W) bool of the first n images, one or two of each."""
    if is_observed():
        _noting(lambda observer: _add_regions(observer.album, subject, place, masks, caption))


def collected() -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """The pictures of the running check, and a note if the observer failed."""
    made: list[Picture] = []
    _noting(lambda observer: made.extend(observer.album.pictures()))
    observer = _observer.get()
    failed = observer.failed if observer is not None else ""
    return tuple(made), ((f"its pictures are incomplete: {failed}",) if failed else ())


def _noting(observe: Callable[[Observer], None]) -> None:
    observer = _observer.get()
    if observer is None:
        return
    try:
        observe(observer)
    except Exception as error:
        if is_interruption(error):
            raise
        observer.failed = observer.failed or f"{type(error).__name__}: {error}"


def _add_inputs(album: Album, subject: Subject, index: Tensor) -> None:
    for number, part in enumerate(subject.explained):
        few = channels_first(part[index[:IMAGES].to(part.device)], subject.channel_axis)
        for image, values in zip(_users(subject, index), few, strict=False):
            album.add_input(image, number, _numbers(values))


def _add_maps(
    album: Album, subject: Subject, index: Tensor, place: str, maps: Sequence[Tensor], targets: Tensor | None
) -> None:
    said = [""] * IMAGES if targets is None else _classes(targets, index)
    for number, part in enumerate(maps):
        for image, values, caption in zip(_users(subject, index), part[:IMAGES], said, strict=False):
            album.add_map(image, number, place, _numbers(values), caption)


def _add_regions(album: Album, subject: Subject, place: str, masks: Sequence[Tensor], caption: str) -> None:
    for row, image in enumerate(_users(subject, slice(None))):
        if all(row < len(mask) for mask in masks):
            album.add_regions(image, place, [mask[row].cpu().numpy() for mask in masks], caption)


def _users(subject: Subject, index: Tensor | slice) -> list[int]:
    """The first four of the images at `index`, by their numbers among the user's."""
    import torch

    order = torch.arange(subject.images) if subject.order is None else subject.order.cpu()
    chosen: list[int] = order[index if isinstance(index, slice) else index.cpu()][:IMAGES].tolist()
    return chosen


def _classes(targets: Tensor, index: Tensor) -> list[str]:
    if targets.ndim != 1:
        return [""] * IMAGES
    return [f"class {number}" for number in targets[index[:IMAGES].to(targets.device)].tolist()]


def _numbers(values: Tensor) -> np.ndarray:
    numbers: np.ndarray = values.detach().float().cpu().numpy()
    return numbers
