"""Fingerprints are the same in every process, and change with whatever changes a training."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pytest_saliency_sanity.trained_networks.fingerprints import (
    code_fingerprint,
    combined,
    model_fingerprint,
    state_fingerprint,
    tensor_fingerprint,
    versions,
)

HELPERS = """
RATE = 0.1
NAMES = {"delta", "alpha", "gamma", "beta"}
def step(x):
    return x * RATE
def late(x):
    return x - 1
def unrelated():
    return 1
"""

TRAINER = """
import functools
import torch
from torch import nn
from dataclasses import dataclass
import zz_helpers
from zz_helpers import step

EPOCHS = 3
LAYERS = [4, 5]
SEEDS = frozenset({"one", "two", "three"})
WEIGHTS = torch.tensor([1.0, 2.0])
LOSS = nn.CrossEntropyLoss(label_smoothing=0.1)

@dataclass
class Options:
    rate: float = 0.5
    decay: float = 0.25

OPTIONS = Options()

class Base:
    def prepare(self, x):
        return x + 1

class Trainer(Base):
    momentum = 0.9

    def __init__(self, rate=0.1):
        self.rate = rate

    def fit(self, model):
        return self.prepare(step(model))

def closure(rate):
    def train(model):
        return model * rate
    return train

def inner():
    return 1

def train(model, rate=0.1, *, decay=0.2):
    def nested():
        class Local:
            size = 7
            def work(self):
                self.done = self.b = self.a = inner()
        return [inner() for _ in range(EPOCHS)], Local
    return step(model), nested, LAYERS, WEIGHTS, OPTIONS, SEEDS, LOSS

def by_attribute(model):
    return zz_helpers.step(model), zz_helpers.NAMES

def by_import(model):
    from zz_helpers import late as inside
    return inside(model)

@torch.no_grad()
def decorated(model):
    return inner()

@functools.lru_cache
def cached(model):
    return inner()

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

pair = (lambda x: x + 1), (lambda x: x + 2)
partial = functools.partial(train, rate=0.3)
method = Trainer(0.1).fit
closed = closure(0.1)
"""

SUBJECTS = (
    "train", "by_attribute", "by_import", "decorated", "cached", "even", "partial", "method", "closed", "Trainer",
    "OPTIONS", "pair",
)  # fmt: skip

Load = Callable[..., types.ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(trainer, helpers) imports the two as modules, each time from another directory."""
    count = itertools.count()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(trainer: str = TRAINER, helpers: str = HELPERS) -> types.ModuleType:
        directory = tmp_path / str(next(count))
        directory.mkdir()
        (directory / "zz_trainer.py").write_text(trainer)
        (directory / "zz_helpers.py").write_text(helpers)
        monkeypatch.syspath_prepend(directory)
        for name in ("zz_trainer", "zz_helpers"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module("zz_trainer")

    return load


def fingerprints(module: types.ModuleType) -> dict[str, str]:
    return {name: code_fingerprint(getattr(module, name)) for name in SUBJECTS}


def edited(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, (old, text.count(old))
    return text.replace(old, new)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


# Code: what does not count.


def test_another_path_other_lines_and_comments_do_not_count(load: Load) -> None:
    before = fingerprints(load())
    shifted = "# a comment\n" * 300 + edited(
        TRAINER, "def inner", "\n\n# news\n\ndef unused():\n    pass\n\ndef inner"
    )
    assert fingerprints(load(shifted, "\n\n" + HELPERS)) == before


def test_what_is_not_named_does_not_count(load: Load) -> None:
    before = fingerprints(load())
    assert fingerprints(load(helpers=edited(HELPERS, "return 1", "return 2"))) == before


@pytest.mark.parametrize("seed", ["77", pytest.param("1", marks=pytest.mark.extended)])
def test_it_is_the_same_in_processes_with_other_hashes(load: Load, tmp_path: Path, seed: str) -> None:
    expected = fingerprints(load())
    model = model_fingerprint(Net())
    script = f"""
        import sys; sys.dont_write_bytecode = True
        import zz_trainer
        from tests.trained_networks.test_fingerprints import Net, fingerprints
        from pytest_saliency_sanity.trained_networks.fingerprints import model_fingerprint
        junk = [object() for _ in range({{}})]
        print(fingerprints(zz_trainer) == {expected!r}, model_fingerprint(Net()) == {model!r})
    """
    path = os.pathsep.join([str(tmp_path / "0"), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script.replace("{}", seed))],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_an_import_within_a_function_counts_also_before_the_first_call(load: Load) -> None:
    trainer = "def train(x):\n    from zz_helpers import late\n    return late(x)\n"
    module = load(trainer)
    before = code_fingerprint(module.train)
    assert module.train(3) == 2 and code_fingerprint(module.train) == before
    assert code_fingerprint(load(trainer, edited(HELPERS, "x - 1", "x - 2")).train) != before
    missing = load(edited(trainer, "zz_helpers", "zz_missing"))
    assert code_fingerprint(missing.train) == code_fingerprint(missing.train) != before


def test_the_training_mode_and_addresses_do_not_count() -> None:
    net = Net()
    before = model_fingerprint(net)
    net.eval()
    assert model_fingerprint(net) == before == model_fingerprint(Net())


# Code: what does.


@pytest.mark.parametrize(
    "old, new, names",
    [
        pytest.param("def inner():\n    return 1", "def inner():\n    return 2",
                     {"train", "partial", "decorated", "cached"}, id="the body of a helper"),
        pytest.param("EPOCHS = 3", "EPOCHS = 4", {"train", "partial"}, id="a constant"),
        pytest.param("LAYERS = [4, 5]", "LAYERS = [5, 4]", {"train", "partial"}, id="a list"),
        pytest.param('{"one", "two",', '{"one", "zwei",', {"train", "partial"}, id="a set"),
        pytest.param("[1.0, 2.0]", "[1.0, 2.5]", {"train", "partial"}, id="a tensor"),
        pytest.param("smoothing=0.1", "smoothing=0.2", {"train", "partial"}, id="a loss"),
        pytest.param("Options()", "Options(0.6)", {"train", "partial", "OPTIONS"}, id="an object's attribute"),
        pytest.param("decay: float = 0.25", "decay: float = 0.2", {"train", "partial", "OPTIONS"}, id="a field"),
        pytest.param("model, rate=0.1", "model, rate=0.2", {"train", "partial"}, id="a default"),
        pytest.param("decay=0.2)", "decay=0.3)", {"train", "partial"}, id="a keyword's default"),
        pytest.param("size = 7", "size = 8", {"train", "partial"}, id="a nested class"),
        pytest.param("train, rate=0.3", "train, rate=0.4", {"partial"}, id="an argument of a partial"),
        pytest.param("Trainer(0.1)", "Trainer(0.2)", {"method"}, id="the object of a bound method"),
        pytest.param("momentum = 0.9", "momentum = 0.8", {"Trainer", "method"}, id="a class attribute"),
        pytest.param("return x + 1", "return x + 2", {"Trainer", "method"}, id="a method of a base class"),
        pytest.param("closure(0.1)", "closure(0.2)", {"closed"}, id="a closure's cell"),
        pytest.param("n != 0 and", "n > 0 and", {"even"}, id="a function of a cycle"),
        pytest.param("lambda x: x + 2", "lambda x: x + 3", {"pair"}, id="the second lambda of a line"),
        pytest.param("@torch.no_grad()", "@torch.enable_grad()", {"decorated"}, id="a decorator"),
    ],
)  # fmt: skip
def test_a_change_of_the_trainer_shows(load: Load, old: str, new: str, names: set[str]) -> None:
    before = fingerprints(load())
    assert changed(before, fingerprints(load(edited(TRAINER, old, new)))) == names


@pytest.mark.parametrize(
    "old, new, names",
    [
        ("x * RATE", "x / RATE", {"train", "partial", "by_attribute", "Trainer", "method"}),
        ("RATE = 0.1", "RATE = 0.2", {"train", "partial", "by_attribute", "Trainer", "method"}),
        ("x - 1", "x - 2", {"by_import"}),
        ('"delta"', '"epsilon"', {"by_attribute"}),
    ],
)
def test_a_change_of_the_users_module_shows(load: Load, old: str, new: str, names: set[str]) -> None:
    before = fingerprints(load())
    assert changed(before, fingerprints(load(helpers=edited(HELPERS, old, new)))) == names


def test_a_file_that_is_edited_after_its_import_counts_as_it_was_imported(load: Load, tmp_path: Path) -> None:
    module = load()
    before = fingerprints(module)
    (tmp_path / "0" / "zz_trainer.py").write_text(edited(TRAINER, "return n == 0", "return n == 1"))
    assert fingerprints(module) == before


def test_two_lambdas_of_a_line_differ(load: Load) -> None:
    first, second = load().pair
    assert code_fingerprint(first) != code_fingerprint(second)


def test_code_without_a_source_counts() -> None:
    def trainer(rate: str) -> Any:
        scope: dict[str, Any] = {}
        exec(
            f"def step(x):\n    return x * {rate}\nclass C:\n    def fit(self, x):\n        return step(x)",
            scope,
        )
        return scope["C"]

    assert code_fingerprint(trainer("2")) == code_fingerprint(trainer("2")) != code_fingerprint(trainer("3"))


def test_installed_functions_count_by_name() -> None:
    prints = [
        code_fingerprint(thing)
        for thing in (torch.relu, torch.tanh, nn.functional.mse_loss, nn.functional.l1_loss, nn.Linear, nn.Conv2d,
                      np.sin, np.cos, str.upper, str.lower, len, abs, torch.float32, torch.float64)
    ]  # fmt: skip
    assert len(set(prints)) == len(prints)


def test_slots_named_tuples_and_namespaces_count_by_value(load: Load) -> None:
    class Slotted:
        __slots__ = ("rate",)

        def __init__(self, rate: float) -> None:
            self.rate = rate

    for make in (
        Slotted,
        lambda rate: types.SimpleNamespace(rate=rate),
        lambda rate: {"rate": [rate, {rate}]},
    ):
        assert code_fingerprint(make(1)) == code_fingerprint(make(1)) != code_fingerprint(make(2))


def test_an_object_that_refers_to_itself_and_a_long_chain_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    chain: Any = None
    for _ in range(5_000):
        chain = functools.partial(print, [chain])
    assert code_fingerprint(loop) and code_fingerprint(chain)


def test_objects_without_a_value_count_by_their_type() -> None:
    assert code_fingerprint([object()]) == code_fingerprint([object()])
    assert code_fingerprint(np.array([object()])) == code_fingerprint(np.array([object()]))


# Tensors and states.


@pytest.mark.parametrize(
    "dtype",
    [torch.bfloat16, torch.float16, torch.float64, torch.complex64, torch.bool, torch.uint8, torch.int64],
)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3,), (2, 3)])
def test_tensors_of_all_kinds(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    ones, zeros = torch.ones(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
    assert re.fullmatch("[0-9a-f]{32}", tensor_fingerprint(ones))
    assert tensor_fingerprint(ones) == tensor_fingerprint(ones.clone())
    assert (tensor_fingerprint(ones) == tensor_fingerprint(zeros)) == (ones.numel() == 0)


def test_dtype_and_shape_count_and_strides_do_not() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    others = [tensor.reshape(3, 2), tensor.view(torch.int32), tensor.double(), tensor.T]
    assert len({tensor_fingerprint(part) for part in [tensor, *others]}) == 5
    assert tensor_fingerprint(tensor.T.contiguous().T) == tensor_fingerprint(tensor)
    conjugated = torch.tensor([1 + 2j]).conj()
    assert tensor_fingerprint(conjugated) == tensor_fingerprint(conjugated.resolve_conj())
    assert tensor_fingerprint(tensor.to_sparse()) == tensor_fingerprint(tensor)
    assert tensor_fingerprint(tensor.requires_grad_()) == tensor_fingerprint(tensor.detach())
    assert tensor_fingerprint(torch.empty(2, device="meta")) == tensor_fingerprint(
        torch.ones(2, device="meta")
    )


def test_a_state_is_its_names_tensors_and_other_values() -> None:
    one, two = torch.ones(2), torch.zeros(2)
    assert state_fingerprint({"a": one, "b": two}) == state_fingerprint({"b": two.clone(), "a": one})
    assert state_fingerprint({"a": one, "b": one}) == state_fingerprint({"a": one, "b": one.clone()})
    states = [{}, {"a": one}, {"b": one}, {"a": two}, {"a": one, "x": {"n": 1}}, {"a": one, "x": {"n": 2}}]
    assert len({state_fingerprint(state) for state in states}) == len(states)


# Models.


class Block(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu()


class Net(nn.Module):
    def __init__(self, rate: float = 0.1, activation: Any = nn.functional.relu, value: float = 0.5) -> None:
        super().__init__()
        self.rate, self.activation = rate, activation
        self.layer, self.block = nn.Linear(2, 2), Block()
        self.register_buffer("scale", torch.ones(1), persistent=False)
        nn.init.constant_(self.layer.weight, value)
        nn.init.zeros_(self.layer.bias)

    def extra_repr(self) -> str:
        return f"at {object()!r}"


def _frozen() -> nn.Module:
    net = Net()
    net.layer.weight.requires_grad_(False)
    return net


def _rescaled() -> nn.Module:
    net = Net()
    net.scale.mul_(2)
    return net


def _hooked() -> nn.Module:
    net = Net()
    net.block.register_forward_hook(lambda module, args, output: output * 2)
    return net


def test_what_a_model_is_made_of_counts() -> None:
    models = [
        Net(), Net(rate=0.2), Net(activation=nn.functional.gelu), Net(value=0.6), _frozen(), _rescaled(), _hooked(),
        nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Sequential(nn.LazyLinear(3)), nn.LazyLinear(3), nn.LazyLinear(4),
        nn.LSTM(2, 2), nn.Dropout(0.1), nn.Dropout(0.2),
    ]  # fmt: skip
    assert len({model_fingerprint(model) for model in models}) == len(models)
    assert model_fingerprint(nn.LazyLinear(3)) == model_fingerprint(nn.LazyLinear(3))
    assert model_fingerprint(_hooked()) == model_fingerprint(_hooked())


def test_the_code_of_a_users_module_counts(load: Load) -> None:
    text = "from torch import nn\nclass M(nn.Module):\n    def forward(self, x):\n        return x.relu()\n"
    before = model_fingerprint(nn.Sequential(load(text).M()))
    assert model_fingerprint(nn.Sequential(load("\n\n" + text).M())) == before
    assert model_fingerprint(nn.Sequential(load(edited(text, "relu", "tanh")).M())) != before


# Keys.


@dataclass
class _Any:
    pass


@given(st.lists(st.none() | st.text() | st.integers() | st.floats(allow_nan=False), max_size=4))
def test_a_key_is_short_and_the_same_again(parts: list[Any]) -> None:
    assert re.fullmatch("[0-9a-f]{32}", combined(*parts))
    assert combined(*parts) == combined(*list(parts)) != combined(*parts, "")


def test_keys_tell_order_and_types_apart_and_take_numpys_numbers() -> None:
    lists = [("ab",), ("a", "b"), ("b", "a"), (1,), ("1",), (1.0,), (None,), ("None",), ()]
    assert len({combined(*parts) for parts in lists}) == len(lists)
    assert combined(np.int64(5), np.float64(0.5), np.float32(0.5)) == combined(5, 0.5, 0.5)


def test_a_key_of_something_else_is_an_error() -> None:
    with pytest.raises(
        TypeError, match=r"^a key is made of str, int, float and None, not of _Any: .*_Any\(\)$"
    ):
        combined("a", _Any())


def test_the_keys_of_what_is_cached_stay() -> None:
    """Whoever changes one of these has everybody's networks trained again, and says so in CHANGELOG.md."""
    assert combined("a", 1, 2.5, None) == "53a0f965d571b358775cced1342f13b8"
    assert tensor_fingerprint(torch.arange(6.0).reshape(2, 3)) == "66eab76600562e58bf4710320e5a9f04"
    assert state_fingerprint({"w": torch.arange(3)}) == "2f777ebe4cdf6b2f143a7079131520d0"
    assert code_fingerprint((nn.Linear, {"rate": 0.5})) == "d32176a2a8b7d063ff08048170f20d04"


def test_versions_are_known_or_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = versions()
    assert list(found) == ["python", "torch", "numpy", "pytest-saliency-sanity"]
    assert found["python"] == "{}.{}".format(*sys.version_info) and found["numpy"] == np.__version__

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert versions()["torch"] == "unknown"
