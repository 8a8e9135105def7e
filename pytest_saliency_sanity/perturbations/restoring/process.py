"""Process-wide settings of torch other than its generators: the default dtype and the grad mode."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pytest_saliency_sanity.loans import Loan, lent


@dataclass(frozen=True)
class ProcessState:
    """The default dtype and the grad mode as they were."""

    dtype: torch.dtype
    gradients: bool

    def restore(self) -> None:
        """Set both."""
        torch.set_default_dtype(self.dtype)
        torch.set_grad_enabled(self.gradients)

    def changes(self) -> tuple[str, ...]:
        """What has changed since, in words."""
        dtype = torch.get_default_dtype()
        found = {
            f"the default dtype (to {dtype})": dtype != self.dtype,
            f"the grad mode (to {torch.is_grad_enabled()})": torch.is_grad_enabled() != self.gradients,
        }
        return tuple(name for name, changed in found.items() if changed)


def process_state() -> ProcessState:
    """The present state."""
    return ProcessState(torch.get_default_dtype(), torch.is_grad_enabled())


def keeping_process() -> Loan[ProcessState]:
    """A context after which both are as they are now; yields what they are now."""
    state = process_state()
    return lent(lambda: state, state.restore)
