"""Networks that are made once: what is dropped from memory, and whose turn it is."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_saliency_sanity.twins import safekeeping, store
from pytest_saliency_sanity.twins.fingerprints import combined
from pytest_saliency_sanity.twins.safekeeping import Making, kept


@dataclass(frozen=True)
class Made:
    model: nn.Module
    note: str = ""
    cached: bool = False

    def facts(self) -> dict[str, Any]:
        return {"note": self.note, "cached": self.cached}


def making(number: int, trained: list[int], **options: Any) -> Making[Made]:
    def train() -> Made:
        trained.append(number)
        return Made(nn.Linear(1, 1), note=str(number))

    return Making(combined(number), lambda: nn.Linear(1, 1), Made, train, **options)


def test_the_least_recently_used_is_dropped_first() -> None:
    memory: OrderedDict[str, Made] = OrderedDict()
    trained: list[int] = []
    for number in (0, 1, 2, 0, 3):
        kept(making(number, trained), memory, cache=None, most=3)
    assert trained == [0, 1, 2, 3]
    assert [made.note for made in memory.values()] == ["2", "0", "3"]


def test_out_of_memory_and_out_of_the_cache_it_says_so(tmp_path: Path) -> None:
    trained: list[int] = []
    memory: OrderedDict[str, Made] = OrderedDict()
    first = kept(making(0, trained), memory, cache=tmp_path)
    again = kept(making(0, trained), memory, cache=tmp_path)
    loaded = kept(making(0, trained), OrderedDict(), cache=tmp_path)
    assert [made.cached for made in (first, again, loaded)] == [False, True, True]
    assert again.model is first.model
    assert torch.equal(loaded.model.weight, first.model.weight) and loaded.note == "0"
    assert not loaded.model.training and trained == [0]


def test_what_does_not_last_is_kept_nowhere(tmp_path: Path) -> None:
    trained: list[int] = []
    memory: OrderedDict[str, Made] = OrderedDict()
    for _ in range(2):
        kept(making(0, trained, lasting=lambda made: False), memory, cache=tmp_path)
    assert trained == [0, 0] and not memory and not list(tmp_path.glob("*.json"))


def test_one_process_at_a_time_trains_on_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is none here: the turn is taken for whatever is not the CPU."""
    taken: list[str] = []
    locked = store.locked

    def watched(directory: Path, key: str, timeout: float) -> Any:
        taken.append(directory.name)
        return locked(directory, key, timeout)

    monkeypatch.setattr(store, "locked", watched)
    monkeypatch.setattr(safekeeping.tempfile, "gettempdir", lambda: str(tmp_path))
    with safekeeping.turn(torch.device("cpu")):
        assert taken == []
    with safekeeping.turn(torch.device("cuda", 0)):
        assert len(taken) == 1
        with (
            pytest.raises(store.Busy),
            safekeeping.turn(torch.device("cuda", 0), time.monotonic()),
        ):
            pass
        with safekeeping.turn(torch.device("cuda", 1)):
            pass
