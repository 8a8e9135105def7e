"""The fingerprint of the code that judges: what changes it, and what does not."""

from __future__ import annotations

import pytest

from pytest_saliency_sanity.checks.registry import CHECKS
from tests.calibration.judging_code import PACKAGE, SHOW, digest, modules
from tests.calibration.published import TABLES

KNOWN = {check.name for check in CHECKS}
TABLED = {check for table in TABLES.values() for check in table.checks} & KNOWN
SOURCE = '''
"""What it is."""

from numbers import Number

LIMIT = 0.3


def verdict(value: Number, kind="signed"):
    """Whether it passes."""
    if value > LIMIT and kind == "signed":  # strictly
        raise ValueError(f"{kind} is {value}, more than allowed")
    return value, "below the limit"
'''
SAME = {
    "comment": ("  # strictly", ""),
    "docstring": ('"""Whether it passes."""', '"""Another word."""'),
    "no docstring": ('    """Whether it passes."""\n', ""),
    "layout": ("value > LIMIT and kind", "(value > LIMIT) and \\\n            kind"),
    "message": ("more than allowed", "which is too much"),
    "values in a message": ("{kind} is {value}, more", "{value} is more"),
    "text": ("below the limit", "small enough"),
    "annotation": ("value: Number", "value: float"),
    "import": ("from numbers import Number", "import numbers"),
}
OTHER = {
    "number": ("0.3", "0.30001"),
    "operator": ("value > LIMIT", "value >= LIMIT"),
    "code word": ('== "signed"', '== "one_sided"'),
    "default": ('kind="signed"', 'kind="size"'),
    "statement": ("    return value,", "    value += 1\n    return value,"),
    "name": ("LIMIT", "BOUND"),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_wording_does_not_change_it(change: tuple[str, str]) -> None:
    assert change[0] in SOURCE
    assert digest([SOURCE.replace(*change)]) == digest([SOURCE])


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_a_decision_changes_it(change: tuple[str, str]) -> None:
    assert change[0] in SOURCE
    assert digest([SOURCE.replace(*change)]) != digest([SOURCE])


def test_it_is_the_same_in_whichever_file_a_function_stands() -> None:
    above, below = SOURCE.split("\n\n\n")
    assert digest([below, above]) == digest([SOURCE])
    assert digest([above]) != digest([SOURCE])


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_it_covers_what_judges_and_not_what_shows(table) -> None:
    own = {
        check for check in table.checks if check in KNOWN
    }  # what else is tabled is no check of the package
    judges = modules([f"{PACKAGE}.checks.{check}" for check in own] + [f"tests.calibration.{table.name}"])
    expected = (
        "audited.subject",
        "examination.explanation",
        "explainers.gradients",
        "statistics.contrast",
        "settings",
    )
    assert {f"{PACKAGE}.{name}" for name in expected} <= set(judges)
    assert {"tests.calibration.trials", "tests.digits"} <= set(judges)
    assert not [name for name in judges if f"{name}.".startswith(tuple(f"{one}." for one in SHOW))]
    others = {f"{PACKAGE}.checks.{check}" for check in TABLED - own}
    assert not others & set(judges)
