"""The parameters that a network uses, in the order of their use: hooks, torch.fx, torch.export; and functional_call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import fx, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.module_tracker import ModuleTracker

from pytest_saliency_sanity.perturbations import find_blocks, randomized
from tests.perturbations.architectures import KINDS, Tied, build, images
from tests.perturbations.weights import test_paths


def _registered(model: nn.Module, _: torch.Tensor) -> list[str]:
    return [name for name, _ in model.named_parameters()]


def _hooked(model: nn.Module, inputs: torch.Tensor) -> list[str]:
    paths, found = {id(module): f"{path}." if path else "" for path, module in model.named_modules()}, []

    def enter(module: nn.Module, _: Any) -> None:
        found.extend(paths[id(module)] + name for name, _ in module.named_parameters(recurse=False))

    handle = register_module_forward_pre_hook(enter)
    try:
        model(inputs)
    finally:
        handle.remove()
    return found


def _traced(model: nn.Module, _: torch.Tensor) -> list[str]:
    found: list[str] = []
    for node in fx.symbolic_trace(model).graph.nodes:
        if node.op == "call_module":
            found += [
                f"{node.target}.{name}" for name, _ in model.get_submodule(node.target).named_parameters()
            ]
        elif node.op == "get_attr":
            found.append(node.target)
    return found


def _exported(model: nn.Module, inputs: torch.Tensor) -> list[str]:
    program = torch.export.export(model, (inputs,))
    names = program.graph_signature.inputs_to_parameters
    return [
        names[part.name]
        for node in program.graph.nodes
        for part in node.all_input_nodes
        if part.name in names
    ]


WAYS = {"registration": _registered, "module hooks": _hooked, "torch.fx": _traced, "torch.export": _exported}


def right_blocks(name: str) -> str:
    """For how many networks of the tests a way finds the parameters in use, and the blocks' order."""
    choices = test_paths.CHOICES["some, and never by the first images"]
    made = {kind: (build(kind), images()) for kind in KINDS}
    made |= {kind.__name__: test_paths._routed(kind, choices) for kind in test_paths.ROUTED}
    wrong = [kind for kind, (model, inputs) in made.items() if not _is_right(WAYS[name], model, inputs)]
    return (
        f"{name}: right for {len(made) - len(wrong)} of {len(made)}, wrong for {', '.join(wrong) or 'none'}"
    )


def _is_right(way: Callable[..., list[str]], model: nn.Module, inputs: torch.Tensor) -> bool:
    blocks = find_blocks(model, inputs)
    homes = {name: block.name for block in blocks for name in block.parameters}
    named = dict(model.named_parameters(remove_duplicate=False))
    ours = {id(named[name]): name for name in homes}
    try:
        with torch.no_grad():
            found = [ours.get(id(named[name]), name) for name in way(model, inputs) if name in named]
    except Exception:
        return False
    last = {homes.get(name): place for place, name in enumerate(found)}
    return set(found) == set(homes) and sorted(last, key=last.__getitem__) == [block.name for block in blocks]


class Catching(nn.Module):
    """Leaves a module by an exception, and goes on; `tracker` is looked at then."""

    def __init__(self, tracker: ModuleTracker) -> None:
        super().__init__()
        self.fails, self.layer, self.tracker = nn.Linear(5, 5), nn.Linear(192, 2), [tracker]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.fails(x.flatten(1))
        except RuntimeError:
            self.running = sorted(self.tracker[0].parents)
            return self.layer(x.flatten(1))


def left_by_an_exception() -> str:
    """What ModuleTracker takes for running."""
    with ModuleTracker() as tracker:
        model = Catching(tracker)
        model(images())
    return f"ModuleTracker, after an exception that the model caught: {', '.join(model.running)} run"


class InAList(nn.Module):
    """Keeps its weights in a list, beside the layers that own them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(192, 16), nn.Linear(16, 5)
        self.weights = [self.first.weight, self.second.weight]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x.flatten(1) @ self.weights[0].T) @ self.weights[1].T


def _of_one_memory() -> nn.Module:
    model = Tied()
    model.decoder.weight = nn.Parameter(model.encoder.weight.data)
    return model


def stateless_calls() -> str:
    """For which networks functional_call gives what the same weights give that are written into the network."""
    made = {kind: build(kind) for kind in KINDS}
    made |= {
        "scripted": torch.jit.script(build("mlp")),
        "weights in a list": InAList(),
        "one memory": _of_one_memory(),
    }
    wrong = [name for name, model in made.items() if not _as_written(model, images())]
    return f"functional_call is wrong for {len(wrong)} of {len(made)}: {', '.join(wrong)}"


@torch.no_grad()
def _as_written(model: nn.Module, inputs: torch.Tensor) -> bool:
    model(inputs)
    blocks = find_blocks(model, inputs)
    with randomized(model, blocks):
        wanted = model(inputs)
        tensors = dict([*model.named_parameters(remove_duplicate=False), *model.named_buffers()])
        names = [name for block in blocks for name in (*block.parameters, *block.buffers)]
        drawn = {name: tensors[name].clone() for name in names}
    try:
        return torch.allclose(functional_call(model, drawn, (inputs,)), wanted, atol=1e-5)
    except RuntimeError:
        return False


MEASURES = (*(partial(right_blocks, name) for name in WAYS), left_by_an_exception, stateless_calls)
