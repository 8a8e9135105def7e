"""Qualified names, such as `layer4.1.conv2.weight`, and the modules and tensors of a network that they name."""

from __future__ import annotations

from functools import reduce

from torch import Tensor, nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = model.module
        if inner is None:
            return model
        model = inner


def submodule(network: nn.Module, path: str) -> nn.Module:
    """The module at `path`, "" for the network itself; `get_submodule` refuses scripted modules."""
    return reduce(getattr, path.split("."), network) if path else network


def owner(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds the tensor `name`, and its name there."""
    path, _, local = name.rpartition(".")
    return submodule(network, path), local


def tensor_at(network: nn.Module, name: str) -> Tensor:
    """The parameter or buffer `name`."""
    tensor: Tensor = getattr(*owner(network, name))
    return tensor


def holders(name: str) -> list[str]:
    """The paths of all modules that hold the tensor `name`, from the network itself, "", to its owner."""
    parts = name.split(".")[:-1]
    return [".".join(parts[:depth]) for depth in range(len(parts) + 1)]
