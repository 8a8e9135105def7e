"""The words of a verdict: every sentence, the table, the wrapped lines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_saliency_sanity.audited.options import kept_to, reached
from pytest_saliency_sanity.text import encodable
from pytest_saliency_sanity.verdict import Finding, Stage
from tests.plugin.judging import CLAIM, made, made_stage

MEASURED = "of the map survives when the upper third is re-initialized"


@pytest.mark.parametrize(
    "outcome, sentence",
    [
        ("fail", f"sobel ignores the model: 0.80 {MEASURED} (99 % lower bound 0.70 > 0.30)"),
        (
            "pass",
            f"sobel: no evidence that it ignores the model: 0.10 {MEASURED} (95 % upper bound 0.20 < 0.30)",
        ),
        (
            "inconclusive",
            f"sobel: inconclusive whether it ignores the model: 0.30 {MEASURED} "
            "(99 % lower bound 0.20, 95 % upper bound 0.40, threshold 0.30); more images or draws would settle it",
        ),
        ("error", "sobel broke the contract: it returned NaN for 3 of 16 images"),
    ],
)
def test_the_first_line(outcome: str, sentence: str) -> None:
    assert made(outcome).summary == sentence


@pytest.mark.parametrize(
    "outcome, sentence",
    [
        ("fail", "sobel returns the same value everywhere"),
        ("inconclusive", "sobel: inconclusive: returns the same value everywhere"),
        ("error", "sobel broke the contract: returns the same value everywhere"),
    ],
)
def test_the_first_line_of_a_finding(outcome: str, sentence: str) -> None:
    finding = Finding("code", outcome, "returns the same value everywhere")  # type: ignore[arg-type]
    assert made("pass", findings=(finding,)).summary == sentence


def test_two_thresholds() -> None:
    unsigned = made_stage(0.5, fail_above=0.8, evidence={"settled_by": "a signed map would tell"})
    assert made("pass", stages=(unsigned,)).summary.endswith(
        "(99 % lower bound 0.40, 95 % upper bound 0.60; below 0.30 passes, above 0.80 fails); "
        "a signed map would tell"
    )


def test_at_the_end_of_the_scale_the_line_is_reached() -> None:
    """At 1 there is nothing to be above, at 0 nothing to be below."""
    ends = {"statistic": 1.0, "lower": 1.0, "upper": 1.0, "alpha_fail": 0.01, "alpha_pass": 0.05}
    whole = Stage(name="IoU", **ends, images=8, draws=1, fail_below=1.0, pass_above=reached(1.0))
    none = made_stage(0.0, lower=0.0, upper=0.0, fail_above=0.0, pass_below=kept_to(0.0))
    assert made("pass", stages=(whole,)).summary.endswith("(95 % lower bound 1.00 ≥ 1.00)")
    assert made("pass", stages=(none,)).summary.endswith("(95 % upper bound 0.00 ≤ 0.00)")
    near = made_stage(0.0, lower=0.0, upper=1e-4, fail_above=0.0, pass_below=kept_to(0.0))
    assert made("inconclusive", stages=(near,)).outcome == "inconclusive"


@pytest.mark.parametrize(
    "stage, end",
    [
        ({"statistic": 0.988, "lower": 0.985, "upper": 0.9895}, "0.988 {} (99 % upper bound 0.9895 < 0.99)"),
        ({"statistic": 0.998, "lower": 0.9965, "upper": 0.9999}, "0.998 {} (95 % lower bound 0.997 > 0.99)"),
        ({"statistic": 1.0, "lower": 1.0, "upper": 1.0}, "1.00 {} (95 % lower bound 1.00 > 0.99)"),
        ({"statistic": 0.5, "lower": 0.4, "upper": 0.6}, "0.50 {} (99 % upper bound 0.60 < 0.99)"),
    ],
)
def test_rounding_hides_no_side_of_a_line(stage: dict[str, float], end: str) -> None:
    """0.9895 is not shown as 0.99 beside a threshold of 0.99, and only 1 is shown as 1.00."""
    held = made_stage(**stage, fail_above=None, pass_below=None, fail_below=0.99, pass_above=0.99)
    assert made("pass", stages=(held,)).summary.endswith(end.format(MEASURED))


def test_a_threshold_is_shown_as_it_is() -> None:
    near = made_stage(0.8, lower=0.7, fail_above=0.695, pass_below=0.695)
    assert made("fail", stages=(near,)).summary.endswith("(99 % lower bound 0.70 > 0.695)")


def test_a_threshold_that_was_computed_is_rounded_unless_that_hides_a_side() -> None:
    for lower, threshold, end in (
        (0.7, 0.30333, "0.70 > 0.30"),
        (0.3034, 0.30333, "0.3034 > 0.30"),
        (0.308, 0.30667, "0.31 > 0.307"),
    ):
        near = made_stage(0.8, lower=lower, fail_above=threshold, pass_below=threshold)
        assert made("fail", stages=(near,)).summary.endswith(f"(99 % lower bound {end})"), lower


def test_a_share_below_zero_is_nothing() -> None:
    less = made("pass", stages=(made_stage(-0.02),)).summary
    assert less == (
        "sobel: no evidence that it ignores the model: nothing of the map survives when the upper third is "
        "re-initialized (retained -0.02, 95 % upper bound 0.08 < 0.30)"
    )
    assert " 0.00 of the map survives" in made("pass", stages=(made_stage(-0.001),)).summary


def test_an_open_question_is_not_asked_in_the_negative() -> None:
    claim = replace(CLAIM, fails="does not point at the region", measures="is")
    summary = made("inconclusive", claim=claim).summary
    assert summary.startswith("sobel: inconclusive whether it does point at the region: 0.30 is ")


def test_the_levels_of_the_bounds_stand_above_them() -> None:
    more = made_stage(0.8, fail_above=None, pass_below=None, fail_below=0.3, pass_above=0.3)
    assert "  interval (95 % … 99 %)  " in made("pass", stages=(more,)).render()
    assert "  interval (95 or 99 %)  " in made("pass", stages=(more, made_stage(0.1))).render()


def test_the_reason_code_stands_in_every_message() -> None:
    for outcome in ("pass", "fail", "inconclusive", "error"):
        verdict = made(outcome)
        assert f"\nreason: {verdict.reason}\n" in verdict.render()


def test_nothing_measured() -> None:
    assert made("pass", stages=()).summary == "sobel: inconclusive: nothing was measured"


@pytest.mark.parametrize("stage", [made_stage(0.8, sentence=""), made_stage(0.8, sentence="", detail="")])
def test_a_stage_without_a_sentence(stage: object) -> None:
    shown = getattr(stage, "detail", "") or "upper"
    assert f"survives when {shown} (" in made("fail", stages=(stage,)).summary


def test_the_whole_message() -> None:
    verdict = made(
        "fail",
        stages=(
            made_stage(0.8),
            made_stage(0.1, name="all", detail="fc2 … conv1 (5 of 5 blocks)"),
            made_stage(0.86, name="head", detail="fc2", judged=False),
        ),
        hint="it draws edges",
        notes=("accuracy was not checked", "the inputs are stand-ins"),
        replay="pytest --saliency-seed 0",
    )
    assert (
        verdict.render()
        == str(verdict)
        == f"""\
sobel ignores the model: 0.80 {MEASURED} (99 % lower bound 0.70 > 0.30)

  depth  re-initialized               retained  interval (99 % … 95 %)  verdict
  upper  fc2, fc1 (2 of 5 blocks)     0.80      0.70 … 0.90             fail
  all    fc2 … conv1 (5 of 5 blocks)  0.10      0.00 … 0.20             pass
  head   fc2                          0.86      0.76 … 0.96             (shown only)
reason: insensitive
hint: it draws edges
note: accuracy was not checked
note: the inputs are stand-ins
replay: pytest --saliency-seed 0"""
    )


def test_a_message_without_anything_more() -> None:
    broken = "sobel broke the contract: it returned NaN for 3 of 16 images"
    assert made("error", replay="").render() == f"{broken}\nreason: contract.finite"


def test_long_notes_are_wrapped_and_the_replay_command_is_not() -> None:
    verdict = made("error", hint="edge " * 40, replay="pytest " + "x" * 200)
    _, _, first, second, replay = verdict.render().splitlines()
    assert first.startswith("hint: edge") and len(first) <= 110
    assert second.startswith("  edge")
    assert replay == "replay: pytest " + "x" * 200


def test_a_message_of_many_lines_stays_one_line() -> None:
    finding = Finding("contract.exception", "error", "it raised ValueError: bad\n\n  shapes:\n\t(3, 4)")
    summary = made("error", findings=(finding,)).summary
    assert summary == "sobel broke the contract: it raised ValueError: bad shapes: (3, 4)"


@given(explainer=st.text(st.characters()), sentence=st.text(st.characters()))
def test_any_text_makes_one_line_that_can_be_sent(explainer: str, sentence: str) -> None:
    verdict = made("error", explainer=explainer, findings=(Finding("code", "error", sentence),))
    assert len(verdict.summary.splitlines()) == 1
    verdict.render().encode("utf-8")


def test_encodable() -> None:
    assert encodable("caf\udce9 é") == "caf\\udce9 é"
