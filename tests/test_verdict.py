"""Verdicts: values whose outcome derives from their numbers."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_saliency_sanity.builtin import as_builtin
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict
from tests.plugin.judging import made, made_stage

FAIL, UNCLEAR, PASS = made_stage(0.8), made_stage(0.3), made_stage(0.1)


def only_builtins(value: Any) -> bool:
    """Whether a value is made of exactly the types that JSON has."""
    if type(value) is dict:
        return all(type(key) is str and only_builtins(item) for key, item in value.items())
    if type(value) is list:
        return all(only_builtins(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)


class TestStage:
    """One measurement."""

    @pytest.mark.parametrize(
        "lower, upper, outcome",
        [
            (0.31, 0.9, "fail"),
            (0.3, 0.9, "inconclusive"),
            (0.1, 0.3, "inconclusive"),
            (0.1, 0.29, "pass"),
            (-math.inf, math.inf, "inconclusive"),
            (math.nan, 0.9, "inconclusive"),
            (0.1, math.nan, "inconclusive"),
        ],
    )
    def test_the_bounds_decide(self, lower: float, upper: float, outcome: str) -> None:
        assert made_stage(0.2, lower=lower, upper=upper).outcome == outcome

    @pytest.mark.parametrize(
        "lower, upper, outcome, threshold",
        [
            (0.1, 0.29, "fail", 0.3),
            (0.1, 0.3, "inconclusive", 0.8),
            (0.8, 0.9, "inconclusive", 0.8),
            (0.81, 0.9, "pass", 0.8),
            (0.1, math.nan, "inconclusive", 0.8),
        ],
    )
    def test_where_more_is_better(self, lower: float, upper: float, outcome: str, threshold: float) -> None:
        stage = made_stage(
            0.5, lower=lower, upper=upper, fail_above=None, pass_below=None, fail_below=0.3, pass_above=0.8
        )
        assert (stage.outcome, stage.threshold, stage.more_is_better) == (outcome, threshold, True)
        assert stage.to_json()["fail_below"] == 0.3

    def test_where_more_is_better_the_smallest_decides(self) -> None:
        lines = {"fail_above": None, "pass_below": None, "fail_below": 0.5, "pass_above": 0.5}
        low, high = (made_stage(value, lower=value - 0.1, upper=value + 0.1, **lines) for value in (0.7, 0.9))
        assert made("pass", stages=(high, low)).deciding is low
        assert made("pass", stages=(high, low)).summary.endswith("(95 % lower bound 0.60 > 0.50)")
        bad = made_stage(0.2, lower=0.1, upper=0.3, **lines)
        assert made("pass", stages=(high, bad)).summary.endswith("(99 % upper bound 0.30 < 0.50)")

    def test_between_two_thresholds(self) -> None:
        assert made_stage(0.5, fail_above=0.8, pass_below=0.3).outcome == "inconclusive"
        assert made_stage(0.95, fail_above=0.8, pass_below=0.3).threshold == 0.8
        assert made_stage(0.1, fail_above=0.8, pass_below=0.3).threshold == 0.3

    def test_numpy_goes_in_and_builtins_are_kept(self) -> None:
        stage = made_stage(np.float64(0.8), images=np.int64(16), name=np.str_("upper"), judged=np.bool_(True))
        assert [
            type(getattr(stage, name)) for name in ("statistic", "lower", "images", "name", "judged")
        ] == [
            float,
            float,
            int,
            str,
            bool,
        ]

    def test_json(self) -> None:
        shown = made_stage(0.8, evidence={"correlation": np.float32(0.5), "nan": math.nan}).to_json()
        assert only_builtins(shown)
        assert (shown["outcome"], shown["threshold"], shown["statistic"]) == ("fail", 0.3, 0.8)
        assert shown["evidence"] == {"correlation": 0.5, "nan": None}


class TestOutcome:
    """What the stages and findings make of the verdict."""

    @pytest.mark.parametrize(
        "stages, outcome, reason",
        [
            ((PASS, PASS), "pass", "sensitive"),
            ((PASS, UNCLEAR), "inconclusive", "bound"),
            ((PASS, UNCLEAR, FAIL), "fail", "insensitive"),
            ((), "inconclusive", "bound"),
            ((dataclasses.replace(FAIL, judged=False), PASS), "pass", "sensitive"),
            ((dataclasses.replace(PASS, judged=False),), "inconclusive", "bound"),
        ],
    )
    def test_of_the_stages(self, stages: tuple[Stage, ...], outcome: str, reason: str) -> None:
        verdict = made("pass", stages=stages)
        assert (verdict.outcome, verdict.reason) == (outcome, reason)

    def test_the_first_finding_precedes_the_stages(self) -> None:
        findings = (Finding("gate.controls", "inconclusive", "a"), Finding("constant", "fail", "b"))
        verdict = made("pass", findings=findings)
        assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")

    def test_the_deciding_stage_is_the_worst(self) -> None:
        worst = made_stage(0.9)
        verdict = made("fail", stages=(PASS, FAIL, worst, UNCLEAR))
        assert verdict.deciding is worst
        assert (verdict.statistic, verdict.interval, verdict.threshold) == (0.9, worst.interval, 0.3)

    def test_nothing_measured(self) -> None:
        verdict = made("error")
        assert (verdict.deciding, verdict.statistic, verdict.interval, verdict.threshold) == (None,) * 4

    def test_it_cannot_be_set(self) -> None:
        with pytest.raises(AttributeError):
            made("fail").outcome = "pass"  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError):
            made("fail").stages = ()  # type: ignore[misc]

    @given(statistic=st.floats(-1, 1), width=st.floats(0, 1))
    def test_it_agrees_with_the_numbers_shown(self, statistic: float, width: float) -> None:
        stage = made_stage(statistic, lower=statistic - width, upper=statistic + width)
        verdict = made("pass", stages=(stage,))
        lower, upper = verdict.to_json()["interval"]
        assert (verdict.outcome == "fail") == (lower > 0.3)
        assert (verdict.outcome == "pass") == (upper < 0.3)


class TestValue:
    """Equality, hashing, copies."""

    @pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive", "error"])
    def test_copies_are_equal(self, outcome: str) -> None:
        verdict = made(outcome, exception=ValueError("x"), evidence={"a": [1, 2]})
        for again in (copy.copy(verdict), copy.deepcopy(verdict), pickle.loads(pickle.dumps(verdict))):
            assert again == verdict and hash(again) == hash(verdict)

    def test_replacing_keeps_the_exception(self) -> None:
        cause = ValueError("x")
        assert dataclasses.replace(made("error", exception=cause), replay="pytest").exception is cause


class Depth(enum.IntEnum):
    """An int that is not only an int."""

    UPPER = 1


class TestJson:
    """`to_json`: the one boundary where everything becomes builtin."""

    def test_its_keys(self) -> None:
        shown = made("fail").to_json()
        assert sorted(shown) == [
            "caveats", "check", "claim", "evidence", "explainer", "findings", "hint", "interval", "model", "notes",
            "outcome", "provenance", "reason", "replay", "seed", "stages", "statistic", "summary", "threshold",
        ]  # fmt: skip
        assert shown["outcome"] == "fail" and shown["stages"][0]["outcome"] == "fail"

    @pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive", "error"])
    def test_it_is_read_again(self, outcome: str) -> None:
        verdict = made(
            outcome, evidence={"a": (1, np.float64(0.5), math.nan)}, notes=("one",), caveats=("caf\udce9",),
            provenance={"seed": np.int64(3)}, exception=ValueError("x"),
        )  # fmt: skip
        again = Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False)))
        assert (
            again == verdict and again.render() == verdict.render() and again.to_json() == verdict.to_json()
        )

    def test_words_that_cannot_be_sent_are_read_again(self) -> None:
        claim = Claim("caf\udce9", "is", ("a", "b\udce9", "c"))
        verdict = made("fail", claim=claim)
        assert Verdict.from_json(verdict.to_json()) == verdict

    text = st.text(st.characters(), max_size=8)
    numbers = st.floats()

    @given(
        claim=st.builds(Claim, fails=text, measures=text, columns=st.tuples(text, text, text)).filter(
            lambda claim: claim.fails.isprintable()
        ),
        stages=st.lists(st.tuples(numbers, numbers, numbers, st.booleans(), st.booleans()), max_size=3),
        findings=st.lists(
            st.tuples(text, st.sampled_from(["pass", "fail", "inconclusive", "error"]), text), max_size=2
        ),
        texts=st.tuples(text, text, text, text),
        evidence=st.dictionaries(text, st.none() | numbers | text | st.lists(st.integers()), max_size=3),
    )
    def test_any_verdict_is_read_again(
        self, claim: Claim, stages: Any, findings: Any, texts: Any, evidence: Any
    ) -> None:
        more = {"fail_above": None, "pass_below": None, "fail_below": 0.3, "pass_above": 0.8}
        made_of = tuple(
            made_stage(statistic, lower=lower, upper=upper, judged=judged, **(more if better else {}))
            for statistic, lower, upper, judged, better in stages
        )
        explainer, hint, note, replay = texts
        verdict = made(
            "pass", claim=claim, stages=made_of, findings=tuple(Finding(*one) for one in findings),
            explainer=explainer, hint=hint, notes=(note,), replay=replay, evidence=evidence,
        )  # fmt: skip
        again = Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False)))
        assert again == verdict and again.render() == verdict.render() and again.outcome == verdict.outcome

    def test_what_is_not_finite_is_told_apart(self) -> None:
        stage = made_stage(math.nan, lower=-math.inf, upper=math.inf)
        shown = stage.to_json()
        assert (shown["lower"], shown["upper"], shown["statistic"]) == (None, None, None)
        assert shown["not_finite"] == {"statistic": "nan", "lower": "-inf", "upper": "inf"}
        assert "not_finite" not in made_stage(0.5).to_json()
        assert Stage.from_json(shown) == stage

    @pytest.mark.parametrize(
        "given, words",
        [
            ({}, "the JSON of a verdict needs 'check'"),
            ([], "this is not the JSON of a verdict: list indices"),
            (None, "this is not the JSON of a verdict: 'NoneType'"),
        ],
    )
    def test_what_is_no_verdict_is_refused(self, given: Any, words: str) -> None:
        with pytest.raises(ValueError, match=f"^{words}"):
            Verdict.from_json(given)

    @pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive", "error"])
    def test_it_is_json(self, outcome: str) -> None:
        shown = made(outcome, evidence={"x": np.float64("inf")}, explainer=np.str_("sobel")).to_json()
        assert only_builtins(shown)
        assert json.loads(json.dumps(shown, allow_nan=False)) == shown

    @pytest.mark.parametrize(
        "value, cast",
        [
            (np.float64(0.5), 0.5),
            (np.float16(0.5), 0.5),
            (np.int8(-3), -3),
            (np.bool_(True), True),
            (np.str_("sobel"), "sobel"),
            (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
            (np.array(2.5), 2.5),
            (np.array([1.0, np.nan, -np.inf]), [1.0, None, None]),
            ((1, (2.0, {"a"})), [1, [2.0, ["a"]]]),
            ({1: {None: True}}, {"1": {"None": True}}),
            (Depth.UPPER, 1),
            (Path("a") / "b", str(Path("a") / "b")),
            (1 + 2j, "(1+2j)"),
            ("caf\udce9", "caf\\udce9"),
            ({"caf\udce9": 1}, {"caf\\udce9": 1}),
        ],
        ids=repr,
    )
    def test_casts(self, value: Any, cast: Any) -> None:
        found = as_builtin(value)
        assert found == cast and only_builtins(found)

    def test_tensors(self) -> None:
        torch = pytest.importorskip("torch")
        found = as_builtin({"a": torch.ones(2, dtype=torch.half, requires_grad=True), "b": torch.tensor(3)})
        assert found == {"a": [1.0, 1.0], "b": 3} and only_builtins(found)

    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())

    @given(
        st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
    )
    def test_any_value(self, value: Any) -> None:
        found = as_builtin(value)
        assert only_builtins(found)
        assert as_builtin(found) == found
        json.dumps(found, allow_nan=False).encode()

    def test_evidence_is_cast_on_the_way_in(self) -> None:
        verdict: Verdict = made("fail", evidence={"agreement": np.float64(0.5)})
        assert type(verdict.evidence["agreement"]) is float
