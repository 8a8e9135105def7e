"""Another machine, played by its number: SALIENCY_TESTS_MACHINE=3 runs the tests as some other processor would.

Processors round differently, and training amplifies that. So with a number, the initial weights of every network that
takes a step of an optimizer and the images of every loader of the tests are multiplied by 1 + 1e-5 × normal noise: the
same for the same number, another for another. Without one nothing is touched. A test that passes for the numbers 0 to 9
is not near its line. `startup/` brings it to the processes that tests start; nothing here imports torch by itself.

Not reached: parameters below single precision, in which 1e-5 rounds away; tensors that are no parameters, such as the
latents of an inpainting; zeros; untrained networks, but for the images that they are given.
"""

from __future__ import annotations

import functools
import importlib.abc
import os
import sys
import zlib
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

VARIABLE = "SALIENCY_TESTS_MACHINE"
NOISE = 1e-5
STARTUP = Path(__file__).with_name("startup")


def number() -> int | None:
    """The number of the machine that is played, None for this one.

    Raises:
        ValueError: if the variable holds something else.
    """
    given = os.environ.get(VARIABLE, "")
    if given and not given.isdecimal():
        raise ValueError(f"{VARIABLE} must be a number of 0 or more, got {given!r}")
    return int(given) if given else None


def play() -> None:
    """Changes what trains and what loads images, also in processes started later; nothing without a number."""
    # By its name: `startup/` has this module under another one, and its classes are others.
    if number() is None or any(type(finder).__name__ == _Watching.__name__ for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Watching())
    for name in CHANGES.keys() & sys.modules.keys():
        CHANGES[name](sys.modules[name])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(STARTUP), *filter(None, before)]))


def like_another(values: Tensor) -> Tensor:
    """`values` as the machine of that number has them: those in between its extremes moved a little, zeros never."""
    return values if number() is None else _noisy(values).clamp(values.min(), values.max())


def start_like_another(parameters: Iterable[Tensor]) -> None:
    """Moves initial weights, in place: before an optimizer's first step; to be called where one descends without."""
    import torch

    if number() is None:
        return
    with torch.no_grad():
        for place, parameter in enumerate(parameters):
            is_weight = isinstance(parameter, torch.nn.Parameter) and parameter.is_floating_point()
            if is_weight and parameter.element_size() >= 4:
                parameter.copy_(_noisy(parameter, place))


def fingerprint() -> str:
    """Of what rounds: the number, torch's and oneDNN's instructions. Networks trained under others are others."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    instructions = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    return "-".join(
        filter(None, (capability.replace(" ", ""), instructions, os.environ.get(VARIABLE)))
    ).lower()


# The noise.


def _noisy(values: Tensor, place: int = 0) -> Tensor:
    """Drawn by the machine's number, the place and the shape: alike in any precision, whatever was drawn before."""
    import torch

    seed = zlib.crc32(repr((number(), place, tuple(values.shape))).encode())
    drawn = torch.randn(values.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values * (1 + NOISE * drawn).to(values.device, values.dtype)


# What is changed, when it is imported.


def _optimizers(module: ModuleType) -> None:
    initialize = module.Optimizer.__init__

    @functools.wraps(initialize)
    def changing(self: Any, *arguments: Any, **options: Any) -> None:
        initialize(self, *arguments, **options)
        handle = self.register_step_pre_hook(lambda *_: handle.remove() or move(self))

    def move(optimizer: Any) -> None:
        start_like_another([one for group in optimizer.param_groups for one in group["params"]])

    module.Optimizer.__init__ = changing


def _planted(module: ModuleType) -> None:
    from dataclasses import replace

    draw = module.planted_images

    @functools.wraps(draw)
    def changed(*arguments: Any, **options: Any) -> Any:
        data = draw(*arguments, **options)
        return replace(data, images=like_another(data.images))

    module.planted_images = changed


def _example(module: ModuleType) -> None:
    scale = module.to_images
    module.to_images = functools.wraps(scale)(lambda pixels: like_another(scale(pixels)))


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "torch.optim.optimizer": _optimizers,
    "pytest_saliency_sanity.planted": _planted,
    "digit_reader.data": _example,
}


class _Watching(importlib.abc.MetaPathFinder):
    """Finds what the others find; three modules are changed as soon as they are executed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in CHANGES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others if hasattr(finder, "find_spec"))
        spec = next((one for one in found if one is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Changing(spec.loader, CHANGES[name])
        return spec


class _Changing(importlib.abc.Loader):
    def __init__(self, loader: Any, change: Callable[[ModuleType], None]) -> None:
        self.loader, self.change = loader, change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        self.change(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)
