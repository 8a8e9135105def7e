"""Networks that are made once: what is dropped from memory, and whose turn it is."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_saliency_sanity.trained_networks import safekeeping, store
from pytest_saliency_sanity.trained_networks.fingerprints import combined
from pytest_saliency_sanity.trained_networks.networks import Network
from pytest_saliency_sanity.trained_networks.safekeeping import Making, TwinCacheWarning, kept
from pytest_saliency_sanity.trained_networks.store import entries
from pytest_saliency_sanity.trained_networks.support import Support
from tests.perturbations.state import state_of


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


# What was stored by another version, and does not fit half-way.


class OwnLoading(nn.Sequential):
    def load_state_dict(self, state: Any, *arguments: Any, **options: Any) -> Any:
        found = super().load_state_dict(state, *arguments, **options)
        raise KeyError("version")
        return found


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def other_state(change: str) -> dict[str, torch.Tensor]:
    state = {name: torch.full_like(tensor, 7) for name, tensor in network().state_dict().items()}
    if change == "shape":
        state["2.weight"] = torch.full((5, 3), 7.0)
    elif change == "missing":
        del state["2.bias"]
    elif change == "renamed":
        state["2.offset"] = state.pop("2.bias")
    elif change == "more":
        state["3.weight"] = torch.ones(1)
    return state


def stored_by_another_version(cache: Path, key: str, change: str) -> None:
    facts = {"note": "0", "cached": False}
    if change == "fields":
        facts["added"] = 1
    elif change == "no note":
        facts = {"seed": 3}
    store.save(cache, key, other_state(change), facts)


CHANGES = ["shape", "missing", "renamed", "more", "fields", "no note", "own loading"]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_a_load_that_fails_half_way_leaves_the_network_as_it_was(
    tmp_path: Path, change: str, training: bool
) -> None:
    """The object that is loaded into is the one that is trained then, from its own initial weights."""
    torch.manual_seed(0)
    model = network().train(training)
    if change == "own loading":
        model = OwnLoading(*model).train(training)
    key, seen = combined(change), []

    def train() -> Made:
        seen.append(state_of(model))
        return Made(model.eval())

    stored_by_another_version(tmp_path, key, change)
    before = state_of(model)
    making = Making(key, lambda: model, Made, train)
    with pytest.warns(
        TwinCacheWarning, match=rf"^the cached network {key} does not fit: .*; the network is trained"
    ):
        found = kept(making, OrderedDict(), cache=tmp_path)
    assert seen == [before] and found.model is model and not found.cached
    if change != "own loading":
        entry = store.load(tmp_path, key)
        assert all(torch.equal(entry.state[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("change", ["shape", "fields"])
def test_a_lazy_network_is_left_lazy(tmp_path: Path, change: str) -> None:
    model, key = nn.Sequential(nn.LazyLinear(3), nn.BatchNorm1d(3), nn.LazyLinear(2)), combined(change)
    stored_by_another_version(tmp_path, key, change)
    seen: list[bool] = []

    def train() -> Made:
        seen.append(all(layer.has_uninitialized_params() for layer in (model[0], model[2])))
        return Made(network())

    if change == "shape":  # that a lazy layer takes; the rest does not fit
        store.save(tmp_path, key, {**other_state(""), "1.weight": torch.ones(9)}, {"note": ""})
    with pytest.warns(TwinCacheWarning, match="does not fit"):
        kept(Making(key, lambda: model, Made, train), OrderedDict(), cache=tmp_path)
    assert seen == [True]


# The stored format.

FORMATS = {
    1: {
        "notes": ["facts", "facts_sha256", "format", "key", "sha256"],
        "Network": ["labels", "seed", "accuracy", "epochs", "seconds", "ended", "cached"],
        "Support": ["alpha", "agreement", "error", "epochs", "seconds", "cached"],
    },
}


def test_a_change_of_what_is_stored_needs_another_version(tmp_path: Path) -> None:
    """Add the new fields under a new number, and let `entries._FORMAT` be that number."""
    store.save(tmp_path, "a" * 32, {}, {})
    stored = {
        "notes": sorted(json.loads((tmp_path / f"{'a' * 32}.json").read_text())),
        **{
            kind.__name__: [field.name for field in fields(kind) if field.name != "model"]
            for kind in (Network, Support)
        },
    }
    assert FORMATS[entries._FORMAT] == stored
    assert len({repr(fields_of) for fields_of in FORMATS.values()}) == len(FORMATS)
    assert max(FORMATS) == entries._FORMAT


@pytest.mark.parametrize("kind", [Network, Support])
def test_facts_are_all_fields_but_the_model(kind: Any) -> None:
    values = {field.name: 1.0 for field in fields(kind) if field.name != "model"}
    assert kind(nn.Linear(1, 1), **values).facts() == values


def test_another_version_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    kept(making(0, trained), OrderedDict(), cache=tmp_path)
    monkeypatch.setattr(entries, "_FORMAT", entries._FORMAT + 1)
    with pytest.warns(TwinCacheWarning, match=r"has the format 1, not 2; the network is trained again$"):
        kept(making(0, trained), OrderedDict(), cache=tmp_path)
    assert kept(making(0, trained), OrderedDict(), cache=tmp_path).cached and trained == [0, 0]
