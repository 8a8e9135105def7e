"""Class activation maps: the last feature map of a model, weighted by the gradient of the target's score."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.explainers.backprop import guided_backprop
from pytest_saliency_sanity.explainers.features import FeatureMap, FeatureMaps
from pytest_saliency_sanity.explainers.gradients import gradient_leaves, gradients_at, scores_of
from pytest_saliency_sanity.explainers.heads import Call, before_head, watching_calls
from pytest_saliency_sanity.explainers.inputs import Parts, as_given, tensors, wide
from pytest_saliency_sanity.explainers.interception import refuse_opaque
from pytest_saliency_sanity.explainers.spatial import spatial
from pytest_saliency_sanity.loans import Loan, entered, lent
from pytest_saliency_sanity.outputs import Inputs, logits
from pytest_saliency_sanity.perturbations.weights.gradients import depends_on

UPSAMPLING = {1: "linear", 2: "bilinear", 3: "trilinear"}


@spatial
def gradcam(
    model: Any, inputs: Inputs, targets: Any, *, layer: str | nn.Module | None = None, relu: bool = True
) -> Inputs:
    """Grad-CAM, (N, 1, *S): a feature map summed over its channels, each weighted by its mean gradient.

    Selvaraju et al. 2017, section 3; rectified unless `relu=False`, then upsampled (bi-, tri-)linearly to
    the input's size. `layer` is a module of the model or its dotted name (of a layer that runs several
    times the last run counts). By default the model is run and its last spatial feature map taken: channels
    first or last, or the tokens of a transformer, folded to their grid without the class tokens; of these
    the last at which the patch tokens have a gradient (after the last attention only the class token has
    one). Of a network that predicts a map (N, K, *S), the last one before its head is taken, since a map of
    logits is the prediction itself.

    Raises NotApplicable for a tuple of inputs, and if there is no spatial feature map; ValueError if the layer
    is unknown, does not run or has no spatial output, or if a part of the model is scripted or compiled.
    """
    features, gradients = _features("gradcam", model, inputs, targets, layer)
    return _as_map(inputs, _weighted_sum(features, gradients, relu))


@spatial
def mean_activation(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """What the last feature map holds, whatever the class: its absolute values, averaged over channels, (N, 1, *S).

    Found and upsampled as `gradcam` does it. What class activation maps share, and not an explanation: nothing
    above that layer is used.

    Raises what `gradcam` raises.
    """
    features, _ = _features("mean_activation", model, inputs, targets, None)
    return _as_map(inputs, wide(features).abs().mean(1, keepdim=True))


@spatial
def guided_gradcam(
    model: Any, inputs: Inputs, targets: Any, *, layer: str | nn.Module | None = None
) -> Inputs:
    """Guided backpropagation times Grad-CAM, (N, C, *S). Selvaraju et al. 2017, section 3.3.

    Raises what `guided_backprop` and `gradcam` raise.
    """
    cams = tensors(gradcam(model, inputs, targets, layer=layer))
    guided = tensors(guided_backprop(model, inputs, targets))
    return as_given(inputs, [g * cam for g, cam in zip(guided, cams, strict=True)])


def _features(
    name: str, model: Any, inputs: Inputs, targets: Any, layer: str | nn.Module | None
) -> tuple[Tensor, Tensor]:
    """(N, C, *grid) a feature map of the explainer `name`, and the gradient of the targets' scores there."""
    leaf_shape = _one_tensor(inputs).shape
    model = model.module if isinstance(model, nn.DataParallel) else model
    refuse_opaque(name, model)
    with entered(torch.inference_mode(False)), entered(torch.enable_grad()):
        leaves = gradient_leaves(inputs)
        maps = FeatureMaps(leaf_shape[0], tuple(leaf_shape[2:]))
        with (
            _watching(model, layer) as outputs,
            watching_calls(model if layer is None else None, maps) as calls,
            entered(maps),
        ):
            scores, classes = _scores_of(model, inputs, leaves, targets)
        if layer is None:
            features, gradients = _default_map(model, maps, calls, scores, classes, leaves[0])
        else:
            features, gradients = _map_of_layer(model, layer, outputs, maps, scores, leaves[0])
    return features.detach(), gradients


def _as_map(inputs: Inputs, cam: Tensor) -> Inputs:
    """A map over a grid, (N, 1, *grid), upsampled to the input's size."""
    like = _one_tensor(inputs)
    return as_given(inputs, [_upsampled(cam, like.shape[2:]).to(like.dtype)])


class _SeveralInputs(NotApplicable, TypeError):
    """A TypeError as well: that is what gradcam has always raised for a tuple of inputs."""


def _one_tensor(inputs: Inputs) -> Tensor:
    parts = tensors(inputs)
    if len(parts) != 1:
        raise _SeveralInputs(
            f"gradcam explains one tensor of inputs, got a tuple of {len(parts)}: a feature map does not show "
            f"which of them it belongs to."
        )
    if parts[0].dim() - 2 not in UPSAMPLING:
        raise NotApplicable(
            "gradcam needs inputs (N, C, *S) with one to three spatial dimensions, "
            f"got {tuple(parts[0].shape)}."
        )
    return parts[0]


def _watching(model: Any, layer: str | nn.Module | None) -> Loan[list[Any]]:
    """The outputs of `layer`, run after run, as long as the context is open."""
    outputs: list[Any] = []
    handles: list[RemovableHandle] = []
    found = None if layer is None else _module(model, layer)

    def keep(module: nn.Module, args: Any, output: Any) -> Any:
        outputs.append(output)
        # What follows gets a copy: an in-place ReLU behind the layer shall not change what the layer gave.
        return output.clone() if isinstance(output, Tensor) else output

    def watch() -> list[Any]:
        if found is not None:
            handles.append(found.register_forward_hook(keep))
        return outputs

    return lent(watch, lambda: list(map(RemovableHandle.remove, handles)))


def _module(model: Any, layer: str | nn.Module) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    if isinstance(layer, nn.Module):
        if any(module is layer for module in modules.values()):
            return layer
        raise ValueError(
            f"layer={type(layer).__name__}(...) is not a module of this {type(model).__name__} (a copy of a model "
            f"has layers of its own): pass the layer's dotted name."
        )
    if layer in modules:
        return modules[layer]
    raise ValueError(
        f"Unknown layer {layer!r}; the layers of {type(model).__name__} are "
        f"{', '.join(name for name in modules if name)}."
    )


def _scores_of(model: Any, inputs: Inputs, leaves: Parts, targets: Any) -> tuple[Tensor, int]:
    """The targets' scores, and the number of the model's logits."""
    classes: list[int] = []

    def noted(model: Any, batch: Inputs) -> Tensor:
        found = logits(model, batch)
        classes.append(found.shape[1])
        return found

    return scores_of(model, inputs, leaves, targets, noted), classes[0]


def _map_of_layer(
    model: Any, layer: str | nn.Module, outputs: list[Any], maps: FeatureMaps, scores: Tensor, leaf: Tensor
) -> tuple[Tensor, Tensor]:
    name = layer if isinstance(layer, str) else type(layer).__name__
    if not outputs:
        raise ValueError(f"The layer {name} does not run.")
    output = outputs[-1][0] if isinstance(outputs[-1], (tuple, list)) else outputs[-1]
    layout = maps.layout_of(output) if isinstance(output, Tensor) else None
    if layout is None:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"The output of the layer {name} is not a map over the positions of the input: {found}."
        )
    gradient = _gradient_at(model, scores, output)
    if gradient is None:
        _refuse_checkpointing(model, scores, leaf)
        if not output.requires_grad:
            raise NotApplicable(
                f"The output of the layer {name} has no gradient: it is computed under torch.no_grad(), or detached."
            )
        raise ValueError(f"The score does not depend on the output of the layer {name}.")
    return layout.read(output), layout.read(gradient)


def _default_map(
    model: Any, maps: FeatureMaps, calls: list[Call], scores: Tensor, classes: int, leaf: Tensor
) -> tuple[Tensor, Tensor]:
    """The last feature map with a gradient; of a network that predicts a map the last one before its head."""
    name = type(model).__name__
    at = functools.partial(_gradient_at, model, scores)
    features = before_head(model, maps, calls, classes, at)
    last = _last_map(maps.found if features is None else features, at, leaf)
    if last is not None:
        return last
    _refuse_checkpointing(model, scores, leaf)
    if features is not None:
        raise NotApplicable(
            f"gradcam found no spatial features before the head of {name}, which predicts a map (and the map of "
            f"its logits is the prediction itself): name a layer with layer=."
        )
    raise NotApplicable(_no_map(name, maps))


def _no_map(name: str, maps: FeatureMaps) -> str:
    """Why there is no feature map with a gradient."""
    if maps.without_gradient or maps.found:
        return (
            f"gradcam weights feature maps by their gradients, but the feature maps of {name} have no gradient: "
            f"they, or their inputs, are computed under torch.no_grad(), or detached; let the gradient through, "
            f"or use an explainer that needs none (occlusion)."
        )
    if maps.recurrent:
        layers = ", ".join(sorted(maps.recurrent))
        return (
            f"gradcam found no spatial feature map in {name}: its recurrent layer ({layers}) "
            "reads the positions one by one into a single state; use another explainer, or name a layer in front "
            "of it with layer=."
        )
    return (
        f"gradcam found no spatial feature map in {name} (an MLP has none): use "
        "another explainer, or name a layer with layer=."
    )


def _last_map(
    found: list[FeatureMap], gradient_at: Callable[[Tensor], Tensor | None], leaf: Tensor
) -> tuple[Tensor, Tensor] | None:
    last = None
    for feature in reversed(found):
        gradient = gradient_at(feature.tensor)
        if gradient is None or not depends_on(feature.tensor, leaf):
            continue
        read = feature.layout.read(feature.tensor), feature.layout.read(gradient)
        if not feature.layout.prefix or read[1].any():
            return read
        if last is None and not gradient.any():
            return read  # A head of zeros: no earlier map has a gradient either.
        last = last or read
    return last


def _gradient_at(model: Any, scores: Tensor, tensor: Tensor) -> Tensor | None:
    return gradients_at(model, scores, (tensor,), keep=True)[0] if tensor.requires_grad else None


def _refuse_checkpointing(model: Any, scores: Tensor, leaf: Tensor) -> None:
    """What is made inside of a reentrant checkpoint has no gradient; that at the input says so."""
    _gradient_at(model, scores, leaf)


def _weighted_sum(features: Tensor, gradients: Tensor, relu: bool) -> Tensor:
    features, gradients = wide(features), wide(gradients)
    weights = gradients.mean(tuple(range(2, gradients.dim())), keepdim=True)
    cam = (weights * features).sum(1, keepdim=True)
    return cam.relu() if relu else cam


def _upsampled(cam: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(cam, size=tuple(size), mode=UPSAMPLING[len(size)], align_corners=False)
