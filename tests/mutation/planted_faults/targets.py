"""The wrong number is explained: another class, another score, another sign."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.mutation.planted_faults.fault import stateless
from tests.mutation.right import derivative, gradcam, gradient, logit, occlusion


def next_class(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, (targets + 1) % model(inputs).shape[1])


def first_target_for_all(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets[:1].expand_as(targets))


def predicted_class(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, model(inputs).argmax(1))


def runner_up_class(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    others = model(inputs).scatter(1, targets[:, None], -torch.inf)
    return gradient(model, inputs, others.argmax(1))


def all_classes_summed(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return derivative(lambda x: model(x).sum(1), inputs)


def saturated_softmax(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return derivative(lambda x: F.softmax(model(x), 1).gather(1, targets[:, None])[:, 0], inputs)


def loss_instead_of_score(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return derivative(lambda x: F.cross_entropy(model(x), targets, reduction="none"), inputs)


def sign_flipped(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return -gradient(model, inputs, targets)


def cam_sign_flipped(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return -gradcam(model, inputs, targets)


def gain_instead_of_drop(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return -occlusion(model, inputs, targets)


def occlusion_of_predicted_class(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return occlusion(model, inputs, model(inputs).argmax(1))


def occlusion_of_rounded_softmax(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    def rounded(network: nn.Module, classes: Tensor):
        return lambda x: F.softmax(network(x), 1).gather(1, classes[:, None])[:, 0].mul(100).round()

    return occlusion(model, inputs, targets, score=rounded)


def penalized_by_norm(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return derivative(lambda x: logit(model, targets)(x) - 0.5 * model(x).pow(2).sum(1), inputs)


FAULTS = (
    stateless("explains the next class", "gradient", next_class),
    stateless("explains the first image's target for all images", "gradient", first_target_for_all),
    stateless("explains the argmax of whichever model it is given", "gradient", predicted_class),
    stateless("explains the class that comes second", "gradient", runner_up_class),
    stateless("explains the sum of all logits", "gradient", all_classes_summed),
    stateless("the gradient of a saturated softmax", "gradient", saturated_softmax),
    stateless("the gradient of the loss, which falls where the score rises", "gradient", loss_instead_of_score),
    stateless("the sign is flipped", "gradient", sign_flipped),
    stateless("the sign is flipped after the rectifier", "gradcam", cam_sign_flipped),
    stateless("what the score gains when a window is hidden", "occlusion", gain_instead_of_drop),
    stateless("the argmax of the model at hand", "occlusion", occlusion_of_predicted_class),
    stateless("drops of a softmax in whole percents, most of them 0", "occlusion", occlusion_of_rounded_softmax),
    stateless("a penalty on all logits is in the score", "gradient", penalized_by_norm),
)  # fmt: skip
