"""What type checkers say of a project's tests: mypy and pyright read this file, nobody runs it.

A wrong option has to be an error: an ignore that is not needed is one itself.
"""

from __future__ import annotations

import torch
from typing_extensions import assert_type

import pytest_saliency_sanity as sanity
from pytest_saliency_sanity import Verdict, check_contract, check_model_sensitivity, typing
from pytest_saliency_sanity.explainers import gradient


def functions(model: torch.nn.Module, images: torch.Tensor) -> None:
    assert_type(
        sanity.check_consistency(gradient, model, min_agreement=0.6, metrics=("sparseness",)), Verdict
    )
    assert_type(check_contract(gradient, model, images, seed=3), Verdict)
    assert_type(sanity.check_data_sensitivity(gradient, lambda: model, (images, images), images), Verdict)
    assert_type(sanity.check_distancing(gradient, model, images, classes=(0, 1), labels=images), Verdict)
    assert_type(sanity.check_insertion_deletion(gradient, model, images, max_deletion=0.3), Verdict)
    assert_type(sanity.check_localization(gradient, model, images, regions=images), Verdict)
    assert_type(check_model_sensitivity(gradient, model, images, labels=images), Verdict)
    assert_type(sanity.check_occlusion_sensitivity(gradient, model, images, infill="blur"), Verdict)
    assert_type(sanity.check_target_sensitivity(gradient, model, images, max_seconds=3.0), Verdict)
    assert_type(sanity.assert_consistent(gradient, model), Verdict)
    assert_type(sanity.check_parity(gradient, model, reference="maps", min_agreement=0.9), Verdict)
    assert_type(sanity.assert_parity(gradient, model, reference="maps"), Verdict)
    assert_type(sanity.assert_contract(gradient, model), Verdict)
    assert_type(sanity.assert_data_sensitive(gradient, lambda: model, (images, images), images), Verdict)
    assert_type(sanity.assert_insertion_deletion(gradient, model, images), Verdict)
    assert_type(sanity.assert_localized(gradient, model, images, regions=images), Verdict)
    assert_type(sanity.assert_model_sensitive(gradient, model, depths="every"), Verdict)
    assert_type(sanity.assert_occlusion_sensitive(gradient, model), Verdict)
    assert_type(sanity.assert_target_sensitive(gradient, model), Verdict)
    assert_type(sanity.check_completeness(gradient, model, baseline=0.5), Verdict)
    assert_type(sanity.assert_complete(gradient, model), Verdict)
    assert_type(sanity.check_linear_oracle(gradient, model, expects="gradient"), Verdict)
    assert_type(sanity.assert_linear_oracle(gradient, model), Verdict)
    assert_type(sanity.check_ignored_input(gradient, model, tolerance=0.1), Verdict)
    assert_type(sanity.assert_ignored_input(gradient, model), Verdict)
    assert_type(sanity.check_implementation_invariance(gradient, model, rewritten=model), Verdict)
    assert_type(sanity.assert_implementation_invariant(gradient, model), Verdict)
    assert_type(sanity.check_input_shift(gradient, model, shift=1.0), Verdict)
    assert_type(sanity.assert_input_shift_invariant(gradient, model), Verdict)


def wrong_options(model: torch.nn.Module) -> None:
    check_model_sensitivity(gradient, model, nonsense=3)  # type: ignore[call-arg]  # pyright: ignore
    check_model_sensitivity(gradient, model, seed="3")  # type: ignore[arg-type]  # pyright: ignore
    check_model_sensitivity(1, model)  # type: ignore[arg-type]  # pyright: ignore
    check_contract(gradient, model, labels=None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_consistency(gradient, model, threshold=0.3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_data_sensitivity(gradient, input_shape=None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_distancing(gradient, model, None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_insertion_deletion(gradient, model, share=1)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_localization(gradient, model, region=None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_occlusion_sensitivity(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_target_sensitivity(gradient, model, blocks=None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_parity(gradient, model, threshold=0.3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_parity(gradient, model, threshold=0.3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_consistent(gradient, model, threshold=0.3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_contract(gradient, model, labels=None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_data_sensitive(gradient, input_shape=None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_insertion_deletion(gradient, model, share=1)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_localized(gradient, model, region=None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_model_sensitive(gradient, model, nonsense=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_occlusion_sensitive(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_target_sensitive(gradient, model, blocks=None)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_completeness(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_complete(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_linear_oracle(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_linear_oracle(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_ignored_input(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_ignored_input(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_implementation_invariance(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_implementation_invariant(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.check_input_shift(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore
    sanity.assert_input_shift_invariant(gradient, model, steps=3)  # type: ignore[call-arg]  # pyright: ignore


def test_completeness(assert_complete: typing.AssertComplete) -> None:
    assert_type(assert_complete(gradient, baseline=0.5), Verdict)
    assert_complete(gradient, steps=3)  # type: ignore[call-arg]  # pyright: ignore


def test_linear_oracle(assert_linear_oracle: typing.AssertLinearOracle) -> None:
    assert_type(assert_linear_oracle(gradient, expects="gradient"), Verdict)
    assert_linear_oracle(gradient, steps=3)  # type: ignore[call-arg]  # pyright: ignore


def test_ignored_input(assert_ignored_input: typing.AssertIgnoredInput) -> None:
    assert_type(assert_ignored_input(gradient, tolerance=0.1), Verdict)
    assert_ignored_input(gradient, steps=3)  # type: ignore[call-arg]  # pyright: ignore


def test_implementation_invariance(
    assert_implementation_invariant: typing.AssertImplementationInvariant,
) -> None:
    assert_type(assert_implementation_invariant(gradient, tolerance=0.1), Verdict)
    assert_implementation_invariant(gradient, steps=3)  # type: ignore[call-arg]  # pyright: ignore


def test_input_shift(assert_input_shift_invariant: typing.AssertInputShiftInvariant) -> None:
    assert_type(assert_input_shift_invariant(gradient, shift=1.0), Verdict)
    assert_input_shift_invariant(gradient, steps=3)  # type: ignore[call-arg]  # pyright: ignore


def test_parity(assert_parity: typing.AssertParity) -> None:
    assert_type(assert_parity(gradient, reference="maps"), Verdict)
    assert_parity(gradient, threshold=0.3)  # type: ignore[call-arg]  # pyright: ignore


def test_consistent(assert_consistent: typing.AssertConsistent) -> None:
    assert_type(assert_consistent(gradient, min_agreement=0.6, metrics=("sparseness",)), Verdict)
    assert_consistent(gradient, threshold=0.3)  # type: ignore[call-arg]  # pyright: ignore


def test_contract(assert_contract: typing.AssertContract) -> None:
    assert_type(assert_contract(gradient, seed=3), Verdict)
    assert_contract(gradient, labels=None)  # type: ignore[call-arg]  # pyright: ignore


def test_data(assert_data_sensitive: typing.AssertDataSensitive) -> None:
    assert_type(assert_data_sensitive(gradient, twins=3), Verdict)
    assert_data_sensitive(gradient, input_shape=None)  # type: ignore[call-arg]  # pyright: ignore


def test_insertion(assert_insertion_deletion: typing.AssertInsertionDeletion) -> None:
    assert_type(assert_insertion_deletion(gradient, max_deletion=0.3), Verdict)
    assert_insertion_deletion(gradient, share=0.1)  # type: ignore[call-arg]  # pyright: ignore


def test_localized(assert_localized: typing.AssertLocalized) -> None:
    assert_type(assert_localized(gradient, min_iou=0.3), Verdict)
    assert_localized(gradient, region=None)  # type: ignore[call-arg]  # pyright: ignore


def test_model(assert_model_sensitive: typing.AssertModelSensitive) -> None:
    assert_type(assert_model_sensitive(gradient, depths="every"), Verdict)
    assert_model_sensitive(gradient, nonsense=3)  # type: ignore[call-arg]  # pyright: ignore


def test_occlusion(assert_occlusion_sensitive: typing.AssertOcclusionSensitive) -> None:
    assert_type(assert_occlusion_sensitive(gradient, share=0.1), Verdict)
    assert_occlusion_sensitive(gradient, steps=3)  # type: ignore[call-arg]  # pyright: ignore


def test_target(assert_target_sensitive: typing.AssertTargetSensitive) -> None:
    assert_type(assert_target_sensitive(gradient, threshold=0.2), Verdict)
    assert_target_sensitive(gradient, blocks=None)  # type: ignore[call-arg]  # pyright: ignore
