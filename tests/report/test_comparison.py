"""What differs between two runs."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_saliency_sanity.report.comparison import Change, Recorded, compared
from pytest_saliency_sanity.report.document import Entry
from tests.plugin.judging import made_stage
from tests.report.made import entry, measured, mixed

PROVENANCE = {
    "options": {},
    "profile": "ci",
    "model": {"class": "Net", "architecture": "a", "weights": "w", "dtype": "float32", "device": "cpu"},
    "inputs": {"shapes": [[16, 1, 8, 8]], "content": "i"},
    "targets": {"shapes": [[16]], "content": "t"},
}


def changes(before: Entry, after: Entry) -> tuple[Change, ...]:
    return compared([before.recorded], [after.recorded])


def kinds(before: Entry, after: Entry) -> list[str]:
    return [change.kind for change in changes(before, after)]


def test_equal_runs_do_not_differ() -> None:
    entries = [one.recorded for one in mixed().entries]
    assert compared(entries, list(entries)) == ()
    assert all(Recorded.from_json(one.to_json()) == one for one in entries)


BEFORE_AFTER = {
    "a pass that fails": (measured(0.1, "pass"), measured(0.9, "fail"), ["regression"]),
    "a pass that became inconclusive": (measured(0.1, "pass"), measured(0.45, "inconclusive"), ["regression"]),
    "a pass that broke the contract": (measured(0.1, "pass"), entry("error"), ["regression"]),
    "inconclusive that fails": (measured(0.5, "inconclusive"), measured(0.9, "fail"), ["regression"]),
    "a fail that passes": (measured(0.9, "fail"), measured(0.1, "pass"), ["improvement"]),
    "an expected failure that passes": (measured(0.9, "xfail"), measured(0.1, "pass"), ["improvement"]),
    "an expected failure that got worse": (measured(0.7, "xfail"), measured(0.85, "xfail"), ["regression"]),
    "one that stays within its interval": (measured(0.7, "xfail"), measured(0.78, "xfail"), []),
    "one that got better": (measured(0.9, "xfail"), measured(0.7, "xfail"), ["drift"]),
    "a pass that drifts": (measured(0.1, "pass"), measured(0.35, "pass"), ["drift"]),
    "a pass that stays": (measured(0.1, "pass"), measured(0.15, "pass"), []),
    "beyond one interval only": (measured(0.1, "pass", 0.02), measured(0.2, "pass", 0.15), []),
    "what was only seen": (measured(0.1, "observed"), measured(0.9, "observed"), ["regression"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BEFORE_AFTER)
def test_kinds(name: str) -> None:
    before, after, expected = BEFORE_AFTER[name]
    assert kinds(before, after) == expected


def test_where_more_is_better_less_is_worse() -> None:
    lines: dict[str, Any] = {"fail_above": None, "pass_below": None, "fail_below": 0.5, "pass_above": 0.5}
    high, low = (
        entry("fail", "xfail", stages=(made_stage(value, lower=value - 0.05, upper=value + 0.05, **lines),))
        for value in (0.4, 0.2)
    )
    assert (kinds(high, low), kinds(low, high)) == (["regression"], ["drift"])


def test_bounds_that_are_not_finite_are_open() -> None:
    unknown = entry("inconclusive", stages=(made_stage(0.3, lower=float("-inf"), upper=float("inf")),))
    assert kinds(unknown, entry("inconclusive", stages=(made_stage(0.35),))) == []
    assert unknown.recorded.lower is None


def test_what_is_new_and_what_is_missing() -> None:
    one, two = entry("pass", explainer="a"), entry("fail", explainer="b")
    found = compared([one.recorded], [two.recorded])
    assert [(change.kind, change.sentence) for change in found] == [
        ("new", "test_a.py::test_it: model_sensitivity of b on Net: fail"),
        ("missing", "test_a.py::test_it: model_sensitivity of a on Net: was pass, and was not reached"),
    ]
    assert not any(change.is_worse for change in found)


OTHER = {
    "seed": ({"seed": 1}, "seed 0 → 1"),
    "profile": ({"provenance": {**PROVENANCE, "profile": "smoke"}}, "profile 'ci' → 'smoke'"),
    "options": ({"provenance": {**PROVENANCE, "options": {"threshold": 0.4}}}, "options {} → {'threshold': 0.4}"),
    "shapes": (
        {"provenance": {**PROVENANCE, "inputs": {"shapes": [[16, 3, 8, 8]], "content": "i"}}},
        "input shapes [[1, 8, 8]] → [[3, 8, 8]]",
    ),
    "architecture": (
        {"provenance": {**PROVENANCE, "model": {**PROVENANCE["model"], "architecture": "b"}}},  # type: ignore[dict-item]
        "architecture 'a' → 'b'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_another_question_is_refused_with_what_differs(name: str) -> None:
    changed, words = OTHER[name]
    (change,) = changes(
        entry("pass", provenance=PROVENANCE), entry("fail", **{"provenance": PROVENANCE, **changed})
    )
    assert (change.kind, change.is_worse) == ("not comparable", True)
    assert change.sentence == f"test_a.py::test_it: model_sensitivity of sobel on Net: {words}"


def test_other_weights_and_images_are_compared_and_told() -> None:
    other = {
        **PROVENANCE,
        "model": {**PROVENANCE["model"], "weights": "v"},  # type: ignore[dict-item]
        "inputs": {"shapes": [[32, 1, 8, 8]], "content": "j"},
        "train_set": "b",
    }
    before = measured(0.1, "pass", provenance={**PROVENANCE, "train_set": "a"})
    (change,) = changes(before, measured(0.9, "fail", provenance=other))
    assert change.sentence == (
        "test_a.py::test_it: model_sensitivity of sobel on Net: pass 0.10 (0.00 … 0.20) → fail 0.90 (0.80 … 1.00) "
        "(other weights, images, training set)"
    )


def test_regressions_come_first() -> None:
    before = [measured(0.1, "pass", explainer=name).recorded for name in "abc"]
    after = [
        measured(0.35, "pass", explainer="a").recorded, measured(0.9, "fail", explainer="c").recorded,
        measured(0.9, "fail", explainer="d").recorded,
    ]  # fmt: skip
    assert [change.kind for change in compared(before, after)] == ["regression", "drift", "new", "missing"]


@pytest.mark.parametrize("statistic, kinds_found", [(0.85, []), (0.95, ["regression"])])
def test_with_other_weights_the_whole_interval_has_to_be_beyond(
    statistic: float, kinds_found: list[str]
) -> None:
    other = {**PROVENANCE, "model": {**PROVENANCE["model"], "weights": "v"}}  # type: ignore[dict-item]
    before = measured(0.7, "xfail", provenance=PROVENANCE)
    after = measured(statistic, "xfail", provenance=other)
    assert [kind for kind in kinds(before, after) if kind != "drift"] == kinds_found
    assert kinds(before, measured(statistic, "xfail", provenance=PROVENANCE)) == ["regression"]
