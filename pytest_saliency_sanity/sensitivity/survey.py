"""The sample behind a verdict: similarities of images × draws at each depth, grown look by look.

    T_ik = s(E(f, x_i), E(f_k, x_i))    X_ik = mean over j != i of s(E(f, x_i), E(f_k, x_j))    N_i = replayed

Maps of the trained network are made and ranked once. Of a re-initialized network's maps only the similarities
are kept. Images come in chunks with a random stream each, so that an explainer that draws gets the same stream
on the trained and on the re-initialized network, however far the sample has grown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.batches import constant_images
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.perturbations import preserved
from pytest_saliency_sanity.sensitivity.comparisons import (
    ABSOLUTE,
    RANK,
    Similarities,
    by_rank,
    compared,
    compared_given,
    mean_over_inputs,
    of_kind,
)
from pytest_saliency_sanity.sensitivity.held_constant import HeldConstant
from pytest_saliency_sanity.statistics import (
    Ranks,
    few,
    figure,
    is_one_sided,
    matched_similarity,
    rank,
)

Hold = Callable[[Tensor, Maps], tuple[HeldConstant | None, ...]]


@dataclass(frozen=True)
class Sample:
    """What the statistics are computed from.

    Attributes:
        matched: (n, K) T.
        mismatched: (n, K) X.
        repeated: (n,) N, or (n, K) where it differs between draws.
    """

    matched: np.ndarray
    mismatched: np.ndarray
    repeated: np.ndarray


@dataclass
class Survey:
    """A growing sample of one explainer on one subject. Mutable: `originals` and `cells` fill as it grows.

    Attributes:
        chunks: the images of each chunk.
        one_sided: whether maps are compared over the union of their supports.
        replay: whether an original has to be repeated to know N (a replay of the first chunk differed).
        similarities: names of the paper's figures to compute as well, on the first chunk.
        hold: of the images at an index and their maps, what is held constant; None where nothing is.
        absolute: whether the maps are compared without their signs as well.
        shared: what it is called in the folder that the processes of a run share; "" where it is not shared.
    """

    chunks: tuple[Tensor, ...]
    one_sided: bool
    replay: bool
    similarities: tuple[str, ...] = ()
    hold: Hold | None = None
    absolute: bool = False
    shared: str = ""
    originals: list[Original] = field(default_factory=list)
    cells: dict[tuple[str, int, int], Cell] = field(default_factory=dict)

    def sample(self, depth: str, chunks: int, draws: int, kind: str = RANK) -> Sample:
        """The rectangle of the first `chunks` × `draws`, less the images whose original is constant."""
        rows = [
            [of_kind(self.cells[depth, chunk, draw].similarities, kind) for draw in range(draws)]
            for chunk in range(chunks)
        ]
        matched, mismatched = (
            np.concatenate([np.stack([cell[part] for cell in row], 1) for row in rows]) for part in (0, 1)
        )
        repeated = np.concatenate([original.repeated for original in self.originals[:chunks]])
        usable = ~np.concatenate([original.constant for original in self.originals[:chunks]])
        return Sample(matched[usable], mismatched[usable], repeated[usable])

    def complete(self, depths: Sequence[str]) -> tuple[int, int]:
        """(chunks, draws) of the largest rectangle that is filled at all of `depths`, draws first."""
        chunks = 1
        draws = self._filled_draws(depths, chunks)
        while chunks < len(self.originals) and self._filled_draws(depths, chunks + 1) >= max(draws, 1):
            chunks += 1
        return chunks, draws

    def _filled_draws(self, depths: Sequence[str], chunks: int) -> int:
        draws = 0
        while all((depth, chunk, draws) in self.cells for depth in depths for chunk in range(chunks)):
            draws += 1
        return draws

    def constant_share(self, depth: str) -> float:
        """The share of constant maps on the re-initialized networks at `depth`."""
        shares = [cell.constant for key, cell in self.cells.items() if key[0] == depth]
        return float(np.mean(shares)) if shares else 0.0

    def figures(self, depth: str) -> dict[str, float]:
        """The paper's figures at `depth`, averaged over the first chunk and its draws."""
        found = [cell.figures for key, cell in self.cells.items() if key[0] == depth and cell.figures]
        return {name: _mean_number(values[name] for values in found) for name in self.similarities if found}


@dataclass(frozen=True)
class Original:
    """The maps of one chunk on the trained network, ranked once.

    Attributes:
        maps: as returned, kept only where the paper's figures are asked for.
        ranks: for each input of the model.
        repeated: (n,) N.
        constant: (n,) whether the map of an image is constant.
        held: for each input of the model what is held constant; empty where nothing is.
        few: for each input of the model the ranks over few pixels, where something is held constant.
        sizes: the same of the absolute values, where they are compared.
    """

    maps: Maps
    ranks: tuple[Ranks, ...]
    repeated: np.ndarray
    constant: np.ndarray
    held: tuple[HeldConstant, ...] = ()
    few: tuple[Ranks, ...] = ()
    sizes: tuple[Ranks, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One chunk under one draw at one depth.

    Attributes:
        similarities: for each kind (n,) T and (n,) X.
        constant: the share of constant maps.
        figures: the paper's, where asked for.
    """

    similarities: Similarities
    constant: float
    figures: dict[str, float]


def survey(
    subject: Subject,
    first: Examination,
    similarities: tuple[str, ...] = (),
    hold: Hold | None = None,
    absolute: bool = False,
    shared: str = "",
) -> Survey:
    """A survey that starts from the maps that the contract was examined on.

    Args:
        hold: used for maps of one sign that can be replayed.
        shared: see `Survey`.
    """
    one_sided = all(is_one_sided(part) for part in first.maps)
    replay = not _replayed(first)
    held = hold if one_sided and not replay else None
    chunks = _chunks(subject, len(first.index))
    begun = Survey(chunks, one_sided, replay, similarities, held, absolute, shared)
    with preserved(subject.model, subject.snapshot):
        original = original_of(begun, first.index, first.maps, first.repeated.double().numpy())
    begun.originals.append(original)
    return begun


def explain_originals(subject: Subject, meter: Meter, begun: Survey, chunks: int) -> None:
    """Explain the trained network's images up to `chunks`."""
    for chunk in range(len(begun.originals), chunks):
        index, stream = begun.chunks[chunk], stream_of(subject.seed, "images", chunk)
        with preserved(subject.model, subject.snapshot):
            maps = explain(subject, meter, index, stream)
            again = explain(subject, meter, index, stream) if begun.replay else None
            original = original_of(begun, index, maps, _repeated(maps, again))
        begun.originals.append(original)


def _repeated(maps: Maps, again: Maps | None) -> np.ndarray:
    if again is None:
        return np.ones(len(maps[0]))
    pairs = zip(maps, again, strict=True)
    return mean_over_inputs(matched_similarity(rank(a), rank(b)) for a, b in pairs).double().numpy()


def fill(
    subject: Subject, meter: Meter, begun: Survey, key: tuple[str, int, int], targets: Tensor | None = None
) -> None:
    """Explain one chunk on the model in its present state, and keep how much of the original is left.

    Args:
        key: (depth, chunk, draw).
        targets: other targets than the subject's, one row per image.
    """
    if key in begun.cells:
        return
    index, stream = begun.chunks[key[1]], stream_of(subject.seed, "images", key[1])
    maps = explain(subject, meter, index, stream, targets)
    if key[1:] == (0, 0):
        observation.some_maps(subject, index, key[0], maps, targets)
    begun.cells[key] = cell_of(begun, begun.originals[key[1]], maps)


def chunks_for(begun: Survey, images: int) -> int:
    """How many chunks hold the first `images` images."""
    sizes = np.cumsum([len(chunk) for chunk in begun.chunks])
    return min(int(np.searchsorted(sizes, images)) + 1, len(sizes))


def retained(sample: Sample) -> float:
    """The retained fraction of a sample, without bounds; NaN where nothing could be retained."""
    repeated = sample.repeated.reshape(len(sample.matched), -1)
    scale = float((repeated - sample.mismatched).mean()) if len(repeated) else 0.0
    return float((sample.matched - sample.mismatched).mean()) / scale if scale > 0 else math.nan


def _chunks(subject: Subject, size: int) -> tuple[Tensor, ...]:
    """All images in chunks of `size`; a single image left over joins the chunk before it."""
    parts = list(torch.arange(subject.images).split(max(size, 2)))
    if len(parts) > 1 and len(parts[-1]) < 2:
        parts[-2:] = [torch.cat(parts[-2:])]
    return tuple(parts)


def _replayed(first: Examination) -> bool:
    return bool((first.repeated > 0.9999).all())


def original_of(begun: Survey, index: Tensor, maps: Maps, repeated: np.ndarray) -> Original:
    """The maps of a chunk on the trained network, ranked as the survey wants them."""
    ranks = tuple(rank(part, one_sided=begun.one_sided) for part in maps)
    held = begun.hold(index, maps) if begun.hold else ()
    known = tuple(one for one in held if one is not None) if all(held) else ()
    return Original(
        maps,
        ranks,
        repeated,
        constant_images(maps).numpy(),
        known,
        _few(maps) if known else (),
        _sizes(begun, maps),
    )


def _few(maps: Maps) -> tuple[Ranks, ...]:
    return tuple(rank(few(part), one_sided=True) for part in maps)


def _sizes(begun: Survey, maps: Maps) -> tuple[Ranks, ...]:
    return _few(tuple(part.abs() for part in maps)) if begun.absolute else ()


def cell_of(begun: Survey, original: Original, maps: Maps) -> Cell:
    """What is left of a chunk's maps in those of another network."""
    ranks = tuple(rank(part, one_sided=begun.one_sided) for part in maps)
    similarities = compared(original.ranks, ranks)
    if original.held:
        similarities |= compared_given(original.held, original.few, _few(maps))
    if begun.absolute:
        similarities[ABSOLUTE] = by_rank(original.sizes, _sizes(begun, maps))
    return Cell(
        similarities=similarities,
        constant=float(torch.stack([part.constant for part in ranks]).all(0).float().mean()),
        figures={name: paper_figure(name, original.maps, maps) for name in begun.similarities},
    )


def paper_figure(name: str, left: Maps, right: Maps) -> float:
    """One of the paper's figures, averaged over the images and the inputs of the model."""
    return _mean_number(figure(name, a, b).nanmean().item() for a, b in zip(left, right, strict=True))


def _mean_number(values: Iterable[float]) -> float:
    """The mean of those that are numbers; NaN if there are none (a figure that maps of this shape do not have)."""
    numbers = [value for value in values if not math.isnan(value)]
    return float(np.mean(numbers)) if numbers else math.nan
