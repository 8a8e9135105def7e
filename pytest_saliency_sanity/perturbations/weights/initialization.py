"""How a tensor is drawn anew: He uniform where there is a fan, else normal at the scale it works at.

The rule, for a model whose parameters are re-initialized:

- a weight with a fan (Linear, Bilinear, convolutions, transposed ones, attention and recurrent layers):
  uniform with mean 0 and variance 2 / fan_in (He et al. 2015, equation 10), so that activations neither
  vanish nor explode; uniform, as torch's own initializers are, since that is quickly drawn;
- scale and shift of batch, layer, group and RMS normalization: N(1, .1²) and N(0, .1²). A batch
  normalization's running mean is set to 0, its running variance to 1, the statistics of He weights with
  inputs of unit variance; trained scales have no meaning beside them. Drawn around trained values instead,
  the input gradient of EfficientNet-Lite0 (ImageNet weights, photographs) grows to 2.5e5 at full depth,
  beyond half precision; by this rule it is 18, and the logits depend on the image no less;
- a parametrized weight (torch.nn.utils.parametrizations: orthogonal, weight_norm, spectral_norm; one's own) as if
  it were not, and assigned through the parametrization's `right_inverse`, which makes an orthogonal matrix of it, or
  magnitudes and directions. Drawn by itself a raw tensor can leave what the parametrization takes: orthogonal's
  diagonal is 1 or -1, and gives a weight of 0 between. Where there is no right inverse, or it refuses (matrix_exp and
  cayley without trivialization), the raw tensors are drawn as below;
- every other parameter (biases, layer scale, class tokens, position embeddings, embedding tables, raw tensors,
  old weight_norm's magnitudes): N(m, s²), where m and s are mean and standard deviation of
  its trained values, s at least .1 |m|, and .02 where all values are 0. The scale at which a parameter works
  is kept, what was learned in it is not; constants change too;
- buffers named `weight` and `bias` (frozen batch normalization) are drawn like parameters; all other buffers,
  `num_batches_tracked` among them, stay;
- a scripted module does not show its class: its parameters are drawn as "every other";
- the singular vectors of spectral_norm are found for the new weights by power iteration.

Each tensor has its own random stream, named by (seed, draw, qualified name): layers of equal shape never get
equal weights, and what one tensor gets depends on no other tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.perturbations.restoring.streams import stream
from pytest_saliency_sanity.perturbations.weights.addresses import submodule
from pytest_saliency_sanity.perturbations.weights.parametrizations import assign, keeps_state, made_of

LAYERS_WITH_FAN = (nn.Linear, nn.Bilinear, _ConvNd, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
RELATIVE_SPREAD = 0.1
SPREAD_OF_ZEROS = 0.02
POWER_ITERATIONS = 20
_PART = 2**18  # values that are drawn at once


def initialize(
    network: nn.Module,
    names: Iterable[str],
    trained: Callable[[Tensor], Tensor],
    *,
    seed: int = 0,
    draw: int = 0,
) -> None:
    """Draw the named parameters and buffers of `network` anew, in place, by the rule of this module.

    `trained(tensor)` gives the trained values of a tensor, whatever it holds now. Values are written below
    autograd: neither `requires_grad` nor version counters change. Dtype, device and strides are kept.
    """
    layers: dict[str, nn.Module] = {}
    names = list(names)
    for name in names:
        path, _, local = name.rpartition(".")
        layer = layers.setdefault(path, submodule(network, path))
        tensor = getattr(layer, local)
        if not _is_fitted(layer, local):
            _redraw(tensor.data, layer, local, trained(tensor), stream(seed, draw, name))
    assign(network, names, trained, redrawn, (seed, draw))
    for path, layer in layers.items():
        refresh_spectral_norm(layer, path)


def redrawn(layer: nn.Module, name: str, value: Tensor, generator: torch.Generator) -> Tensor:
    """New values, float32 on the CPU, for the tensor `name` of `layer`, whose trained values are `value`."""
    dtype = torch.complex64 if value.is_complex() else torch.float32
    new = torch.empty(value.shape, dtype=dtype)
    _fill(new, layer, name, value, generator)
    return new


def fan_in(layer: nn.Module, name: str, value: Tensor) -> float | None:
    """The number of inputs that one output of `layer` sums through its weight `name`; None for no weight."""
    if not isinstance(layer, LAYERS_WITH_FAN) or not _is_weight(name) or value.dim() < 2:
        return None
    if isinstance(layer, _ConvTransposeNd):
        return len(value) / layer.groups * math.prod(layer.kernel_size) / math.prod(layer.stride)
    return math.prod(value.shape[1:])


def is_layer_weight(layer: nn.Module, name: str, value: Tensor) -> bool:
    """Whether the tensor makes a layer of its own: a weight with a fan, or a raw matrix.

    Vectors, also in more dimensions such as layer scale (C, 1, 1), and what starts with a dimension of 1,
    such as a class token (1, 1, D) or a position embedding (1, L, D), belong to the layer before them.
    """
    if fan_in(layer, name, value) is not None:
        return True
    return value.dim() > 1 and 1 < len(value) < value.numel() and not _is_norm(layer)


def is_redrawn_buffer(layer: nn.Module, name: str, buffer: Tensor) -> bool:
    """Whether the rule of this module changes the buffer `name` of `layer`."""
    named = name in ("running_mean", "running_var", "weight", "bias") and buffer.is_floating_point()
    return named or _is_fitted(layer, name)


def refresh_spectral_norm(layer: nn.Module, path: str = "") -> None:
    """Fit the singular vectors that spectral_norm keeps in `layer`, if it does, to its present weight."""
    if isinstance(layer, nn.utils.parametrize.ParametrizationList):
        for place, part in enumerate(layer):
            if isinstance(part, _SpectralNorm) and hasattr(part, "_u"):
                matrix = part._reshape_weight_to_matrix(made_of(layer, place))
                _power_iteration(matrix, part._u, part._v, path)
    for hook in _old_spectral_norms(layer):
        matrix = hook.reshape_weight_to_matrix(getattr(layer, f"{hook.name}_orig"))
        u, v = (getattr(layer, f"{hook.name}_{side}") for side in "uv")
        _power_iteration(matrix, u, v, path)


def _is_weight(name: str) -> bool:
    recurrent = name.startswith(("weight_ih", "weight_hh", "weight_hr"))
    return name == "weight" or recurrent or name.endswith("proj_weight")


def _redraw(target: Tensor, layer: nn.Module, name: str, value: Tensor, generator: torch.Generator) -> None:
    # Straight into its memory where that gives the same numbers: a third of the time.
    if target.device.type == "cpu" and target.dtype == torch.float32 and target.is_contiguous():
        _fill(target, layer, name, value, generator)
    else:
        target.copy_(redrawn(layer, name, value, generator))


def _fill(new: Tensor, layer: nn.Module, name: str, value: Tensor, generator: torch.Generator) -> None:
    if not new.numel():
        return
    if name in ("running_mean", "running_var"):
        new.fill_(float(name == "running_var"))
    elif value.is_complex():
        torch.view_as_real(new).normal_(*_present(torch.view_as_real(value)), generator=generator)
    elif (fan := fan_in(layer, name, value)) is not None:
        _fill_uniform(new, math.sqrt(6 / fan), generator.initial_seed())
    else:
        new.normal_(*_distribution(layer, name, value), generator=generator)


def _fill_uniform(new: Tensor, bound: float, seed: int) -> None:
    # 65,536 levels, four from each raw number, part by part while it is in the cache: large layers are most of a draw.
    raw, flat = np.random.PCG64(seed), new.view(-1)
    for start in range(0, len(flat), _PART):
        part = flat[start : start + _PART]
        levels = raw.random_raw(math.ceil(len(part) / 4)).view(np.int16)[: len(part)]
        part.copy_(torch.from_numpy(levels)).mul_(bound / 2**15)


def _distribution(layer: nn.Module, name: str, value: Tensor) -> tuple[float, float]:
    """Mean and standard deviation to draw a tensor without a fan with."""
    if name in ("weight", "bias") and _is_norm(layer):
        return float(name == "weight"), RELATIVE_SPREAD
    return _present(value)


def _is_norm(layer: nn.Module) -> bool:
    return isinstance(layer, NORMS) or hasattr(layer, "running_var")


def _present(value: Tensor) -> tuple[float, float]:
    finite = value[value.isfinite()].float()
    if not len(finite):
        return 0.0, SPREAD_OF_ZEROS
    spread, mean = (float(number) for number in torch.std_mean(finite, correction=0))
    return mean, max(spread, RELATIVE_SPREAD * abs(mean)) or SPREAD_OF_ZEROS


def _is_fitted(layer: nn.Module, name: str) -> bool:
    """Whether a buffer is not drawn, but follows the weight that is: of orthogonal and of spectral_norm."""
    return name in _singular_vectors(layer) or (keeps_state(layer) and name in layer._buffers)


def _singular_vectors(layer: nn.Module) -> set[str]:
    old = {f"{hook.name}_{side}" for hook in _old_spectral_norms(layer) for side in "uv"}
    return old | ({"_u", "_v"} if isinstance(layer, _SpectralNorm) else set())


def _old_spectral_norms(layer: nn.Module) -> list[SpectralNorm]:
    hooks = vars(layer).get("_forward_pre_hooks", {}).values()
    return [hook for hook in hooks if isinstance(hook, SpectralNorm)]


def _power_iteration(matrix: Tensor, u: Tensor, v: Tensor, path: str) -> None:
    with entered(torch.no_grad()):
        _iterate(matrix, u, v, path)


def _iterate(matrix: Tensor, u: Tensor, v: Tensor, path: str) -> None:
    matrix = matrix.float()
    # A start of its own: from the trained vectors a rank-deficient weight could stay at zero.
    left = torch.randn(len(matrix), generator=stream("spectral_norm", path)).to(matrix.device)
    for _ in range(POWER_ITERATIONS):
        right = nn.functional.normalize(matrix.T @ left, dim=0)
        left = nn.functional.normalize(matrix @ right, dim=0)
    u.data.copy_(left)
    v.data.copy_(right)
