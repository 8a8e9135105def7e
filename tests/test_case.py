"""`Case`: a frozen value whose fields may be left out."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_saliency_sanity import Case

NAMES = [
    "model", "inputs", "targets", "labels", "train_set", "make_model", "regions", "channel_axis", "embed", "reference",
]  # fmt: skip


def test_its_fields() -> None:
    assert [field.name for field in dataclasses.fields(Case)] == NAMES
    assert all(getattr(Case(), name) is None for name in NAMES)


def test_a_value() -> None:
    case = Case("model", inputs=(1, 2))
    assert case == Case(model="model", inputs=(1, 2)) != Case("model")
    assert dataclasses.replace(case, targets=3).inputs == (1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.model = None  # type: ignore[misc]


@pytest.mark.parametrize("name", NAMES)
def test_no_field_has_a_class_attribute(name: str) -> None:
    # With one, the fixture's `__getattr__` would never be asked for it.
    assert not hasattr(Case, name)
