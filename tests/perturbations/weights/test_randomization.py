from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from pytest_saliency_sanity.perturbations.weights.blocks import find_blocks
from pytest_saliency_sanity.perturbations.weights.coverage import coverage
from pytest_saliency_sanity.perturbations.weights.randomization import (
    bottom_up,
    cascading,
    independent,
    negated_head,
    randomized,
)
from tests.perturbations.architectures import KINDS, build, images
from tests.perturbations.state import random_numbers_ahead, state_of

WALKS = {"cascading": cascading, "bottom_up": bottom_up, "independent": independent}


def _ready(kind: str) -> nn.Module:
    model = build(kind)
    with torch.no_grad():
        model(images())
    return model


def _values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _changed(before: dict[str, torch.Tensor], now: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], now[name])}


@torch.no_grad()
def _logits(model: nn.Module) -> torch.Tensor:
    return model(images(8))


def test_cascading_goes_from_the_top_down_and_keeps_what_it_drew():
    model = _ready("head_first")
    before = _values(model)
    with cascading(model, images()) as steps:
        seen = [(step.index, step.new, step.blocks, _changed(before, _values(model))) for step in steps]
    assert [new for _, new, _, _ in seen] == [("head",), ("third",), ("second",), ("first",)]
    assert [blocks for _, _, blocks, _ in seen][-1] == ("head", "third", "second", "first")
    assert [len(changed) for *_, changed in seen] == [2, 4, 6, 8]


def test_bottom_up_goes_the_other_way():
    model = _ready("head_first")
    with bottom_up(model, images()) as steps:
        assert [step.blocks for step in steps][:2] == [("first",), ("first", "second")]


def test_independent_puts_the_previous_block_back():
    model = _ready("head_first")
    before = _values(model)
    with independent(model, images()) as steps:
        changed = [(step.blocks, _changed(before, _values(model))) for step in steps]
    assert changed == [
        ((name,), {f"{name}.weight", f"{name}.bias"}) for name in ("head", "third", "second", "first")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_used_parameter_changes_and_the_logits_with_them(kind):
    model = _ready(kind)
    trained, before = _logits(model), _values(model)
    with randomized(model, images()) as step:
        seen, changed = coverage(step, trained, _logits(model)), _changed(before, _values(model))
    aux = {name for name in before if name.startswith("AuxLogits")}
    assert (
        changed
        == {n for n in before if not n.endswith(("num_batches_tracked", "running_var", "running_mean"))} - aux
    )
    assert seen.tensors_changed == seen.tensors_total
    assert seen.parameters_changed == seen.parameters_total
    assert seen.parameters_total == sum(p.numel() for n, p in model.named_parameters() if n not in aux)
    assert not seen.nan and seen.dead == 0 and abs(seen.logit_correlation) < 0.9


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", [None, RuntimeError, KeyboardInterrupt])
def test_the_model_is_as_before_however_the_cascade_ends(kind, walk, ending):
    model = _ready(kind)
    blocks, before = find_blocks(model, images()), state_of(model)
    with contextlib.suppress(RuntimeError, KeyboardInterrupt), walk(model, blocks) as steps:
        for step in steps:
            torch.rand(1)
            if ending and step.index == 2:
                raise ending
    assert state_of(model) == before


def test_a_signal_in_the_middle_of_a_draw_gives_the_model_back(interruptible):
    model = _ready("resnet")
    blocks, before = find_blocks(model, images()), state_of(model)
    draw = "pytest_saliency_sanity.perturbations.weights.initialization.stream"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, lambda *key: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt), randomized(model, blocks):
            pass
    assert state_of(model) == before


def test_an_iterator_kept_past_its_context_changes_nothing():
    model = _ready("mlp")
    before = state_of(model)
    with cascading(model, images()) as steps:
        next(steps)
    assert list(steps) == [] and state_of(model) == before


def test_the_callers_generators_are_neither_used_nor_moved():
    model = _ready("mlp")
    before = random_numbers_ahead()
    with cascading(model, images()) as steps:
        for _ in steps:
            assert random_numbers_ahead() == before
    assert random_numbers_ahead() == before


def test_layers_of_equal_shape_get_other_weights():
    model = _ready("mlp")
    with randomized(model, images()):
        assert not (model[3].weight == model[5].weight).any()


def test_batch_statistics_are_reset_with_their_block():
    model = _ready("resnet")
    model.train()(images())
    model.eval()
    with cascading(model, images(), depths=(2,)) as steps:
        next(steps)
        assert model.layer2[1].bn1.running_var.eq(1).all() and not model.bn1.running_var.eq(1).any()


@pytest.mark.parametrize("walk", [cascading, bottom_up])
def test_depths_stop_only_there_with_the_weights_of_a_full_walk(walk):
    model = _ready("resnet")
    with walk(model, images()) as steps:
        full = {step.index: _values(model) for step in steps}
    with walk(model, images(), depths=(5, 2)) as steps:
        for step in steps:
            assert not _changed(full[step.index], _values(model))
            assert step.total == 6 and len(step.blocks) == step.index
    assert step.index == 5 and step.new == step.blocks[2:5]


def test_what_a_block_gets_depends_on_no_other_block():
    model = _ready("vit")
    blocks = find_blocks(model, images())
    with randomized(model, blocks):
        together = _values(model)
    with independent(model, blocks) as steps:
        for step in steps:
            block = next(block for block in blocks if block.name in step.blocks)
            assert all(torch.equal(_values(model)[name], together[name]) for name in block.parameters)


@pytest.mark.parametrize("depths", [(0,), (1, 7), (-1,), (1.5,), ()])
def test_depths_outside_of_the_model_are_refused(depths):
    with (
        pytest.raises(ValueError, match="depths= are numbers of blocks, 1 to 6 for this model, got"),
        cascading(_ready("resnet"), images(), depths=depths),
    ):
        pass


def test_no_blocks_are_refused():
    with (
        pytest.raises(ValueError, match="There are no blocks to re-initialize"),
        cascading(_ready("mlp"), ()),
    ):
        pass


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(), draw=st.integers(0, 50))
def test_seed_and_draw_settle_the_weights(seed, draw):
    model = _ready("mlp")
    blocks, seen = find_blocks(model, images()), []
    for key in ((seed, draw), (seed, draw), (seed, draw + 1), (seed + 1, draw)):
        with randomized(model, blocks, seed=key[0], draw=key[1]):
            seen.append(_values(model))
    assert not _changed(seen[0], seen[1])
    assert _changed(seen[0], seen[2]) == _changed(seen[0], seen[3]) == set(seen[0])


def test_the_same_seed_gives_the_same_weights_in_every_process():
    code = "from tests.perturbations.weights.test_randomization import fingerprint; print(fingerprint())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == fingerprint()


def fingerprint() -> str:
    """Of a network's weights when they are drawn with seed 5."""
    model = _ready("vit")
    with randomized(model, images(), seed=5, draw=2):
        values = b"".join(value.numpy().tobytes() for value in _values(model).values())
    return hashlib.sha256(values).hexdigest()


def test_an_explainer_that_holds_a_layer_sees_the_randomized_weights():
    model = _ready("resnet")
    layer, weight = model.fc, model.layer1[0].conv1.weight
    held = layer.weight.data
    with randomized(model, images()) as step:
        assert model.fc is layer and model.layer1[0].conv1.weight is weight
        assert torch.equal(held, layer.weight)
        assert not torch.equal(held, step.trained.value(layer.weight))


def test_an_explainer_may_do_what_it_likes_between_the_steps():
    model = _ready("resnet")
    before = state_of(model)
    with cascading(model, images()) as steps:
        for _ in steps:
            model(images()).sum().backward()
            model.conv1.weight.data = model.conv1.weight.data.clone()
            model.layer1[0].register_forward_hook(lambda module, args, output: None)
    assert state_of(model) == before


def test_tied_weights_are_drawn_once_in_their_topmost_block():
    model = _ready("tied")
    with cascading(model, images()) as steps:
        next(steps)
        top = model.decoder.weight.detach().clone()
        list(steps)
        assert torch.equal(model.decoder.weight, top) and model.encoder.weight is model.decoder.weight


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_keep_theirs(dtype):
    model = build("resnet").to(dtype)
    x = images(dtype=dtype)
    trained = model(x)
    with randomized(model, x) as step:
        assert model.conv1.weight.dtype == dtype
        seen = coverage(step, trained, model(x))
    assert seen.parameters_changed > 0.98 * seen.parameters_total and not seen.nan
    assert torch.equal(model(x), trained)


def test_frozen_models_stay_frozen():
    model = _ready("resnet").requires_grad_(False)
    trained = _logits(model)
    with randomized(model, images()):
        assert not any(p.requires_grad for p in model.parameters())
        assert not torch.allclose(_logits(model), trained)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit.*:FutureWarning")
def test_scripted_models_are_randomized_and_given_back():
    model = torch.jit.script(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5)).eval()
    )
    trained = _logits(model)
    with randomized(model, images()) as step:
        seen = coverage(step, trained, _logits(model))
    assert seen.parameters_changed == seen.parameters_total == sum(p.numel() for p in model.parameters())
    assert seen.logit_correlation < 0.9 and torch.equal(_logits(model), trained)


@pytest.mark.parametrize("wrap", ["compile", "DataParallel"])
def test_wrapped_models_get_the_weights_of_the_network_inside(wrap):
    model = _ready("resnet")
    with randomized(model, images()):
        expected = _logits(model)
    wrapped = torch.compile(model, backend="eager") if wrap == "compile" else nn.DataParallel(model)
    trained = _logits(wrapped)
    with randomized(wrapped, images()):
        assert torch.allclose(_logits(wrapped), expected)
    assert torch.equal(_logits(wrapped), trained)


@pytest.mark.parametrize(
    "kind", ["mlp", "resnet", "vit", "head_first", "functional", "parametrized", "recurrent"]
)
def test_with_the_head_negated_the_logits_turn_around(kind):
    model = _ready(kind)
    blocks, trained, before = find_blocks(model, images()), _logits(model), state_of(model)
    with negated_head(model, blocks):
        assert torch.allclose(_logits(model), -trained, atol=1e-6)
    assert state_of(model) == before


def test_a_spectrally_normalized_head_is_negated_too():
    head = nn.Linear(16, 3)
    with torch.no_grad():  # singular values far apart: power iteration finds the largest in a few passes
        head.weight.copy_(torch.diag(torch.tensor([1.0, 0.3, 0.1])) @ nn.init.orthogonal_(torch.empty(3, 16)))
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.utils.parametrizations.spectral_norm(head)
    )
    for _ in range(20):
        model(images())
    model.eval()
    trained = _logits(model)
    with negated_head(model, find_blocks(model, images())) as names:
        assert torch.allclose(_logits(model), -trained, rtol=1e-4, atol=1e-5)
    assert names == ("3.parametrizations.weight.original", "3.bias")


@pytest.mark.parametrize("enter", [randomized, negated_head, cascading])
def test_explainers_can_take_gradients_within(enter):
    model, x = _ready("resnet"), images().requires_grad_()
    with enter(model, find_blocks(model, x)) as entered:
        if enter is cascading:
            next(entered)
        assert torch.autograd.grad(model(x).sum(), x)[0].abs().sum() > 0


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_weight_normalized_head_of_the_old_style_is_negated_too():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.utils.weight_norm(nn.Linear(8, 3)))
    trained = _logits(model)
    with negated_head(model, find_blocks(model, images())) as names:
        assert torch.allclose(_logits(model), -trained, atol=1e-6)
    assert names == ("3.weight_v", "3.bias")


def test_only_the_last_layer_of_the_top_block_is_negated():
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    blocks = find_blocks(model, images(), names=("1",)), find_blocks(model, images())
    with negated_head(model, blocks[1]) as names:
        assert names == ("5.weight", "5.bias")
    with negated_head(model, blocks[0]) as names:
        assert names == ("1.weight", "1.bias")


def test_a_top_block_without_a_layer_has_no_head():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    blocks = find_blocks(model, images(), names=("1",))
    with (
        pytest.raises(ValueError, match="The top block '1' has no linear layer to negate"),
        negated_head(model, blocks),
    ):
        pass


def test_coverage_counts_what_is_redrawn_out_of_all_in_use():
    model = _ready("head_first")
    trained = _logits(model)
    with cascading(model, images()) as steps:
        seen = coverage(next(steps), trained, _logits(model))
    assert (seen.tensors_changed, seen.tensors_total) == (2, 8)
    assert (seen.parameters_changed, seen.parameters_total) == (
        85,
        sum(p.numel() for p in model.parameters()),
    )


def _coverage(before: torch.Tensor, after: torch.Tensor):
    model = _ready("mlp")
    with randomized(model, images()) as step:
        return coverage(step, before, after)


def test_coverage_of_logits():
    logits = torch.randn(6, 4)
    same = _coverage(logits, logits)
    assert (same.logit_correlation, same.prediction_agreement, same.nan, same.dead) == (
        pytest.approx(1), 1, False, 0,
    )  # fmt: skip
    negative = _coverage(logits, -3 * logits)
    assert negative.logit_correlation == pytest.approx(-1) and negative.prediction_agreement < 1
    half_dead = logits.clone()
    half_dead[:, :2] = 5
    assert _coverage(logits, half_dead).dead == 0.5
    assert _coverage(logits, torch.zeros(6, 4)).dead == 1
    assert _coverage(logits, torch.zeros(6, 4)).logit_correlation == 0
    assert _coverage(logits, torch.full((6, 4), float("nan"))).nan
    assert _coverage(logits[:1], logits[:1]).dead == 0


def test_coverage_of_a_single_logit_compares_its_sign():
    before, after = torch.tensor([[1.0], [-1.0]]), torch.tensor([[2.0], [3.0]])
    assert _coverage(before, after).prediction_agreement == 0.5


def test_coverage_of_a_sigmoid_compares_the_side_of_a_half():
    before, after = torch.tensor([[0.9], [0.2]]), torch.tensor([[0.6], [0.7]])
    assert _coverage(before, after).prediction_agreement == 0.5
    logits = torch.tensor([[2.0], [-1.0]])
    assert _coverage(logits, torch.tensor([[0.1], [0.2]])).prediction_agreement == 0.5


def test_coverage_is_builtin_numbers():
    seen = _coverage(torch.randn(3, 2), torch.randn(3, 2).half())
    assert {type(value) for value in vars(seen).values()} == {int, float, bool}


def test_coverage_needs_logits_of_one_shape():
    with pytest.raises(ValueError, match=r"same shape \(N, K\), got \(3, 2\) and \(3, 4\)"):
        _coverage(torch.zeros(3, 2), torch.zeros(3, 4))


@pytest.mark.extended
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16_bn", "vit_b_16", "convnext_tiny", "swin_t"])
def test_torchvision_models_are_wholly_randomized_alive_and_given_back(name):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model, x = getattr(models, name)(weights=None).eval(), F.interpolate(images(), 224)
    with torch.no_grad():
        blocks, trained, before = find_blocks(model, x), model(x), _values(model)
        with cascading(model, blocks) as steps:
            seen = [coverage(step, trained, model(x)) for step in steps if step.index in (1, len(blocks))]
    assert not any(each.nan or each.dead for each in seen) and abs(seen[-1].logit_correlation) < 0.5
    assert seen[-1].parameters_changed > 0.9999 * seen[-1].parameters_total
    assert seen[-1].tensors_changed == len(list(model.parameters())) and not _changed(before, _values(model))
