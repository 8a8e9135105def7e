"""Other libraries' explainers whose code is changed: how each is called, and what it claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from tests.mutation.right import last_convolution


@dataclass(frozen=True)
class Method:
    """An explainer of a library.

    Attributes:
        library: the package.
        make: of a network the class, with its options; called where the library, changed or not, can be imported.
        files: of the package, whose lines are changed.
        axioms: what the method claims, by name the check's options.
    """

    library: str
    make: Callable[[nn.Module], Any]
    files: tuple[str, ...]
    axioms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _captum(name: str, **options: Any) -> Callable[[nn.Module], Any]:
    def made(_model: nn.Module) -> Any:
        import captum.attr

        return partial(getattr(captum.attr, name), **options)

    return made


def _smoothgrad(_model: nn.Module) -> Any:
    import captum.attr

    inner = partial(captum.attr.Saliency, abs=False)
    return partial(captum.attr.NoiseTunnel, attribution=inner, nt_samples=8, stdevs=0.15)


def _layer_gradcam(model: nn.Module) -> Any:
    import captum.attr

    layer = next(name for name, module in model.named_modules() if module is last_convolution(model))
    return partial(captum.attr.LayerGradCam, layer=layer, relu_attributions=True)


def _zennit(name: str, **options: Any) -> Callable[[nn.Module], Any]:
    def made(_model: nn.Module) -> Any:
        import zennit.attribution
        import zennit.composites

        home = zennit.attribution if hasattr(zennit.attribution, name) else zennit.composites
        return partial(getattr(home, name), **options)

    return made


def _epsilon(_model: nn.Module) -> Any:
    from zennit.composites import LayerMapComposite
    from zennit.rules import Epsilon
    from zennit.types import Convolution, Linear

    return LayerMapComposite([(Convolution, Epsilon()), (Linear, Epsilon())])


_W, _CONTRIBUTION = {"expects": "gradient"}, {"expects": "contribution"}
_OF_GRADIENTS: Mapping[str, Mapping[str, Any]] = {"ignored_input": {}, "implementation_invariance": {}}
_ATTR, _UTILS = "attr/_core", ("_utils/gradient.py", "_utils/common.py", "attr/_utils/common.py")
METHODS: Mapping[str, Method] = {
    "Saliency": Method(
        "captum", _captum("Saliency", abs=False), (f"{_ATTR}/saliency.py", *_UTILS),
        {"linear_oracle": _W, **_OF_GRADIENTS, "input_shift": {}},
    ),
    "InputXGradient": Method(
        "captum", _captum("InputXGradient"), (f"{_ATTR}/input_x_gradient.py", *_UTILS),
        {"linear_oracle": _CONTRIBUTION, **_OF_GRADIENTS},
    ),
    "IntegratedGradients": Method(
        "captum", _captum("IntegratedGradients", n_steps=16),
        (f"{_ATTR}/integrated_gradients.py", "attr/_utils/approximation_methods.py", *_UTILS),
        {"linear_oracle": _CONTRIBUTION, **_OF_GRADIENTS, "completeness": {}},
    ),
    "DeepLift": Method(
        "captum", _captum("DeepLift"), (f"{_ATTR}/deep_lift.py", *_UTILS),
        {"linear_oracle": _CONTRIBUTION, "ignored_input": {}, "completeness": {}},
    ),
    "NoiseTunnel": Method(
        "captum", _smoothgrad, (f"{_ATTR}/noise_tunnel.py",),
        {"linear_oracle": _W, **_OF_GRADIENTS, "input_shift": {}},
    ),
    "GradientShap": Method(
        "captum", _captum("GradientShap", n_samples=8), (f"{_ATTR}/gradient_shap.py",),
        {"linear_oracle": _CONTRIBUTION, "ignored_input": {}},
    ),
    "LayerGradCam": Method(
        "captum", _layer_gradcam, (f"{_ATTR}/layer/grad_cam.py", "_utils/gradient.py", "attr/_utils/attribution.py")
    ),
    "Occlusion": Method(
        "captum", _captum("Occlusion", sliding_window_shapes=(3, 4, 4), strides=(3, 4, 4)),
        (f"{_ATTR}/occlusion.py", f"{_ATTR}/feature_ablation.py"),
    ),
    "Gradient": Method(
        "zennit", _zennit("Gradient"), ("attribution.py",), {"linear_oracle": _W, **_OF_GRADIENTS, "input_shift": {}}
    ),
    "zennit IntegratedGradients": Method(
        "zennit", _zennit("IntegratedGradients", n_iter=16), ("attribution.py",),
        {"linear_oracle": _CONTRIBUTION, **_OF_GRADIENTS},
    ),
    "SmoothGrad": Method(
        "zennit", _zennit("SmoothGrad", n_iter=8), ("attribution.py",),
        {"linear_oracle": _W, **_OF_GRADIENTS, "input_shift": {}},
    ),
    "Epsilon": Method(
        "zennit", _epsilon, ("core.py", "rules.py", "composites.py"), {"ignored_input": {}}
    ),
    "EpsilonPlus": Method(
        "zennit", _zennit("EpsilonPlus"), ("core.py", "rules.py", "composites.py"), {"ignored_input": {}}
    ),
    "EpsilonGammaBox": Method(
        "zennit", _zennit("EpsilonGammaBox", low=0.0, high=2.5), ("core.py", "rules.py", "composites.py")
    ),
}  # fmt: skip
