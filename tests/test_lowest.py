"""The lowest versions that are tried are the lowest that pyproject.toml allows."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.manual import ROOT

# The list itself, not the file as TOML: Python 3.10 has no tomllib.
_BLOCK = re.search(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.M | re.S)
REQUIRED = [Requirement(text) for text in re.findall(r'^    "(.+?)",', _BLOCK[1] if _BLOCK else "", re.M)]
PINNED = {
    pin.name.replace("_", "-"): pin
    for pin in map(
        Requirement, re.findall(r"^[^#\s].*$", (ROOT / ".ci" / "lowest.txt").read_text("utf-8"), re.M)
    )
}


def version(requirement: Requirement, operator: str) -> Version:
    """The one version that stands there behind the operator."""
    (found,) = [one for one in requirement.specifier if one.operator == operator]
    return Version(found.version)


def test_all_are_there() -> None:
    assert len(REQUIRED) >= 10


@pytest.mark.parametrize("required", REQUIRED, ids=lambda required: required.name)
def test_the_pin_is_the_bound(required: Requirement) -> None:
    pin = PINNED[required.name.replace("_", "-")]
    assert version(pin, "==") == version(required, ">="), f"write {required.name} anew into .ci/lowest.txt"
