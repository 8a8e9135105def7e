"""Whatever a model returns is read as logits (N, K), or refused in one sentence that names `forward=`."""

from __future__ import annotations

import re
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torchvision.models import detection

from pytest_saliency_sanity import check_contract
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.outputs import (
    batch_size,
    check_targets,
    class_scores,
    logits,
    predicted_targets,
    using_forward,
)

INPUTS = torch.zeros(2, 3, 4, 4)
SCORES = torch.tensor([[1.0, 3.0, 2.0], [6.0, 4.0, 5.0]])
Named = namedtuple("Named", "logits aux_logits")
Unnamed = namedtuple("Unnamed", "first second")


@dataclass
class ModelOutput:
    loss: torch.Tensor | None
    logits: torch.Tensor


@dataclass
class Hidden:
    hidden_state: torch.Tensor


def returning(value):
    return lambda *inputs: value


@pytest.mark.parametrize("value", [
    SCORES,
    {"logits": SCORES, "out": -SCORES},
    {"aux": -SCORES, "out": SCORES},
    Named(SCORES, -SCORES),
    ModelOutput(None, SCORES),
])  # fmt: skip
def test_logits_are_found(value):
    assert logits(returning(value), INPUTS) is SCORES


def test_one_number_an_input_becomes_one_logit():
    assert torch.equal(logits(returning(SCORES[:, 0]), INPUTS), SCORES[:, :1])
    assert predicted_targets(returning(SCORES[:, 0]), INPUTS).tolist() == [0, 0]


@pytest.mark.parametrize("sides", [(5, 6), (2, 3, 4)])
def test_dense_predictions_are_averaged_over_space(sides):
    dense = torch.randn(2, 3, *sides)
    torch.testing.assert_close(logits(returning(dense), INPUTS), dense.flatten(2).mean(2))


@pytest.mark.parametrize("value, error, message", [
    ((SCORES, SCORES), TypeError, r"a tuple of 2, .*forward=lambda model, inputs: model\(inputs\)\[0\]"),
    ([SCORES], TypeError, r"a list of 1, .*forward="),
    (Unnamed(SCORES, SCORES), TypeError, r"a Unnamed with the fields \['first', 'second'\].*\[0\]"),
    ({"scores": SCORES}, TypeError, r"a dict with the keys \['scores'\].*model\(inputs\)\['scores'\]"),
    ({}, TypeError, r"a dict with the keys \[\].*forward="),
    (Hidden(SCORES), TypeError, r"a Hidden with the fields \['hidden_state'\].*forward="),
    (None, TypeError, r"a NoneType, .*forward="),
    (SCORES.argmax(1), TypeError, r"floating-point numbers, but the model returned torch.int64; pass forward="),
    (torch.zeros(2, 5, 3), ValueError, r"Logits of shape \(2, 5, 3\) are ambiguous.*forward="),
    (torch.tensor(1.0), ValueError, r"shape \(\) for 2 inputs"),
    (SCORES[:1], ValueError, r"shape \(1, 3\) for 2 inputs, but \(2, K\) is needed; pass forward="),
])  # fmt: skip
def test_what_is_no_logits_is_refused(value, error, message):
    with pytest.raises(error, match=message):
        logits(returning(value), INPUTS)


def test_a_tuple_of_inputs_is_unpacked():
    assert torch.equal(logits(lambda a, b: a + b, (SCORES, SCORES)), 2 * SCORES)


def test_forward_is_used_and_contexts_nest():
    def first(model, inputs):
        return model(inputs)[0]

    def second(model, inputs):
        return model(inputs)[1]

    model = returning((SCORES, -SCORES))
    assert logits(model, INPUTS, forward=first) is SCORES
    with using_forward(first):
        assert logits(model, INPUTS) is SCORES
        with using_forward(second):
            assert torch.equal(logits(model, INPUTS), -SCORES)
            assert logits(model, INPUTS, forward=first) is SCORES
        with pytest.raises(KeyError), using_forward(second):
            raise KeyError
        assert logits(model, INPUTS) is SCORES
        with using_forward(None), pytest.raises(TypeError, match="a tuple of 2"):
            logits(model, INPUTS)
    with pytest.raises(TypeError, match="a tuple of 2"):
        logits(model, INPUTS)


def test_forward_must_be_a_function():
    with pytest.raises(TypeError, match=r"forward= must be a function .* got 3"), using_forward(3):
        pass


def test_class_scores_choose_or_weigh():
    model = returning(SCORES)
    assert class_scores(model, INPUTS, torch.tensor([1, 2])).tolist() == [3.0, 5.0]
    assert class_scores(model, INPUTS, [1, 2]).tolist() == [3.0, 5.0]
    assert class_scores(model, INPUTS, torch.tensor([[1, 1, 0], [0, 0, 2]])).tolist() == [4.0, 10.0]
    assert class_scores(returning(SCORES.half()), INPUTS, torch.ones(2, 3)).dtype == torch.half


def test_predicted_targets_leave_no_graph():
    weights = SCORES.clone().requires_grad_()
    assert predicted_targets(lambda x: weights * 1, INPUTS).tolist() == [1, 0]


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_class_indices_are_one_hot_weights(n, k, data):
    scores = torch.randn(n, k, dtype=torch.double)
    targets = torch.tensor(data.draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    inputs, model = torch.zeros(n, 1), returning(scores)
    one_hot = torch.nn.functional.one_hot(targets, k)
    assert torch.equal(class_scores(model, inputs, targets), class_scores(model, inputs, one_hot))


def test_targets_are_given_back_as_indices_or_weights():
    assert check_targets(np.array([0, 2], dtype=np.int32), 2, 3).dtype == torch.int64
    assert check_targets([[0, 1, 0]], 1, 3).is_floating_point()
    assert check_targets([1], 1, 3).tolist() == [1]


@pytest.mark.parametrize("targets, message", [
    ([0, 1, 2], "There are 2 inputs but 3 targets"),
    ([0, 3], r"Target 3 is out of range: the model has the classes 0\.\.2"),
    ([-1, 0], r"Target -1 is out of range"),
    ([0.0, 1.0], r"must be class indices \(int64\), got torch.float32"),
    ([True, False], "must be class indices .* got torch.bool"),
    (1, r"must be \(2,\) class indices or \(2, K\) weights, got shape \(\)"),
    (torch.zeros(2, 3, 1), r"got shape \(2, 3, 1\)"),
    (torch.zeros(2, 4), r"weights of shape \(2, 3\), got \(2, 4\)"),
    ("cat", "class indices or of weights, got 'cat'"),
    (None, "class indices or of weights, got None"),
])  # fmt: skip
def test_bad_targets_are_shown(targets, message):
    with pytest.raises(ValueError, match=message):
        check_targets(targets, 2, 3)


@pytest.mark.parametrize("inputs, error, message", [
    (np.zeros((2, 3)), TypeError, "got ndarray"),
    ((), TypeError, "got an empty tuple"),
    ((INPUTS, None), TypeError, "got NoneType"),
    ((INPUTS, INPUTS[:1]), ValueError, r"the same N in every tensor, got \[2, 1\]"),
])  # fmt: skip
def test_inputs_are_tensors_of_one_length(inputs, error, message):
    with pytest.raises(error, match=message):
        batch_size(inputs)


BOXES, FOUND = torch.rand(3, 4), torch.tensor([0.5, 0.25, 0.125])
DETECTED = {
    "torchvision": ({"boxes": BOXES, "labels": torch.ones(3).long(), "scores": FOUND}, 0.875),
    "nothing found": ({"boxes": BOXES[:0], "labels": torch.ones(0).long(), "scores": FOUND[:0]}, 0.0),
    "logits": ({"boxes": BOXES, "logits": FOUND}, 0.875),
    "another name": ({"labels": torch.ones(3).long(), "confidence": FOUND}, 0.875),
    "an object's": (SimpleNamespace(boxes=BOXES, scores=FOUND), 0.875),
    "detectron2": ({"instances": SimpleNamespace(pred_boxes=BOXES, scores=FOUND)}, 0.875),
}


def example(told):
    return eval(re.search(r"forward=(lambda.*\)\]\)), or another", str(told.value)).group(1))


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("found, score", DETECTED.values(), ids=DETECTED)
def test_a_detector_is_told_of_forward_with_an_example_that_is_right_for_a_batch(found, score, n):
    inputs = torch.zeros(n, 1, 4, 4)
    other = {"scores": FOUND * 0} if isinstance(found, dict) else None
    with pytest.raises(
        TypeError, match=rf"returned a list of {n}, one for each input: a .* pass forward="
    ) as told:
        logits(returning([found] * n), inputs)
    forward = example(told)
    assert forward(returning([found] * n), inputs).tolist() == [score] * n
    if found is DETECTED["torchvision"][0] and n > 1:
        assert forward(returning([found, *[other] * (n - 1)]), inputs).tolist() == [score] + [0.0] * (n - 1)


@pytest.mark.parametrize(
    "found", [{"labels": torch.ones(3).long()}, {}, SimpleNamespace(boxes=BOXES), "no person"]
)
def test_where_no_scores_are_found_the_shape_is_told(found):
    with pytest.raises(
        TypeError, match=r"turns each of them into one number, .* stacks these into logits \(N, K\)\.$"
    ):
        logits(returning([found, found]), INPUTS)


@pytest.mark.parametrize("value", [[SCORES, {}], [{"scores": FOUND}] * 3, (SCORES, None)])
def test_a_list_of_several_outputs_is_not_taken_for_one_an_input(value):
    with pytest.raises(
        TypeError, match=r"forward=lambda model, inputs: model\(inputs\)\[0\], or another position"
    ):
        logits(returning(value), INPUTS)


DETECTORS = {
    "fasterrcnn": (
        detection.fasterrcnn_mobilenet_v3_large_320_fpn,
        {"min_size": 64, "max_size": 64, "box_score_thresh": 0.0, "box_detections_per_img": 10},
    ),
    "ssdlite": (detection.ssdlite320_mobilenet_v3_large, {"detections_per_img": 10}),
}


@pytest.mark.parametrize("make, options", DETECTORS.values(), ids=DETECTORS)
def test_torchvision_s_detectors_have_a_verdict_by_the_example(make, options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make(weights=None, weights_backbone=None, num_classes=3, **options).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(
        TypeError, match=r"one for each input: a dict with the keys \['boxes', 'labels', 'scores'"
    ) as told:
        check_contract(gradient, model, images)
    forward = example(told)
    scores = logits(model, images, forward)
    assert scores.shape == (2, 1) and scores.requires_grad
    assert torch.equal(logits(model, images[1:], forward), scores[1:])
