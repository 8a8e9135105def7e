"""What networks are trained on: a pair of tensors or a map-style dataset, read once, checked, relabeled."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from pytest_saliency_sanity.outputs import unreadable
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.text import shown
from pytest_saliency_sanity.trained_networks.fingerprints import combined, tensor_fingerprint

_READ_TWICE = 3  # items that are read twice, to see whether they are drawn anew at each reading


@dataclass(frozen=True)
class TrainingSet:
    """Labeled samples in memory.

    Attributes:
        inputs: one (N, C, *S) tensor for each input of the model, on the CPU.
        packed: whether the model takes a tuple of inputs.
        labels: (N,) int64.
        source: the user's dataset, or None for a pair of tensors.
        relabeled: whether the labels differ from those of `source`.
        key: what identifies the data in a cache; "" means its content does.
    """

    inputs: tuple[Tensor, ...]
    packed: bool
    labels: Tensor
    source: Any = None
    relabeled: bool = False
    key: str = ""

    @property
    def classes(self) -> int:
        """The largest label plus one."""
        return int(self.labels.max()) + 1

    def with_labels(self, labels: Tensor) -> TrainingSet:
        """The same inputs with other labels."""
        return replace(self, labels=labels, relabeled=True)

    def dataset(self) -> Dataset[Any]:
        """The samples as a torch Dataset of (input, label), for a trainer of the user's own.

        Tensors are copies: a model that is trained on all of them at once may write into them.
        """
        if self.source is not None:
            return Relabeled(self.source, self.labels) if self.relabeled else self.source
        if self.packed:
            parts = [part.clone() for part in self.inputs]
            return Relabeled(list(zip(zip(*parts, strict=True), self.labels, strict=True)), self.labels)
        return TensorDataset(self.inputs[0].clone(), self.labels.clone())

    def fingerprint(self) -> str:
        """A hash of the samples and labels (or of `key` and the labels)."""
        samples = (self.key,) if self.key else tuple(tensor_fingerprint(part) for part in self.inputs)
        return combined(*samples, tensor_fingerprint(self.labels))


class Relabeled(Dataset[tuple[Any, int]]):
    """A map-style dataset with other labels.

    Attributes:
        source: the dataset whose inputs are kept.
        targets: (N,) int64, the labels that its items now have.
    """

    def __init__(self, source: Any, targets: Tensor) -> None:
        self.source, self.targets = source, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.source[index][0], int(self.targets[index])


def training_set(given: Any, key: str | None = None, tokens: bool = False) -> TrainingSet:
    """Read and check what the user calls the training set.

    Args:
        given: a pair (inputs, labels) of tensors or arrays, inputs (N, C, *S) or a tuple of such; or a map-style
            dataset of (input, label).
        key: identifies the data in a cache instead of its content.
        tokens: whether the inputs may be integers, as token ids are.

    Raises:
        TypeError, ValueError: one sentence with the value and the choices.
    """
    if key is not None and not (isinstance(key, str) and key):
        raise TypeError(f"key= must be a string that identifies the training set, not {shown(key)}")
    read = labeled(given, tokens)
    _check_permutable(read.labels)
    return replace(read, key=key or "")


def labeled(given: Any, tokens: bool = False) -> TrainingSet:
    """Read and check labeled samples, of however many classes: `given` and errors as of `training_set`."""
    is_pair = isinstance(given, tuple) and len(given) == 2
    read = _pair(*given) if is_pair else _indexed(given)
    _check_labels(read.labels, len(read.inputs[0]))
    _check_inputs(read.inputs, tokens)
    return read


def unlabeled(inputs: Tensor | np.ndarray) -> Tensor:
    """(N, C, *S) samples without labels, on the CPU.

    Raises:
        TypeError, ValueError: one sentence with the value and the choices.
    """
    read = _tensor(inputs)
    _check_inputs((read,))
    return read


def _pair(inputs: Any, labels: Any) -> TrainingSet:
    packed = isinstance(inputs, (tuple, list))
    parts = tuple(_tensor(part) for part in (inputs if packed else [inputs]))
    if not parts:
        raise ValueError("the training set's inputs are an empty tuple")
    return TrainingSet(parts, packed, _integers(labels))


def _indexed(given: Any) -> TrainingSet:
    if not (hasattr(given, "__getitem__") and hasattr(given, "__len__")) or isinstance(given, (str, dict)):
        advice = "; pass loader.dataset" if hasattr(given, "dataset") else ""
        raise TypeError(
            f"the training set must be a pair (inputs, labels) of tensors or a dataset with len() and [index], "
            f"not {type(given).__name__}{advice}"
        )
    if len(given) == 0:
        raise ValueError(f"the training set {type(given).__name__} is empty")
    items = [_item(given, index) for index in range(len(given))]
    _check_repeatable(given, items)
    columns = [_stacked(column) for column in zip(*(parts for parts, _ in items), strict=True)]
    packed = isinstance(given[0][0], (tuple, list))
    return TrainingSet(tuple(columns), packed, _integers([label for _, label in items]), source=given)


def _item(given: Any, index: int) -> tuple[tuple[Tensor, ...], Any]:
    try:
        item = given[index]
    except (IndexError, KeyError, TypeError) as error:
        if is_interruption(error):
            raise
        raise TypeError(
            f"the training set {type(given).__name__} cannot be indexed by {index}: {error!r}"
        ) from error
    if not (isinstance(item, (tuple, list)) and len(item) == 2):
        raise TypeError(
            f"each item of the training set must be (input, label); item {index} is {reprlib.repr(item)}"
        )
    parts = item[0] if isinstance(item[0], (tuple, list)) else (item[0],)
    return tuple(_tensor(part) for part in parts), item[1]


def _check_repeatable(given: Any, items: Sequence[tuple[tuple[Tensor, ...], Any]]) -> None:
    for index, (parts, _) in enumerate(items[:_READ_TWICE]):
        again = _item(given, index)[0]
        if not all(torch.equal(a, b) for a, b in zip(parts, again, strict=True)):
            raise ValueError(
                f"item {index} of the training set {type(given).__name__} changes each time it is read, so it "
                f"cannot be memorized; remove random transforms (augmentation)"
            )


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"the training set's inputs have several shapes: {sorted(shapes)[:3]}")
    return torch.stack(tuple(parts))


def _tensor(part: Any) -> Tensor:
    if isinstance(part, np.ndarray) and part.dtype.kind not in "fiub":
        raise TypeError(f"the training set's inputs must be floating point, not {part.dtype}")
    tensor = torch.from_numpy(np.ascontiguousarray(part)) if isinstance(part, np.ndarray) else part
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"the training set's inputs must be tensors or arrays, not {type(part).__name__}; "
            f"add a transform that makes tensors of images"
        )
    if reason := unreadable(tensor):
        raise TypeError(f"the training set's inputs must be tensors of numbers; this one is {reason}")
    return tensor.detach().cpu()


def _integers(labels: Any) -> Tensor:
    try:
        found = torch.as_tensor(labels if isinstance(labels, Tensor) else np.asarray(labels)).detach().cpu()
    except (TypeError, ValueError):
        raise TypeError(
            f"the training set's labels must be (N,) integers, not {reprlib.repr(labels)}"
        ) from None
    if found.ndim != 1 or found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise TypeError(
            f"the training set's labels must be (N,) integers, not {found.dtype} of shape {tuple(found.shape)}"
            f"{_several_labels(found)}"
        )
    return found.long()


def _several_labels(labels: Tensor) -> str:
    """What to do about several labels per image."""
    if labels.ndim != 2:
        return ""
    return (
        "; networks are trained on one label per image: choose one of several, such as labels[:, 0].long(), with "
        "forward=lambda model, inputs: model(inputs)[:, 0]"
    )


def _check_inputs(parts: Sequence[Tensor], tokens: bool = False) -> None:
    integers = [part.dtype for part in parts if not part.is_floating_point()]
    if integers and not tokens:
        raise TypeError(
            f"the training set's inputs must be floating point, normalized as the model expects, not {integers[0]}"
        )
    sizes = {len(part) for part in parts}
    if len(sizes) > 1:
        raise ValueError(
            f"the inputs of the training set hold {sorted(sizes)} samples; each must hold the same number"
        )
    wrong = sum(int((~part.isfinite()).sum()) for part in parts)
    if wrong:
        raise ValueError(f"the training set's inputs hold {wrong} values that are NaN or infinite")


def _check_labels(labels: Tensor, samples: int) -> None:
    if len(labels) != samples:
        raise ValueError(f"the training set has {samples} inputs and {len(labels)} labels")
    if samples and int(labels.min()) < 0:
        raise ValueError(f"label {int(labels.min())} in the training set; labels are 0, 1, 2, …")


def _check_permutable(labels: Tensor) -> None:
    samples = len(labels)
    present = len(torch.unique(labels))
    if present < 2:
        what = f"one class ({int(labels[0])})" if present else "no samples"
        raise ValueError(f"the training set has {what}; labels of at least 2 classes can be permuted")
    if samples < int(labels.max()) + 1:
        raise ValueError(
            f"the training set has {samples} samples for {int(labels.max()) + 1} classes; more samples than classes "
            f"are needed"
        )
