"""What to do about an exception that an explainer raised."""

from __future__ import annotations

LESS_MEMORY = (
    "fewer images at once within the explainer (captum's internal_batch_size or perturbations_per_eval), fewer steps "
    "or samples, smaller images"
)


def advice_on(error: Exception, called_as: str = "") -> str:
    """What to do about it, in brackets; "" where nothing is known.

    Args:
        error: what the explainer has raised.
        called_as: a sentence on how it is called, where that is not as explainer(model, inputs, targets).
    """
    return (
        (f" ({called_as})" if called_as else _arguments(error))
        + _in_place(error)
        + _filtered(error)
        + _recomputed(error)
        + _too_large(error)
    )


def _arguments(error: Exception) -> str:
    """A reminder, where the arguments may have been taken for others."""
    mistaken = isinstance(error, (TypeError, AttributeError, AssertionError))
    return " (explainers are called as explainer(model, inputs, targets))" if mistaken else ""


def _in_place(error: Exception) -> str:
    """What to do where a model writes into a leaf that requires a gradient."""
    written = isinstance(error, RuntimeError) and "used in an in-place operation" in str(error)
    return (
        " (does the model write into its inputs? call it with a copy, model(inputs.clone()))"
        if written
        else ""
    )


def _filtered(error: Exception) -> str:
    """Why a warning is an exception here, and how to let it be one no longer."""
    if not isinstance(error, Warning):
        return ""
    kind = type(error)
    where = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return (
        f" (it is a warning that a filter of this project turns into an error; to keep it a warning, put "
        f'@pytest.mark.filterwarnings("default::{where}{kind.__qualname__}") on the test, or add the quoted text '
        f"to filterwarnings in pytest's settings)"
    )


def _recomputed(error: Exception) -> str:
    """What to do about a backward pass that finds another forward pass than the one it saw."""
    recomputed = type(error).__name__ == "CheckpointError"
    return " (the model uses gradient checkpointing: turn it off)" if recomputed else ""


def _too_large(error: Exception) -> str:
    """How a call takes less memory, where there was none left: torch says it of a GPU and of the processor's alike."""
    words = str(error)
    short = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in words
    return f" (cheaper: {LESS_MEMORY})" if short or isinstance(error, MemoryError) else ""
