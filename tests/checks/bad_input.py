"""Bad input of many kinds, as (argument, value): each gets a sentence or a verdict, and never passes."""

from __future__ import annotations

import datetime
import math
import types
import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.explainers import gradient
from tests.checks.models import cnn, images

N, SHAPE = 8, (1, 12, 12)


class Returns(nn.Module):
    """Returns what `of` makes of the logits of a small network."""

    def __init__(self, of: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layers, self.of = cnn(), of

    def forward(self, x: Tensor) -> Any:
        return self.of(self.layers(x))


class Raises(nn.Module):
    """Raises in its forward pass."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.layers, self.error = cnn(), error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


class Forwardless(nn.Module):
    """Has no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = cnn()


def quiet(make: Callable[[], Any]) -> Any:
    """What `make` returns, without torch's warnings of prototypes; None where this torch has no such thing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return make()
        except (RuntimeError, NotImplementedError, AttributeError):
            return None


def parameter(change: Callable[[nn.Module], Any]) -> Callable[[], nn.Module]:
    """A small network of which a parameter was replaced."""

    def make() -> nn.Module:
        model = cnn()
        change(model)
        return model.eval()

    return make


def _infinite(model: nn.Module) -> None:
    with torch.no_grad():
        model[0].weight.fill_(math.inf)


def _not_a_number(model: nn.Module) -> None:
    with torch.no_grad():
        model[-1].bias.fill_(math.nan)


MODELS: Mapping[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a name": lambda: "resnet18",
    "a class": lambda: nn.Linear,
    "a function": lambda: lambda x: x,
    "a list of modules": lambda: [cnn()],
    "a state dict": lambda: cnn().state_dict(),
    "a module without forward": Forwardless,
    "an empty module": nn.Module,
    "a module list": lambda: nn.ModuleList([cnn()]),
    "a module dict": lambda: nn.ModuleDict({"net": cnn()}),
    "no classes": lambda: Returns(lambda scores: scores[:, :0]),
    "a logit that is constant": lambda: Returns(lambda scores: scores * 0),
    "logits of no parameter": lambda: Returns(lambda scores: torch.zeros(len(scores), 4)),
    "returns None": lambda: Returns(lambda scores: None),
    "returns a string": lambda: Returns(lambda scores: "7"),
    "returns a number": lambda: Returns(lambda scores: 0.5),
    "returns a list of tensors": lambda: Returns(list),
    "returns a tuple": lambda: Returns(lambda scores: (scores, scores)),
    "returns a list of dicts": lambda: Returns(
        lambda scores: [{"boxes": row, "scores": row} for row in scores]
    ),
    "returns a dict of strings": lambda: Returns(lambda scores: {"logits": "7"}),
    "returns an array": lambda: Returns(lambda scores: scores.detach().numpy()),
    "returns integers": lambda: Returns(lambda scores: scores.argmax(1)),
    "returns booleans": lambda: Returns(lambda scores: scores > 0),
    "returns complex numbers": lambda: Returns(lambda scores: scores + 1j),
    "returns one number": lambda: Returns(lambda scores: scores.mean()),
    "returns three dimensions": lambda: Returns(lambda scores: scores[:, None]),
    "returns one row": lambda: Returns(lambda scores: scores[:1]),
    "returns too many rows": lambda: Returns(lambda scores: torch.cat([scores, scores])),
    "returns NaN": lambda: Returns(lambda scores: scores * math.nan),
    "returns infinity": lambda: Returns(lambda scores: scores + math.inf),
    "returns a sparse tensor": lambda: Returns(lambda scores: scores.to_sparse()),
    "returns a meta tensor": lambda: Returns(lambda scores: scores.to("meta")),
    "returns a generator": lambda: Returns(lambda scores: (row for row in scores)),
    "raises RuntimeError": lambda: Raises(RuntimeError("no")),
    "raises without words": lambda: Raises(RuntimeError()),
    "raises KeyError": lambda: Raises(KeyError("image")),
    "raises AssertionError": lambda: Raises(AssertionError()),
    "raises StopIteration": lambda: Raises(StopIteration()),
    "raises NotImplementedError": lambda: Raises(NotImplementedError()),
    "raises OSError": lambda: Raises(OSError(2, "no such file")),
    "raises lines": lambda: Raises(ValueError("one\ntwo\nthree")),
    "infinite weights": parameter(_infinite),
    "NaN among its weights": parameter(_not_a_number),
    "on the meta device": lambda: cnn().to("meta"),
    "a linear layer for others": lambda: nn.Linear(7, 3),
    "a transposed network": lambda: nn.Sequential(nn.Flatten(0), nn.Linear(1152, 4)),
}


def numbers(*shape: int) -> Tensor:
    """Uniform numbers, the same each time."""
    return images(shape[0], shape[1:])


def _with(value: float, shape: tuple[int, ...] = (N, *SHAPE)) -> Tensor:
    made = numbers(*shape)
    made.view(-1)[7] = value
    return made


INPUTS: Mapping[str, Callable[[], Any]] = {
    "a number": lambda: 3,
    "a string": lambda: "cat.png",
    "a path": lambda: Path("cat.png"),
    "an empty list": list,
    "an empty tuple": tuple,
    "lists of numbers": lambda: [[0.1, 0.2], [0.3, 0.4]],
    "a list of strings": lambda: ["a.png", "b.png"],
    "a dict": lambda: {"pixel_values": numbers(N, *SHAPE)},
    "a generator": lambda: (row for row in numbers(N, *SHAPE)),
    "a module": cnn,
    "a dtype": lambda: torch.float32,
    "integers": lambda: torch.zeros(N, *SHAPE, dtype=torch.uint8),
    "booleans": lambda: torch.ones(N, *SHAPE, dtype=torch.bool),
    "complex numbers": lambda: numbers(N, *SHAPE) + 1j,
    "a complex array": lambda: np.ones((N, *SHAPE), complex),
    "an array of objects": lambda: np.array([object()] * N, dtype=object),
    "an array of strings": lambda: np.array(["a"] * N),
    "an array of dates": lambda: np.zeros((N, 4), "datetime64[D]"),
    "a structured array": lambda: np.zeros(N, [("x", float), ("y", float)]),
    "long doubles": lambda: np.zeros((N, *SHAPE), np.longdouble),
    "a sparse tensor": lambda: numbers(N, 12).to_sparse(),
    "a sparse CSR tensor": lambda: quiet(lambda: numbers(N, 12).to_sparse_csr()),
    "a float8 tensor": lambda: quiet(lambda: numbers(N, *SHAPE).to(torch.float8_e4m3fn)),
    "a meta tensor": lambda: numbers(N, *SHAPE).to("meta"),
    "a nested tensor": lambda: quiet(lambda: torch.nested.nested_tensor([numbers(1, 12, 12), numbers(1, 9, 9)])),
    "a quantized tensor": lambda: quiet(lambda: torch.quantize_per_tensor(numbers(N, *SHAPE), 0.1, 0, torch.quint8)),
    "NaN": lambda: _with(math.nan),
    "infinity": lambda: _with(-math.inf),
    "no image": lambda: torch.empty(0, *SHAPE),
    "one image": lambda: numbers(1, *SHAPE),
    "an image without its batch": lambda: numbers(*SHAPE),
    "a picture": lambda: numbers(12, 12),
    "a vector": lambda: numbers(N),
    "a scalar": lambda: torch.tensor(0.5),
    "no channels": lambda: torch.empty(N, 0, 12, 12),
    "no pixels": lambda: torch.empty(N, 1, 0, 12),
    "another size": lambda: numbers(N, 1, 9, 9),
    "other channels": lambda: numbers(N, 3, 12, 12),
    "channels last": lambda: numbers(N, 12, 12, 1),
    "five dimensions": lambda: numbers(N, 1, 1, 12, 12),
    "two tensors": lambda: (numbers(N, *SHAPE), numbers(N, *SHAPE)),
    "two sizes": lambda: (numbers(N, *SHAPE), numbers(5, *SHAPE)),
    "a tensor and a string": lambda: (numbers(N, *SHAPE), "mask"),
    "a tensor and None": lambda: (numbers(N, *SHAPE), None),
    "masked everywhere": lambda: np.ma.masked_all((N, *SHAPE)),
    "masked in part": lambda: np.ma.masked_less(numbers(N, *SHAPE).numpy(), 0.5),
    "bytes": lambda: b"\x89PNG",
    "a dataset": lambda: torch.utils.data.TensorDataset(numbers(N, *SHAPE)),
}  # fmt: skip

ROWS: Mapping[str, Callable[[], Any]] = {
    "a string": lambda: "cat",
    "a list of strings": lambda: ["cat"] * N,
    "a dict": lambda: {"label": 3},
    "None among them": lambda: [None] * N,
    "ragged lists": lambda: [[0, 1], [2]] * 4,
    "an object": object,
    "a class": lambda: int,
    "too few": lambda: torch.zeros(3, dtype=torch.long),
    "too many": lambda: torch.zeros(N + 1, dtype=torch.long),
    "none at all": lambda: torch.zeros(0, dtype=torch.long),
    "too high": lambda: torch.full((N,), 9),
    "negative": lambda: torch.full((N,), -1),
    "as high as there are": lambda: torch.arange(N) % 5,
    "numbers with a point": lambda: torch.full((N,), 0.5),
    "whole numbers with a point": lambda: [1.0] * N,
    "booleans": lambda: torch.ones(N, dtype=torch.bool),
    "complex numbers": lambda: torch.full((N,), 1j),
    "NaN": lambda: torch.full((N,), math.nan),
    "three dimensions": lambda: torch.zeros(N, 4, 1),
    "a sparse tensor": lambda: torch.ones(N, 4).to_sparse(),
    "a meta tensor": lambda: torch.zeros(N, dtype=torch.long, device="meta"),
    "a nested tensor": lambda: quiet(lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)])),
    "a quantized tensor": lambda: quiet(
        lambda: torch.quantize_per_tensor(torch.ones(N, 4), 0.1, 0, torch.quint8)
    ),
    "objects": lambda: np.array([object()] * N, dtype=object),
    "dates": lambda: np.zeros(N, "datetime64[D]"),
    "fractions": lambda: [Fraction(1, 2)] * N,
    "masked everywhere": lambda: np.ma.masked_all(N, int),
    "a generator": lambda: (0 for _ in range(N)),
    "huge": lambda: [2**70] * N,
}
WEIGHTS: Mapping[str, Callable[[], Any]] = {
    "weights with NaN": lambda: _with(math.nan, (N, 4)),
    "infinite weights": lambda: _with(math.inf, (N, 4)),
    "weights of zero": lambda: torch.zeros(N, 4),
    "one row of zeros": lambda: torch.ones(N, 4) * (torch.arange(N) != 3)[:, None],
    "weights of too few classes": lambda: torch.ones(N, 3),
    "weights of too many classes": lambda: torch.ones(N, 5),
    "weights of no class": lambda: torch.ones(N, 0),
    "complex weights": lambda: torch.ones(N, 4) * 1j,
    "weights for too few images": lambda: torch.ones(3, 4),
}
OPTIONS: Mapping[str, Callable[[], tuple[str, Any]]] = {
    "name 3": lambda: ("name", 3),
    "name b'x'": lambda: ("name", b"x"),
    "name of a list": lambda: ("name", ["x"]),
    "name of a function": lambda: ("name", gradient),
    "seed 'a'": lambda: ("seed", "a"),
    "seed -1": lambda: ("seed", -1),
    "seed 1.5": lambda: ("seed", 1.5),
    "seed nan": lambda: ("seed", math.nan),
    "seed [1]": lambda: ("seed", [1]),
    "seed True": lambda: ("seed", True),
    "profile x": lambda: ("profile", "x"),
    "profile 3": lambda: ("profile", 3),
    "profile ['ci']": lambda: ("profile", ["ci"]),
    "profile True": lambda: ("profile", True),
    "max_seconds 'a'": lambda: ("max_seconds", "a"),
    "max_seconds -1": lambda: ("max_seconds", -1),
    "max_seconds 0": lambda: ("max_seconds", 0),
    "max_seconds nan": lambda: ("max_seconds", math.nan),
    "max_seconds True": lambda: ("max_seconds", True),
    "max_seconds 1j": lambda: ("max_seconds", 1j),
    "max_seconds [1]": lambda: ("max_seconds", [1]),
    "max_seconds a timedelta": lambda: ("max_seconds", datetime.timedelta(seconds=3)),
    "max_seconds a decimal": lambda: ("max_seconds", Decimal("nan")),
    "forward 3": lambda: ("forward", 3),
    "forward 'logits'": lambda: ("forward", "logits"),
    "forward of no argument": lambda: ("forward", lambda: 3),
    "forward that returns None": lambda: ("forward", lambda model, inputs: None),
    "forward that raises": lambda: ("forward", lambda model, inputs: 1 / 0),
    "forward that returns rows": lambda: ("forward", lambda model, inputs: model(inputs)[:1]),
    "input_shape '224'": lambda: ("input_shape", "224"),
    "input_shape 224": lambda: ("input_shape", 224),
    "input_shape (12,)": lambda: ("input_shape", (12,)),
    "input_shape (1, -12, 12)": lambda: ("input_shape", (1, -12, 12)),
    "input_shape (1, 1.5, 12)": lambda: ("input_shape", (1, 1.5, 12)),
    "input_shape (0, 12, 12)": lambda: ("input_shape", (0, 12, 12)),
    "input_shape (1, 12, 12, 12)": lambda: ("input_shape", (1, 12, 12, 12)),
    "input_shape ('1', '12', '12')": lambda: ("input_shape", ("1", "12", "12")),
    "input_shape of NaN": lambda: ("input_shape", (1, math.nan, 12)),
}


def returning(make: Callable[[Tensor], Any]) -> Callable[[], Any]:
    """An explainer that returns something made of the plain gradient."""
    return lambda: lambda model, inputs, targets: make(gradient(model, inputs, targets))


class Slots:
    """An object that is no map."""

    __slots__ = ()


EXPLAINERS: Mapping[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a number": lambda: 3,
    "a name": lambda: "gradient",
    "a class": lambda: Slots,
    "a list": lambda: [gradient],
    "a module of Python": lambda: types,
    "of no argument": lambda: lambda: 3,
    "of two arguments": lambda: lambda model, inputs: inputs,
    "of four arguments": lambda: lambda model, inputs, targets, layer: inputs,
    "that raises": lambda: lambda model, inputs, targets: 1 / 0,
    "that raises without words": lambda: lambda model, inputs, targets: [].pop(),
    "None for a map": returning(lambda maps: None),
    "a string for a map": returning(lambda maps: "map"),
    "a number for a map": returning(lambda maps: 0.5),
    "a dict for a map": returning(lambda maps: {"map": maps}),
    "a list of maps": returning(list),
    "ragged lists": returning(lambda maps: [[1.0], [1.0, 2.0]]),
    "a generator": returning(lambda maps: (row for row in maps)),
    "an object": returning(lambda maps: Slots()),
    "a sparse map": returning(lambda maps: maps.to_sparse()),
    "a nested map": returning(lambda maps: quiet(lambda: torch.nested.nested_tensor(list(maps)))),
    "a quantized map": returning(
        lambda maps: quiet(lambda: torch.quantize_per_tensor(maps, 0.1, 0, torch.qint8))
    ),
    "a meta map": returning(lambda maps: maps.to("meta")),
    "complex maps": returning(lambda maps: maps + 1j),
    "an array of objects": returning(lambda maps: maps.numpy().astype(object)),
    "an array of strings": returning(lambda maps: maps.numpy().astype(str)),
    "dates": returning(lambda maps: np.zeros(tuple(maps.shape), "datetime64[D]")),
    "masked everywhere": returning(lambda maps: np.ma.masked_all(tuple(maps.shape))),
    "masked in part": returning(lambda maps: np.ma.masked_less(maps.numpy(), 0)),
    "NaN": returning(lambda maps: maps * math.nan),
    "infinity": returning(lambda maps: maps / 0),
    "a map too few": returning(lambda maps: maps[1:]),
    "a map too many": returning(lambda maps: torch.cat([maps, maps[:1]])),
    "no maps": returning(lambda maps: maps[:0]),
    "one number per image": returning(lambda maps: maps.flatten(1).sum(1)),
    "one number": returning(lambda maps: maps.sum()),
    "another size": returning(lambda maps: maps[..., 1:]),
    "flat maps": returning(lambda maps: maps.flatten(1)),
    "channels last": returning(lambda maps: maps.movedim(1, -1)),
    "a map of two channels": returning(lambda maps: maps.repeat(1, 2, 1, 1)),
    "constant maps": returning(lambda maps: maps * 0 + 1),
    "the logits": lambda: lambda model, inputs, targets: model(inputs),
    "a map and more": returning(lambda maps: (maps, maps)),
    "a tuple of nothing": returning(lambda maps: ()),
}  # fmt: skip


def kinds() -> dict[str, dict[str, Callable[[], Any]]]:
    """Argument by argument: the values that are tried, by a name that says what they are."""
    return {
        "explainer": dict(EXPLAINERS),
        "model": dict(MODELS),
        "inputs": dict(INPUTS),
        "targets": {**ROWS, **WEIGHTS},
        "labels": dict(ROWS),
        "option": dict(OPTIONS),
    }


JUNK: Mapping[str, Any] = {
    "a letter": "a", "bytes": b"x", "an object": object(), "NaN": math.nan, "-1": -1, "an empty list": [],
    "an empty dict": {}, "1j": 1j, "1e30": 1e30, "a list of a letter": ["a"], "None among numbers": [1, None],
    "a tensor": torch.rand(3, 3), "a tensor of NaN": torch.full((8, 12, 12), math.nan),
    "an array of strings": np.array(["a", "b"]), "a function": lambda *arguments: None, "2**70": 2**70,
    "a set": {1, 2}, "a sparse tensor": torch.eye(3).to_sparse(), "a module": nn.Linear(2, 2), "a class": int,
}  # fmt: skip
OWN: Mapping[str, tuple[str, ...]] = {
    "model_sensitivity": ("blocks", "depths", "threshold", "one_sided_threshold", "similarities", "metrics"),
    "target_sensitivity": ("threshold", "one_sided_threshold", "similarities"),
    "data_sensitivity": ("models", "twins", "max_epochs", "cache", "key", "train", "threshold", "similarities"),
    "consistency": ("min_agreement", "metrics"),
    "insertion_deletion": ("min_insertion", "max_deletion", "steps", "infill", "absolute", "metrics"),
    "completeness": ("baseline", "tolerance", "quadrature_tolerance"),
    "linear_oracle": ("expects", "baseline", "tolerance"),
    "ignored_input": ("tolerance",),
    "implementation_invariance": ("rewritten", "tolerance"),
    "input_shift": ("shift", "tolerance"),
    "localization": ("regions", "box_format", "min_iou", "box", "absolute"),
    "occlusion_sensitivity": ("share", "fraction", "infill", "classes", "absolute"),
    "distancing": (
        "classes", "data", "alphas", "epochs", "learning_rate", "batch_size", "min_agreement", "share", "fraction",
        "infill", "cache",
    ),
}  # fmt: skip
