"""What a model returns, read as logits (N, K), and the scores of the targets among them."""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pytest_saliency_sanity.loans import Loan, entered, lent
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.text import shown

Inputs: TypeAlias = "Tensor | tuple[Tensor, ...]"
Forward: TypeAlias = Callable[[Any, Any], Tensor]

FIELDS = ("logits", "out")

_forward: ContextVar[Forward | None] = ContextVar("saliency_forward", default=None)


def using_forward(forward: Forward | None) -> Loan[None]:
    """Within this context, `forward(model, inputs)` gives the logits wherever `forward=None` is passed.

    Contexts nest, the innermost applies; `using_forward(None)` goes back to calling the model itself.
    """
    if forward is not None and not callable(forward):
        raise TypeError(
            f"forward= must be a function forward(model, inputs) -> logits, got {shown(forward)}."
        )
    before: list[Forward | None] = []

    def take() -> None:
        before.append(_forward.get())
        _forward.set(forward)

    return lent(take, lambda: [_forward.set(present) for present in before])


def current_forward() -> Forward | None:
    """The function that `using_forward` has set here, or None."""
    return _forward.get()


def logits(model: Any, inputs: Inputs, forward: Forward | None = None) -> Tensor:
    """The model's logits, (N, K), with their graph.

    `inputs` is a tensor (N, C, *S) or a tuple of tensors, which are passed as `model(*inputs)`. The model
    may return a tensor, or something that holds one under `logits` or `out`. One number per input, (N,),
    becomes (N, 1); a dense prediction (N, K, *S) of four or more dimensions is averaged over S.

    The model gets copies, so that it may write into them (`x.sub_(mean)`). Under `torch.no_grad()` a model whose
    forward pass needs gradients (an energy model, a hook on its input) is called with them all the same, and
    what it returns is detached.

    Raises TypeError if no tensor of logits is found, ValueError if its shape has no single reading. Both
    name `forward=`, the function `forward(model, inputs)` that settles it.
    """
    returned = called(model, inputs, forward)
    scores = _two_dimensional(_tensor(returned, batch_size(inputs)), batch_size(inputs))
    return scores if torch.is_grad_enabled() else scores.detach()


def called(model: Any, inputs: Inputs, forward: Forward | None = None) -> Any:
    """What the model returns for copies of the inputs, as it is; see `logits`.

    Raises what the model raises, with gradients where it failed without.
    """
    forward = forward or _forward.get()
    if torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        return _call(model, inputs, forward)
    if _needing_gradients.get(id(model)) is model:
        return _call_with_gradients(model, inputs, forward)
    try:
        return _call(model, inputs, forward)
    except Exception as error:
        if is_interruption(error):
            raise
    returned = _call_with_gradients(model, inputs, forward)
    with contextlib.suppress(TypeError):  # no weak references: then it is tried anew each time
        _needing_gradients[id(model)] = model
    return returned


def raw_outputs(model: Any, inputs: Inputs, forward: Forward | None = None) -> Any:
    """What the model returns for the inputs themselves, into which it may write."""
    forward = forward or _forward.get()
    if forward is not None:
        return forward(model, inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def read_logits(
    model: Any, inputs: Inputs, forward: Forward | None = None, whose: str = "the model"
) -> Tensor:
    """As `logits`, but for what the model itself raises: a ValueError names `whose` it is and what was raised.

    Out of memory is raised as it is, and so is what a signal's handler raises meanwhile.
    """
    try:
        returned = called(model, inputs, forward)
    except Exception as error:
        if is_interruption(error) or isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise _model_error(error, inputs, "forward=" if forward or _forward.get() else whose) from error
    return logits(model, inputs, lambda *_: returned)


def class_scores(model: Any, inputs: Inputs, targets: Any, forward: Forward | None = None) -> Tensor:
    """One score an input, (N,), with its graph.

    `targets` (N,) of integers: the logit of that class; (N, K) of weights, for several labels per image:
    the weighted sum of the logits. Raises what `logits` and `check_targets` raise.
    """
    scores = logits(model, inputs, forward)
    checked = check_targets(targets, *scores.shape).to(scores.device)
    if checked.dim() == 1:
        return scores.gather(1, checked[:, None]).squeeze(1)
    return (scores * checked.to(scores.dtype)).sum(1)


def predicted_targets(model: Any, inputs: Inputs, forward: Forward | None = None) -> Tensor:
    """The class with the largest logit, (N,) int64; 0 for a model with a single logit."""
    with entered(torch.no_grad()):
        return logits(model, inputs, forward).argmax(1)


def unreadable(tensor: Tensor) -> str:
    """Why the numbers of a tensor cannot be read, in words that follow "is"; "" where they can."""
    if tensor.is_nested:
        return "nested (its rows differ in length)"
    if tensor.layout != torch.strided:
        return f"sparse ({tensor.layout}); pass .to_dense()"
    if tensor.is_meta:
        return "on the meta device, which holds no values"
    if tensor.is_quantized:
        return f"quantized ({tensor.dtype}); pass .dequantize()"
    if tensor.is_floating_point() and tensor.element_size() == 1:
        return f"of {tensor.dtype}, which torch cannot compute with; pass .float()"
    return ""


def check_targets(targets: Any, n: int, k: int) -> Tensor:
    """`targets` as a tensor: (n,) int64 with values in 0..k-1, or (n, k) floating-point weights.

    Raises ValueError that shows the value, for a wrong shape, length, dtype or an index out of range.
    """
    found = as_targets(targets, n)
    return _check_weights(found, n, k) if found.dim() == 2 else _check_range(found, k)


def as_targets(targets: Any, n: int) -> Tensor:
    """What can be checked of `targets` before the number of classes is known: (n,) int64 or (n, any).

    Raises ValueError that shows the value, for a wrong number of dimensions, length or dtype.
    """
    found = _as_tensor(targets)
    if found.dim() not in (1, 2):
        raise ValueError(
            f"targets must be ({n},) class indices or ({n}, K) weights, got shape {tuple(found.shape)}."
        )
    if len(found) != n:
        raise ValueError(f"There are {n} inputs but {len(found)} targets.")
    if found.is_complex():
        raise ValueError(f"targets must be real numbers, class indices or weights, got {found.dtype}.")
    if found.dim() == 2:
        return found if found.is_floating_point() else found.to(torch.get_default_dtype())
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise ValueError(f"targets of shape ({n},) must be class indices (int64), got {found.dtype}.")
    return found.long()


def like_model(part: Tensor, model: Any) -> Tensor:
    """An input on the model's device, in its dtype; token ids keep theirs."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return part.to(tensor.device, tensor.dtype if part.is_floating_point() else part.dtype)
    return part


def batch_size(inputs: Inputs) -> int:
    """The number of inputs N, the first dimension of the tensor or of the first tensor of the tuple.

    Raises TypeError if `inputs` is neither a tensor nor a tuple of tensors, ValueError if their N differ.
    """
    parts = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    wrong = [part for part in parts if not isinstance(part, Tensor)]
    if wrong or not parts:
        found = type(wrong[0]).__name__ if wrong else "an empty tuple"
        raise TypeError(f"inputs must be a tensor (N, C, *S) or a tuple of such tensors, got {found}.")
    sizes = [len(part) if part.dim() else 0 for part in parts]
    if len(set(sizes)) > 1:
        raise ValueError(f"A tuple of inputs needs the same N in every tensor, got {sizes}.")
    return sizes[0]


def _model_error(error: Exception, inputs: Inputs, whose: str) -> ValueError:
    parts = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    shapes = ", ".join(str(tuple(part.shape)) for part in parts)
    text = str(error).strip().splitlines()
    line = f": {text[0]}" if text else ""
    return ValueError(f"{whose} raised {type(error).__name__} for inputs of shape {shapes}{line}")


# Models that were found to need gradients in their forward pass, by id: not all can be hashed.
_needing_gradients: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _call(model: Any, inputs: Inputs, forward: Forward | None) -> Any:
    return raw_outputs(model, _copied(inputs), forward)


def _copied(inputs: Inputs) -> Inputs:
    if isinstance(inputs, (tuple, list)):
        return type(inputs)(part.clone() for part in inputs)
    return inputs.clone()


def _call_with_gradients(model: Any, inputs: Inputs, forward: Forward | None) -> Any:
    with entered(torch.enable_grad()):
        return _call(model, _requiring_gradients(inputs), forward)


def _requiring_gradients(inputs: Inputs) -> Inputs:
    if isinstance(inputs, (tuple, list)):
        return tuple(map(_requiring_gradient, inputs))
    return _requiring_gradient(inputs)


def _requiring_gradient(values: Tensor) -> Tensor:
    return values.detach().requires_grad_() if values.is_floating_point() else values


def _tensor(returned: Any, n: int) -> Tensor:
    if isinstance(returned, Tensor):
        return returned
    for field in FIELDS:
        value = returned.get(field) if isinstance(returned, Mapping) else getattr(returned, field, None)
        if isinstance(value, Tensor):
            return value
    raise TypeError(
        f"The model returned {_described(returned, n)}, in which there is no tensor under 'logits' or 'out': "
        f"pass {_suggested(returned, n)}."
    )


def _described(returned: Any, n: int) -> str:
    name = type(returned).__name__
    if isinstance(returned, Mapping):
        return f"a {name} with the keys {sorted(map(str, returned))}"
    if (fields := _field_names(returned)) is not None:
        return f"a {name} with the fields {fields}"
    if _one_an_input(returned, n):
        return f"a {name} of {n}, one for each input: {_described(returned[0], n)}"
    if isinstance(returned, (tuple, list)):
        return f"a {name} of {len(returned)}"
    return f"a {name}"


def _field_names(returned: Any) -> list[str] | None:
    """The names in a named tuple or a dataclass; None for what is neither."""
    fields = getattr(returned, "_fields", None)
    if fields is None and dataclasses.is_dataclass(returned):
        return [field.name for field in dataclasses.fields(returned)]
    return None if fields is None else list(fields)


def _suggested(returned: Any, n: int) -> str:
    if _one_an_input(returned, n):
        return _suggested_for_each(returned[0])
    if isinstance(returned, Mapping):
        return f"forward=lambda model, inputs: model(inputs)[{next(iter(returned), 'key')!r}], or another key"
    if isinstance(returned, (tuple, list)):
        return "forward=lambda model, inputs: model(inputs)[0], or another position"
    return "forward=, a function forward(model, inputs) -> logits"


def _one_an_input(returned: Any, n: int) -> bool:
    """Whether it is a list of what was found in each input, as detectors return it, and not of several outputs."""
    if not isinstance(returned, (tuple, list)) or hasattr(returned, "_fields") or len(returned) != n:
        return False
    return n > 0 and not any(one is None or isinstance(one, (Tensor, tuple, list)) for one in returned)


def _suggested_for_each(found: Any) -> str:
    """An example for detectors: one number per image, also of images in which nothing is found."""
    scores = _scores_in(found)
    if scores is None:
        return (
            "forward=, a function forward(model, inputs) that turns each of them into one number, or into K "
            "numbers, and stacks these into logits (N, K)"
        )
    return (
        f"forward=lambda model, inputs: torch.stack([found{scores}.sum() for found in model(inputs)]), or another "
        f"score of each"
    )


def _scores_in(found: Any) -> str | None:
    """Where the scores of what was found in an image are, as it is written behind a name."""
    if isinstance(found, Mapping):
        names = [name for name in ("scores", "score", "logits") if _is_score(found.get(name))]
        names += [name for name, value in found.items() if _is_score(value)]
        inside = [f"[{name!r}].scores" for name, value in found.items() if _is_score(_scores_of(value))]
        return next((f"[{name!r}]" for name in names), next(iter(inside), None))
    return ".scores" if _is_score(_scores_of(found)) else None


def _scores_of(found: Any) -> Any:
    return None if isinstance(found, Tensor) else getattr(found, "scores", None)


def _is_score(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _two_dimensional(scores: Tensor, n: int) -> Tensor:
    if reason := unreadable(scores):
        raise TypeError(
            f"The model returned a tensor that is {reason}; pass forward=, a function forward(model, inputs) -> logits."
        )
    shape = tuple(scores.shape)
    if not scores.is_floating_point():
        raise TypeError(
            f"The logits must be floating-point numbers, but the model returned {scores.dtype}; "
            "pass forward=, a function forward(model, inputs) -> logits."
        )
    if scores.dim() == 0 or shape[0] != n:
        raise ValueError(
            f"The model returned a tensor of shape {shape} for {n} inputs, but ({n}, K) is needed; pass forward=, "
            f"a function forward(model, inputs) -> logits."
        )
    if scores.dim() > 1 and not shape[1]:
        raise ValueError(f"The model returned logits of shape {shape}, which have no classes.")
    if scores.dim() == 3:
        raise ValueError(
            f"Logits of shape {shape} are ambiguous, (N, positions, K) or (N, K, positions): pass "
            "forward=lambda model, inputs: model(inputs).mean(1), or another reduction to (N, K)."
        )
    return scores[:, None] if scores.dim() == 1 else scores.flatten(2).mean(2) if scores.dim() > 3 else scores


def _as_tensor(targets: Any) -> Tensor:
    try:
        found = targets if isinstance(targets, Tensor) else torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(
            f"targets must be a tensor of class indices or of weights, got {shown(targets)}."
        ) from None
    if reason := unreadable(found):
        raise ValueError(f"targets must be a tensor of class indices or of weights; this one is {reason}.")
    return found


def _check_weights(weights: Tensor, n: int, k: int) -> Tensor:
    if weights.shape != (n, k):
        raise ValueError(
            f"targets of two dimensions are weights of shape ({n}, {k}), got {tuple(weights.shape)}."
        )
    broken = (~weights.isfinite()).nonzero()
    if len(broken):
        row, column = broken[0].tolist()
        raise ValueError(
            f"Weights must be finite: that of class {column} for input {row} is {weights[row, column]}."
        )
    empty = (weights == 0).all(1).nonzero()
    if len(empty):
        raise ValueError(
            f"All weights of input {empty[0].item()} are 0: its score is 0 whatever the model returns."
        )
    return weights


def _check_range(targets: Tensor, k: int) -> Tensor:
    outside = targets[(targets < 0) | (targets >= k)]
    if len(outside):
        raise ValueError(f"Target {outside[0].item()} is out of range: the model has the classes 0..{k - 1}.")
    return targets
