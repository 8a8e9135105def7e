from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from pytest_saliency_sanity.perturbations.restoring import preservation
from pytest_saliency_sanity.perturbations.restoring.preservation import changes, preserved, structure_kept
from tests.perturbations.architectures import SmallResNet, build, images
from tests.perturbations.state import state_of


@pytest.fixture
def model() -> nn.Module:
    model = build("resnet")
    model.layer1.train()
    model.layer2[0].conv1.weight.requires_grad_(False)
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    model.fc.register_forward_hook(lambda module, args, output: None)
    model.fc.bias.register_hook(lambda gradient: gradient)
    return model


def _weights_in_place(model: SmallResNet) -> None:
    with torch.no_grad():
        model.conv1.weight.add_(1)


def _one_bit(model: SmallResNet) -> None:
    model.fc.bias.data.view(torch.int32)[0] ^= 1


def _data_replaced(model: SmallResNet) -> None:
    model.fc.weight.data = torch.zeros(2, 2)


def _slot_replaced(model: SmallResNet) -> None:
    model.fc.weight = nn.Parameter(model.fc.weight.detach().clone())


def _parameter_deleted(model: SmallResNet) -> None:
    del model.fc.bias


def _half(model: SmallResNet) -> None:
    model.half()


def _statistics(model: SmallResNet) -> None:
    model.train()(images())
    model.eval()
    model.layer1.train()


def _buffer_replaced(model: SmallResNet) -> None:
    model.bn1.running_mean = torch.zeros(6)


def _mode(model: SmallResNet) -> None:
    model.layer2[1].train()


def _requires_grad(model: SmallResNet) -> None:
    model.requires_grad_(False)


def _forward_hook(model: SmallResNet) -> None:
    model.layer1[0].register_forward_hook(print)


def _hook_removed(model: SmallResNet) -> None:
    model.fc._forward_hooks.clear()


def _backward_hook(model: SmallResNet) -> None:
    model.register_full_backward_hook(lambda module, before, after: None)


def _pre_hook_with_kwargs(model: SmallResNet) -> None:
    model.conv1.register_forward_pre_hook(lambda module, args, kwargs: None, with_kwargs=True)


def _state_dict_hook(model: SmallResNet) -> None:
    model.conv1.register_state_dict_pre_hook(lambda *args: None)


def _tensor_hook(model: SmallResNet) -> None:
    model.conv1.weight.register_hook(lambda gradient: None)


def _second_tensor_hook(model: SmallResNet) -> None:
    model.fc.bias.register_hook(lambda gradient: None)


def _module_replaced(model: SmallResNet) -> None:
    model.layer1[1] = nn.Identity()


def _module_added(model: SmallResNet) -> None:
    model.probe = nn.Linear(2, 2)


def _forward_replaced(model: SmallResNet) -> None:
    model.forward = lambda x: x


def _class_replaced(model: SmallResNet) -> None:
    model.fc.__class__ = type("Other", (nn.Linear,), {})


def _parametrized(model: SmallResNet) -> None:
    parametrizations.weight_norm(model.fc)


MUTATIONS: dict[Callable[[SmallResNet], None], str] = {
    _weights_in_place: "weights",
    _one_bit: "weights",
    _data_replaced: "weights",
    _slot_replaced: "weights",
    _parameter_deleted: "weights",
    _half: "weights",
    _statistics: "buffers",
    _buffer_replaced: "buffers",
    _mode: "modes",
    _requires_grad: "requires_grad",
    _forward_hook: "hooks",
    _hook_removed: "hooks",
    _backward_hook: "hooks",
    _pre_hook_with_kwargs: "hooks",
    _state_dict_hook: "hooks",
    _tensor_hook: "hooks",
    _second_tensor_hook: "hooks",
    _module_replaced: "modules",
    _module_added: "modules",
    _forward_replaced: "modules",
    _class_replaced: "modules",
    _parametrized: "modules",
}
mutations = pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__.strip("_"))


class Stop(Exception):
    pass


@mutations
@pytest.mark.parametrize("ending", [None, Stop, KeyboardInterrupt, SystemExit])
def test_all_changes_are_undone_however_the_context_ends(model, mutate, ending):
    before = state_of(model)
    with pytest.raises(ending or Stop), preserved(model):
        mutate(model)
        raise ending or Stop
    assert state_of(model) == before


IN_PLACE = (
    _weights_in_place,
    _one_bit,
    _half,
    _statistics,
)  # they write into the model's own memory, some of them


@pytest.mark.parametrize(
    "mutate",
    [mutate for mutate in MUTATIONS if mutate not in IN_PLACE],
    ids=lambda mutate: mutate.__name__.strip("_"),
)
def test_what_is_put_in_place_is_taken_away_without_a_copy_of_the_weights(model, mutate):
    before = state_of(model)
    with pytest.raises(Stop), structure_kept(model):
        assert model.fc.weight.grad is None
        mutate(model)
        raise Stop
    assert {**state_of(model), "random": before["random"]} == before


def test_the_structure_alone_leaves_the_generators_and_copies_nothing(model, monkeypatch):
    monkeypatch.setattr(torch.UntypedStorage, "clone", lambda self: pytest.fail("copied"))
    with structure_kept(model):
        drawn = torch.rand(3)
    assert not torch.equal(torch.rand(3), drawn)


@mutations
def test_what_changed_is_told_before_it_is_undone(model, mutate):
    with preserved(model) as snapshot:
        assert changes(snapshot) == {}
        mutate(model)
        assert MUTATIONS[mutate] in changes(snapshot)
    assert changes(snapshot) == {}


def test_changes_are_told_by_aspect_and_qualified_name(model):
    with preserved(model) as snapshot:
        _weights_in_place(model)
        _buffer_replaced(model)
        _mode(model)
        _second_tensor_hook(model)
        model.layer2[0].conv1.weight.requires_grad_(True)
        _forward_replaced(model)
        found = changes(snapshot)
    assert found == {
        "weights": ("conv1.weight",),
        "buffers": ("bn1.running_mean",),
        "modes": ("layer2.1", "layer2.1.conv1", "layer2.1.bn1", "layer2.1.conv2", "layer2.1.bn2",
                  "layer2.1.downsample", "layer2.1.downsample.0", "layer2.1.downsample.1"),
        "hooks": ("fc.bias",),
        "modules": ("",),
        "requires_grad": ("layer2.0.conv1.weight",),
    }  # fmt: skip


def test_a_forward_pass_and_a_gradient_change_nothing(model):
    model.eval()
    with preserved(model) as snapshot:
        model(images()).sum().backward()
        assert changes(snapshot) == {}


def test_gradients_are_laid_aside_and_given_back(model):
    mine = model.fc.weight.grad
    with preserved(model):
        assert all(parameter.grad is None for parameter in model.parameters())
        model(images()).sum().backward()
    assert model.fc.weight.grad is mine and torch.equal(mine, torch.ones_like(mine))
    assert model.conv1.weight.grad is None


def test_global_generators_are_given_back(model):
    with preserved(model):
        expected = torch.rand(1).item(), np.random.rand(), random.random()
        torch.manual_seed(7), np.random.seed(7), random.seed(7)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected


def test_a_graph_the_caller_holds_can_still_go_backward(model):
    model.eval()
    loss = model(images()).sum()
    expected = torch.autograd.grad(loss, model.conv1.weight, retain_graph=True)[0]
    with preserved(model):
        for parameter in model.parameters():
            parameter.data.zero_()
    assert torch.equal(torch.autograd.grad(loss, model.conv1.weight)[0], expected)


def test_every_storage_is_copied_once():
    model = nn.Sequential(
        nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(2, 2, bias=False)
    )
    model[1].weight.data = model[0].weight.data.t()
    model[2].weight.data = model[0].weight.data[:2, :2]
    with preserved(model) as snapshot:
        assert sum(copy.nbytes() for _, copy in snapshot.storages.values()) == 64
        model[1].weight.data.zero_()
        assert snapshot.value(model[2].weight).abs().sum() > 0
        assert changes(snapshot)["weights"] == ("0.weight", "1.weight", "2.weight")
    assert model[2].weight.abs().sum() > 0


def test_nan_and_negative_zero_are_compared_by_their_bits():
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[float("nan"), 0.0]])
    with preserved(model) as snapshot:
        assert changes(snapshot) == {}
        model.weight.data[0, 1] = -0.0
        assert changes(snapshot) == {"weights": ("weight",)}


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.complex128]
)
def test_every_dtype_is_given_back(dtype):
    model = nn.Linear(3, 3).to(torch.float32)
    model.weight = nn.Parameter(torch.randn(3, 3).to(dtype))
    before = state_of(model)
    with preserved(model) as snapshot:
        model.weight.data.zero_()
        assert changes(snapshot) == {"weights": ("weight",)}
    assert state_of(model) == before


def test_contexts_nest(model):
    before = state_of(model)
    with preserved(model):
        _weights_in_place(model)
        between = state_of(model)
        with preserved(model):
            _parametrized(model)
        assert state_of(model) == between
    assert state_of(model) == before


def test_a_signal_while_giving_back_waits_until_all_is_back(model, monkeypatch, interruptible):
    before, restore, handler = state_of(model), preservation._restore_storage, signal.getsignal(signal.SIGINT)

    def interrupted(storage, copy):
        signal.raise_signal(signal.SIGINT)
        restore(storage, copy)

    monkeypatch.setattr(preservation, "_restore_storage", interrupted)
    with pytest.raises(KeyboardInterrupt), preserved(model):
        _half(model)
        _weights_in_place(model)
    assert state_of(model) == before
    assert signal.getsignal(signal.SIGINT) is handler


def test_outside_the_main_thread_no_signal_handler_is_touched(model):
    before, errors = state_of(model)["tensors"], []

    def work():
        try:
            with preserved(model):
                _weights_in_place(model)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors and state_of(model)["tensors"] == before


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit.*:FutureWarning")
def test_a_scripted_model_is_given_back():
    model = torch.jit.script(build("resnet"))
    expected = model(images())
    with preserved(model) as snapshot:
        model.train()
        model.fc.weight.data.zero_()
        model(images())
        found = changes(snapshot)
    assert (
        found["weights"] == ("fc.weight",) and "bn1.running_mean" in found["buffers"] and "" in found["modes"]
    )
    assert not model.training and torch.equal(model(images()), expected)


def test_a_model_of_inference_tensors_is_left_alone():
    with torch.inference_mode():
        model = nn.Linear(2, 2)
    before = state_of(model)
    with preserved(model) as snapshot:
        model(torch.ones(1, 2))
        assert changes(snapshot) == {}
    assert state_of(model) == before


# Within another one.


def test_a_snapshot_of_an_enclosing_context_is_gone_back_to() -> None:
    model = nn.Linear(3, 2)
    model.weight.grad = torch.ones(2, 3)
    grad, before = model.weight.grad, model.weight.detach().clone()
    with preserved(model) as snapshot:
        for _ in range(2):
            with preserved(model, snapshot) as same:
                assert same is snapshot
                model.weight.data.zero_()
                model(torch.ones(1, 3)).sum().backward()
                model.eval()
                torch.rand(1)
            assert torch.equal(model.weight, before)
            assert model.training
            assert model.weight.grad is None  # the caller's own comes back with the outer context
            assert torch.equal(torch.get_rng_state(), snapshot.random.torch_cpu)
    assert model.weight.grad is grad
    assert torch.equal(grad, torch.ones(2, 3))


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_it_is_gone_back_to_after_an_exception_too(error: type[BaseException]) -> None:
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    with preserved(model) as snapshot:
        with pytest.raises(error), preserved(model, snapshot):
            model.weight.data.zero_()
            raise error
        assert torch.equal(model.weight, before)
