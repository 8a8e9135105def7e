"""Training sets: pairs of tensors and datasets, read once, relabeled, and refused in one sentence."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from pytest_saliency_sanity.trained_networks.datasets import training_set

IMAGES = torch.randn(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


class Pictures:
    """A map-style dataset of (input, label)."""

    def __init__(self, noise: float = 0.0, label: Any = int) -> None:
        self.noise, self.label = noise, label

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        if index >= len(IMAGES):
            raise IndexError(index)
        return IMAGES[index] + self.noise * torch.randn(1, 4, 4), self.label(LABELS[index])


@pytest.mark.parametrize(
    "given",
    [
        (IMAGES, LABELS),
        (IMAGES.numpy(), LABELS.numpy()),
        (IMAGES, LABELS.to(torch.int32)),
        (IMAGES, LABELS.tolist()),
        TensorDataset(IMAGES, LABELS),
        Pictures(),
        Pictures(label=lambda label: label.numpy()),
    ],
)
def test_pairs_and_datasets_are_read_alike(given: Any) -> None:
    read = training_set(given)
    assert torch.equal(read.inputs[0], IMAGES)
    assert torch.equal(read.labels, LABELS)
    assert (read.packed, read.classes) == (False, 3)
    assert read.fingerprint() == training_set((IMAGES, LABELS)).fingerprint()


def test_several_inputs() -> None:
    read = training_set(((IMAGES, IMAGES[:, 0, 0]), LABELS))
    assert read.packed and [tuple(part.shape) for part in read.inputs] == [(12, 1, 4, 4), (12, 4)]
    inputs, label = read.dataset()[2]
    assert torch.equal(inputs[1], IMAGES[2, 0, 0]) and label == 2


def test_the_fingerprint_changes_with_samples_labels_and_key() -> None:
    other = IMAGES.clone()
    other[3, 0, 0, 0] += 1
    sets = [
        training_set((IMAGES, LABELS)),
        training_set((other, LABELS)),
        training_set((IMAGES, LABELS.roll(1))),
        training_set((IMAGES, LABELS), key="digits"),
        training_set((IMAGES, LABELS), key="letters"),
    ]
    assert len({one.fingerprint() for one in sets}) == len(sets)
    assert training_set((other, LABELS), key="digits").fingerprint() == sets[3].fingerprint()


def test_a_trainer_sees_the_users_own_dataset_and_other_labels_in_it() -> None:
    pictures = Pictures()
    read = training_set(pictures)
    assert read.dataset() is pictures
    relabeled = read.with_labels(LABELS.roll(1)).dataset()
    assert len(relabeled) == 12
    assert torch.equal(relabeled[5][0], IMAGES[5])
    assert [relabeled[i][1] for i in range(12)] == LABELS.roll(1).tolist() == relabeled.targets.tolist()


def test_a_pair_becomes_a_tensor_dataset() -> None:
    dataset = training_set((IMAGES, LABELS)).with_labels(LABELS.roll(1)).dataset()
    batch = next(iter(DataLoader(dataset, batch_size=12)))
    assert torch.equal(batch[0], IMAGES) and torch.equal(batch[1], LABELS.roll(1))


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


class Unindexed(Pictures):
    def __getitem__(self, index: int) -> Any:
        raise KeyError("by name only")


ITEMS = [(torch.randn(1, 2, 2), 0), (torch.randn(1, 3, 3), 1), (torch.randn(1, 2, 2), 1)]


@pytest.mark.parametrize(
    "given, error, sentence",
    [
        (Stream(), TypeError, "a dataset with len() and [index], not Stream"),
        (DataLoader(Pictures()), TypeError, "not DataLoader; pass loader.dataset"),
        (
            Unindexed(),
            TypeError,
            "the training set Unindexed cannot be indexed by 0: KeyError('by name only')",
        ),
        (
            Pictures(noise=1.0),
            ValueError,
            "item 0 of the training set Pictures changes each time it is read",
        ),
        ([1, 2, 3], TypeError, "each item of the training set must be (input, label); item 0 is 1"),
        (ITEMS, ValueError, "inputs have several shapes: [(1, 2, 2), (1, 3, 3)]"),
        ([], ValueError, "the training set list is empty"),
        (
            (IMAGES, LABELS.float()),
            TypeError,
            "labels must be (N,) integers, not torch.float32 of shape (12,)",
        ),
        ((IMAGES, LABELS > 0), TypeError, "labels must be (N,) integers, not torch.bool"),
        ((IMAGES, ["a"] * 12), TypeError, "labels must be (N,) integers, not ['a'"),
        ((IMAGES, LABELS[:5]), ValueError, "the training set has 12 inputs and 5 labels"),
        ((IMAGES, LABELS - 1), ValueError, "label -1 in the training set"),
        ((IMAGES, LABELS * 0), ValueError, "one class (0); labels of at least 2 classes can be permuted"),
        ((IMAGES, LABELS * 10), ValueError, "12 samples for 21 classes; more samples than classes"),
        ((IMAGES > 0, LABELS), TypeError, "inputs must be floating point, normalized as the model expects"),
        (("a picture", LABELS), TypeError, "inputs must be tensors or arrays, not str"),
        (((), LABELS), ValueError, "inputs are an empty tuple"),
        (None, TypeError, "not NoneType"),
        ((IMAGES / 0, LABELS), ValueError, "inputs hold 192 values that are NaN or infinite"),
        (((IMAGES, IMAGES[:3]), LABELS), ValueError, "hold [3, 12] samples; each must hold the same number"),
    ],
)
def test_what_cannot_be_trained_on(given: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        training_set(given)


@pytest.mark.parametrize("key", ["", 3])
def test_a_key_is_a_text(key: Any) -> None:
    with pytest.raises(
        TypeError, match=re.escape(f"key= must be a string that identifies the training set, not {key!r}")
    ):
        training_set((IMAGES, LABELS), key=key)


def test_arrays_of_other_byte_order_and_stride() -> None:
    reversed_ = np.ascontiguousarray(IMAGES.numpy())[::-1]
    assert torch.equal(training_set((reversed_, LABELS)).inputs[0], IMAGES.flip(0))
