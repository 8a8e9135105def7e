"""Types of the fixtures, for type checkers: `def test_it(assert_contract: AssertContract) -> None`.

Each takes what its check takes; what is not given comes from the project's `saliency_*` fixtures.
`python -m tests.fixture_types` writes this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn
    from typing_extensions import Unpack

    from pytest_saliency_sanity.audited.conditions import (
        Conditions,
        OfAxioms,
        OfContract,
        OfImages,
        OfNetworks,
        OfRuns,
        WithLabels,
    )
    from pytest_saliency_sanity.perturbations.occlusion import Infill
    from pytest_saliency_sanity.trained_networks.networks import Train, TrueAndPermuted
    from pytest_saliency_sanity.verdict import Verdict


class AssertComplete(Protocol):
    """Of the fixture `assert_complete`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        baseline: Any = ...,
        tolerance: float = ...,
        finer: Callable[..., Any] | None = ...,
        quadrature_tolerance: float | None = ...,
        **conditions: Unpack[OfAxioms],
    ) -> Verdict: ...


class AssertConsistent(Protocol):
    """Of the fixture `assert_consistent`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        min_agreement: float = ...,
        metrics: Sequence[str] = ...,
        **conditions: Unpack[OfRuns],
    ) -> Verdict: ...


class AssertContract(Protocol):
    """Of the fixture `assert_contract`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        **conditions: Unpack[OfContract],
    ) -> Verdict: ...


class AssertDataSensitive(Protocol):
    """Of the fixture `assert_data_sensitive`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        make_model: Any = None,
        train_set: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        train: Train | None = ...,
        models: TrueAndPermuted | None = ...,
        twins: int | None = ...,
        max_epochs: int | None = ...,
        cache: str | Path | None = ...,
        key: str | None = ...,
        threshold: float = ...,
        one_sided_threshold: float = ...,
        similarities: Sequence[str] = ...,
        **conditions: Unpack[OfNetworks],
    ) -> Verdict: ...


class AssertIgnoredInput(Protocol):
    """Of the fixture `assert_ignored_input`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        tolerance: float = ...,
        **conditions: Unpack[OfAxioms],
    ) -> Verdict: ...


class AssertImplementationInvariant(Protocol):
    """Of the fixture `assert_implementation_invariant`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        rewritten: nn.Module | None = ...,
        tolerance: float = ...,
        **conditions: Unpack[OfAxioms],
    ) -> Verdict: ...


class AssertInputShiftInvariant(Protocol):
    """Of the fixture `assert_input_shift_invariant`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        shift: Any = ...,
        tolerance: float = ...,
        **conditions: Unpack[OfAxioms],
    ) -> Verdict: ...


class AssertInsertionDeletion(Protocol):
    """Of the fixture `assert_insertion_deletion`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        min_insertion: float | None = ...,
        max_deletion: float | None = ...,
        steps: int | None = ...,
        infill: Any = ...,
        absolute: bool = ...,
        metrics: Sequence[str] = ...,
        **conditions: Unpack[OfImages],
    ) -> Verdict: ...


class AssertLinearOracle(Protocol):
    """Of the fixture `assert_linear_oracle`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        expects: str | None = ...,
        baseline: Any = ...,
        tolerance: float = ...,
        **conditions: Unpack[OfAxioms],
    ) -> Verdict: ...


class AssertLocalized(Protocol):
    """Of the fixture `assert_localized`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        regions: Any = ...,
        box_format: str = ...,
        min_iou: float | None = ...,
        box: bool = ...,
        absolute: bool = ...,
        **conditions: Unpack[WithLabels],
    ) -> Verdict: ...


class AssertModelSensitive(Protocol):
    """Of the fixture `assert_model_sensitive`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        blocks: Sequence[str] | None = ...,
        depths: Sequence[str] | str | None = ...,
        threshold: float = ...,
        one_sided_threshold: float = ...,
        similarities: Sequence[str] = ...,
        metrics: Sequence[str] = ...,
        **conditions: Unpack[Conditions],
    ) -> Verdict: ...


class AssertOcclusionSensitive(Protocol):
    """Of the fixture `assert_occlusion_sensitive`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        share: float | None = ...,
        fraction: float | None = ...,
        infill: Infill = ...,
        classes: Sequence[int] | int | None = ...,
        absolute: bool = ...,
        **conditions: Unpack[OfImages],
    ) -> Verdict: ...


class AssertParity(Protocol):
    """Of the fixture `assert_parity`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        reference: Any = ...,
        min_agreement: float = ...,
        tolerance: float | None = ...,
        **conditions: Unpack[OfRuns],
    ) -> Verdict: ...


class AssertTargetSensitive(Protocol):
    """Of the fixture `assert_target_sensitive`."""

    def __call__(
        self,
        explainer: Callable[..., Any],
        model: Any = None,
        inputs: Any = None,
        targets: Any = None,
        *,
        threshold: float = ...,
        one_sided_threshold: float = ...,
        similarities: Sequence[str] = ...,
        **conditions: Unpack[Conditions],
    ) -> Verdict: ...
