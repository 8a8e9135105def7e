"""Planted signals and tables are what they claim to be: balanced, reproducible, decided by what is masked."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from pytest_saliency_sanity import check_target_sensitivity
from pytest_saliency_sanity.explainers import gradient, sobel
from pytest_saliency_sanity.planted import WAVES, planted_signals, planted_tables
from pytest_saliency_sanity.statistics.regions import maximum_inside


def test_signals_have_shapes_dtypes_and_spans() -> None:
    data = planted_signals(200, seed=1, channels=2)
    assert data.signals.shape == (200, 2, 96) and data.signals.dtype == torch.float32
    assert data.labels.bincount().tolist() == [50] * 4
    for mask, (start, end) in zip(data.masks, data.spans.tolist(), strict=True):
        assert mask.nonzero().flatten().tolist() == list(range(start, end)) and end - start >= 12


def test_an_edge_detector_finds_plateaus_not_the_wave() -> None:
    data = planted_signals(200, seed=1)
    edges = sobel(None, data.signals, None)[:, 0]
    assert maximum_inside(edges[:, None], data.masks[:, None]).float().mean() < 0.1
    assert data.signals[:, 0][data.masks].abs().max() < 0.7 < data.signals.amax((1, 2)).min()


def test_without_contrast_there_are_no_plateaus() -> None:
    data = planted_signals(50, contrast=0)
    assert data.signals[:, 0][~data.masks].abs().max() < 0.2


@pytest.mark.parametrize("label, wave", list(enumerate(WAVES)))
def test_labels_count_the_waves(label: int, wave: str) -> None:
    data = planted_signals(80, seed=4, contrast=0)
    shown = [
        signal[0, start:end]
        for signal, (start, end) in zip(
            data.signals[data.labels == label], data.spans[data.labels == label], strict=True
        )
    ]
    halves = [tuple(part.mean().item() for part in one.tensor_split(2)) for one in shown]
    begins, ends = np.mean(halves, axis=0)
    expected = {"peak": (0.2, 0.2), "wave": (0.25, -0.25), "ripple": (0, 0), "ramp": (0.1, 0.3)}[wave]
    assert (begins, ends) == pytest.approx(expected, abs=0.11)


def test_rows_are_decided_by_the_block_that_the_switch_chooses() -> None:
    data = planted_tables(300, seed=2)
    assert data.rows.shape == (300, 16) and data.rows.dtype == torch.float32
    assert data.labels.bincount().tolist() == [100] * 3
    first, second = data.rows[:, 1:4].argmax(1), data.rows[:, 4:7].argmax(1)
    decided = torch.where(data.rows[:, 0] > 0, first, second)
    other = torch.where(data.rows[:, 0] > 0, second, first)
    assert (decided == data.labels).float().mean() > 0.98
    assert (other == data.labels).float().mean() < 0.02
    chosen = torch.where(data.rows[:, :1] > 0, torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6]))
    masks = torch.zeros(300, 16, dtype=torch.bool).scatter_(1, chosen, True)
    masks[:, 0] = True
    assert torch.equal(data.masks, masks)
    assert data.rows[:, 7:].std() > 1.8


@pytest.mark.parametrize("make", [planted_signals, planted_tables])
def test_equal_seeds_give_equal_data_and_no_global_state_is_touched(make) -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, again, other = (vars(make(30, seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])


@pytest.mark.parametrize(
    "make, options, sentence",
    [
        (planted_signals, {"count": 0}, "count must be 1 or more, got 0"),
        (planted_signals, {"length": 31}, "length must be 32 samples or more, got 31"),
        (planted_signals, {"channels": 0}, "channels must be 1 or more, got 0"),
        (planted_signals, {"contrast": 3}, "contrast must be between 0 and 2, got 3"),
        (
            planted_signals,
            {"waves": ("peak", "bump")},
            f"waves must be two or more different ones of {', '.join(WAVES)}, got ('peak', 'bump')",
        ),
        (planted_tables, {"count": 2.5}, "count must be 1 or more, got 2.5"),
        (planted_tables, {"classes": 1}, "classes must be 2 or more, got 1"),
        (planted_tables, {"features": 6}, "features must be 7 or more, got 6"),
        (planted_tables, {"contrast": -1}, "contrast must be between 0 and 10, got -1"),
    ],
)
def test_a_bad_option_is_named_with_its_choices(make, options, sentence) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make(**{"count": 2, **options})


def read_by(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    """The model, trained for a few seconds on these."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model.eval()


def test_a_small_network_reads_the_tables() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 3))
    train, held_out = planted_tables(1600, 10), planted_tables(200, 11)
    read_by(model, train.rows, train.labels)
    assert (model(held_out.rows).argmax(1) == held_out.labels).float().mean() > 0.9
    data = planted_tables(32, 12)
    shares = gradient(model, data.rows, data.labels).abs()
    assert (shares * data.masks).sum() / shares.sum() > 4 / 16
    assert check_target_sensitivity(gradient, model, data.rows, labels=data.labels).outcome == "pass"


@pytest.mark.extended
def test_a_small_network_reads_the_signals() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv1d(1, 16, 9, padding=4), nn.ReLU(), nn.Conv1d(16, 16, 9, padding=4), nn.ReLU(),
            nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(16, 4),
        )  # fmt: skip
    train, held_out = planted_signals(1600, seed=10), planted_signals(200, seed=11)
    read_by(model, train.signals, train.labels)
    assert (model(held_out.signals).argmax(1) == held_out.labels).float().mean() > 0.9
