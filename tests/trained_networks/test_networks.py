"""Networks: trained once, then taken from memory or from the cache, whatever happens on the way."""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_saliency_sanity.trained_networks import networks, store
from pytest_saliency_sanity.trained_networks.datasets import TrainingSet, training_set
from pytest_saliency_sanity.trained_networks.networks import Network, NotTrained, Recipe, network
from pytest_saliency_sanity.trained_networks.safekeeping import TwinCacheWarning
from pytest_saliency_sanity.trained_networks.training import Options

STREAM = torch.Generator().manual_seed(0)
IMAGES, LABELS = torch.rand(40, 1, 4, 4, generator=STREAM), torch.arange(40) % 2


def make_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 2))


def recipe(cache: Path | None = None, **options: Any) -> Recipe:
    kept = {
        "make_model": make_model,
        "train": None,
        "options": Options(max_epochs=60, batch_size=40, learning_rate=0.03),
        "forward": None,
        "cache": cache,
        "deadline": math.inf,
        "stream": None,
    }
    return Recipe(**{**kept, **options})


def data() -> TrainingSet:
    return training_set((IMAGES, LABELS))


def made(given: Recipe, seed: int = 5, samples: TrainingSet | None = None) -> Network:
    return network(given, samples or data(), "true", seed, "true labels, network 1 of 2")


def weights(found: Network) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in found.model.parameters()])


def files(directory: Path) -> set[str]:
    return {path.suffix for path in directory.iterdir()} - {"", ".TAG"}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    networks.forget()
    yield
    networks.forget()


def test_a_network_memorizes_and_says_how() -> None:
    found = made(recipe())
    assert found.accuracy >= 0.99 and found.ended == "accuracy" and not found.cached
    assert (found.labels, found.seed) == ("true", 5)
    assert 1 <= found.epochs <= 60
    assert not found.model.training
    assert set(found.facts()) == {"labels", "seed", "accuracy", "epochs", "seconds", "ended", "cached"}


def test_equal_seeds_give_equal_networks_and_the_global_streams_stay() -> None:
    state = torch.get_rng_state()
    first = made(recipe())
    networks.forget()
    assert torch.equal(weights(first), weights(made(recipe())))
    assert not torch.equal(weights(first), weights(made(recipe(), seed=6)))
    assert torch.equal(state, torch.get_rng_state())


def test_out_of_memory_then_out_of_the_cache(tmp_path: Path) -> None:
    first = made(recipe(tmp_path))
    assert made(recipe(tmp_path)).model is first.model
    networks.forget()
    again = made(recipe(tmp_path))
    assert again.cached and again.model is not first.model
    assert torch.equal(weights(first), weights(again))
    assert {**again.facts(), "cached": False} == first.facts()
    assert files(tmp_path) == {".json", ".safetensors"}


def another_trainer(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
    return model


def wider() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 25), nn.ReLU(), nn.Linear(25, 2))


@pytest.mark.parametrize(
    "changed",
    [
        {"options": Options(max_epochs=61, batch_size=40, learning_rate=0.03)},
        {"train": another_trainer},
        {"make_model": wider},
        {"forward": lambda model, inputs: model(2 * inputs)},
        {"seed": 6},
        {"samples": training_set((IMAGES, LABELS.roll(1)))},
        {"samples": training_set((2 * IMAGES, LABELS))},
    ],
    ids=["options", "trainer", "model", "forward", "seed", "labels", "images"],
)
def test_whatever_it_depends_on_trains_it_anew(tmp_path: Path, changed: dict[str, Any]) -> None:
    made(recipe(tmp_path))
    networks.forget()
    others = {key: changed.pop(key) for key in ("seed", "samples") if key in changed}
    assert not made(recipe(tmp_path, **changed), **others).cached
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_trainer_may_keep_a_log() -> None:
    """It changes what the trainer refers to, while it trains."""
    log: list[int] = []

    def train(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
        log.append(seed)
        return model

    given = recipe(train=train)
    made(given)
    assert made(given).cached
    assert log == [5]


@pytest.mark.parametrize("damage", ["truncated", "foreign", "pickle"])
def test_a_damaged_file_is_reported_and_made_anew(tmp_path: Path, damage: str) -> None:
    first = made(recipe(tmp_path))
    path = next(tmp_path.glob("*.safetensors"))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "foreign":
        path.write_bytes(b"something else")
    else:
        torch.save(first.model.state_dict(), path)
    networks.forget()
    with pytest.warns(TwinCacheWarning, match=rf"^{path.name} is not .*; the network is trained again$"):
        assert not made(recipe(tmp_path)).cached
    networks.forget()
    assert made(recipe(tmp_path)).cached


def test_a_network_that_ran_out_of_time_is_not_kept(tmp_path: Path) -> None:
    late = recipe(tmp_path, deadline=time.monotonic() + 1e-4)
    assert made(late).ended == "seconds"
    assert not list(tmp_path.glob("*.json"))
    assert not made(recipe(tmp_path)).cached


def test_a_network_that_is_too_small_is_kept(tmp_path: Path) -> None:
    """Else every run would try again for as long."""
    small = recipe(tmp_path, options=Options(max_epochs=1, batch_size=40))
    assert made(small).ended == "epochs"
    networks.forget()
    assert made(small).cached


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_training_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    def train(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
        raise error

    with pytest.raises(error):
        made(recipe(tmp_path, train=train))
    assert files(tmp_path) == set()
    with store.locked(tmp_path, "0" * 32, 0):
        pass


def test_where_nothing_may_be_trained(tmp_path: Path) -> None:
    with pytest.raises(NotTrained, match="true labels, network 1 of 2"):
        made(recipe(tmp_path, may_train=False))
    made(recipe(tmp_path))
    networks.forget()
    assert made(recipe(tmp_path, may_train=False)).cached


def test_waiting_too_long_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    loaded = store.load
    monkeypatch.setattr(store, "load", lambda directory, key: keys.append(key) or loaded(directory, key))
    made(recipe(tmp_path))
    networks.forget()
    with (
        store.locked(tmp_path, keys[0], 0),
        pytest.raises(store.Busy, match=r"another process holds .*; waited"),
    ):
        made(recipe(tmp_path, deadline=time.monotonic() + 0.2))


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file" / "below"
    (tmp_path / "file").write_text("")
    with (
        pytest.warns(TwinCacheWarning, match="networks are trained without a lock"),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", ".*the network is not cached")
        warnings.filterwarnings("ignore", ".*the network is trained again")
        assert made(recipe(blocked)).accuracy >= 0.99


def test_a_state_that_is_not_all_tensors(tmp_path: Path) -> None:
    class Odd(nn.Sequential):
        def get_extra_state(self) -> Any:
            return {"note": 1}

        def set_extra_state(self, state: Any) -> None:
            pass

    given = recipe(tmp_path, make_model=lambda: Odd(*make_model()))
    with pytest.warns(TwinCacheWarning, match="the network is not cached"):
        assert made(given).accuracy >= 0.99
    assert made(given).cached  # in memory


UNFIT = "make_model() must return an untrained torch.nn.Module, not str: 'net'"
RANGE = "label 2 of the training set is out of range; make_model() has 2 logits, for the classes 0 to 1"
LOST = "train(model, dataset, seed) must return the trained network, not NoneType"
SHAPE = "the network of make_model() raised RuntimeError for inputs of shape (2, 2, 4, 4): "


@pytest.mark.parametrize(
    "options, samples, error, sentence",
    [
        ({"make_model": lambda: "net"}, None, TypeError, UNFIT),
        ({"train": lambda model, dataset, seed: None}, None, TypeError, LOST),
        ({}, (IMAGES, torch.arange(40) % 3), ValueError, RANGE),
        ({}, (IMAGES.repeat(1, 2, 1, 1), LABELS), ValueError, SHAPE),
    ],
)
def test_bad_input(options: dict[str, Any], samples: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        made(recipe(**options), samples=samples and training_set(samples))


def test_cpu_threads_are_left_alone() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def train(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
        seen.append(torch.get_num_threads())
        return model

    made(recipe(train=train))
    made(recipe())
    assert seen == [before] and torch.get_num_threads() == before


def test_the_default_training_does_not_change_its_own_key(tmp_path: Path) -> None:
    """A progress bar keeps things on its class, and in an editable checkout our code is like the user's."""
    import io

    first = recipe(tmp_path, stream=io.StringIO())
    made(first)
    assert recipe(tmp_path, stream=io.StringIO()).code == first.code
