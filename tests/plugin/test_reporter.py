"""The section at the end of a run."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_saliency_sanity.plugin.reporter import closing_line

FAULTY = (
    "sobel ignores the model: 0.80 of the map survives when the upper third is re-initialized "
    "(99 % lower bound 0.70 > 0.30)"
)
CLOSING = "saliency sanity: 1 passed, 1 failed, 1 failed as expected, 1 inconclusive, 1 error"
SECTION = [
    "ERROR        test_mixed.py::test_broken: broken broke the contract: it returned NaN for 3 of 16 images",
    f"FAIL         test_mixed.py::test_faulty: {FAULTY}",
    f"XFAIL        test_mixed.py::test_known: {FAULTY.replace('sobel', 'guided')}",
    "INCONCLUSIVE test_mixed.py::test_unclear: noisy: inconclusive whether it ignores the model: 0.30 of the "
    "map survives when the upper third is re-initialized (99 % lower bound 0.20, 95 % upper bound 0.40, "
    "threshold 0.30); more images or draws would settle it",
    CLOSING,
]
PASSED = (
    "PASS         test_mixed.py::test_honest: gradient: no evidence that it ignores the model: 0.10 of the "
    "map survives when the upper third is re-initialized (95 % upper bound 0.20 < 0.30)"
)


def section(result: pytest.RunResult) -> list[str]:
    """The lines after the heading, up to and with the closing line."""
    lines = result.outlines
    start = next(number for number, line in enumerate(lines) if line.strip("= ") == "saliency sanity")
    stop = next(number for number, line in enumerate(lines) if line.startswith("saliency sanity: "))
    return lines[start + 1 : stop + 1]


@pytest.mark.parametrize("arguments", [[], ["-q"], ["-n2"], ["-n2", "-q"], ["--tb=no", "-qq"]])
def test_what_did_not_pass_and_the_counts(mixed: pytest.Pytester, arguments: list[str]) -> None:
    assert section(mixed.runpytest(*arguments)) == SECTION


@pytest.mark.parametrize("arguments", [["-v"], ["-v", "-n2"]])
def test_verbose_shows_all(mixed: pytest.Pytester, arguments: list[str]) -> None:
    lines = section(mixed.runpytest(*arguments))
    assert sorted(lines) == sorted([*SECTION, PASSED])
    assert lines[-1] == CLOSING


def test_inconclusive_is_counted_where_it_skips(mixed: pytest.Pytester) -> None:
    result = mixed.runpytest("--saliency-inconclusive=skip")
    result.assert_outcomes(passed=1, failed=2, skipped=1, xfailed=1)
    assert section(result) == SECTION


def test_silent_without_verdicts(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(saliency_case): pass")
    assert "saliency" not in "".join(pytester.runpytest("-v").outlines[5:])


def test_a_known_failure_by_other_means_is_counted_as_what_it_is(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from judging import judge

        @pytest.mark.xfail
        @pytest.mark.parametrize("outcome", ["inconclusive", "error", "pass"])
        def test_it(outcome):
            judge(outcome)
        """
    )
    result = project.runpytest()
    result.assert_outcomes(xfailed=2, xpassed=1)
    result.stdout.fnmatch_lines("saliency sanity: 1 passed, 0 failed, 1 inconclusive, 1 error")


def test_a_verdict_that_was_only_looked_at(project: pytest.Pytester) -> None:
    project.makepyfile("from judging import check\ndef test_it(): assert check('fail').outcome == 'fail'")
    result = project.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["OBSERVED     *", "saliency sanity: 0 passed, 0 failed, 0 inconclusive, 0 errors, 1 observed"]
    )


@pytest.mark.parametrize("arguments", [[], ["-n2"], ["--saliency-inconclusive=skip"]])
def test_a_method_that_does_not_exist_for_the_model_is_refused(
    project: pytest.Pytester, arguments: list[str]
) -> None:
    project.makepyfile(
        test_it="""
        import pytest
        from judging import check, judge
        from pytest_saliency_sanity.verdict import Finding

        REFUSED = Finding("not_applicable", "inconclusive", "it does not apply to this model: no feature map")

        def test_refused():
            judge("inconclusive", explainer="gradcam", stages=(), findings=(REFUSED,))

        def test_open():
            judge("inconclusive")

        @pytest.mark.xfail
        def test_expected():
            judge("inconclusive", stages=(), findings=(REFUSED,))

        def test_looked_at():
            check("inconclusive", stages=(), findings=(REFUSED,))
        """
    )
    lines = [line for line in section(project.runpytest(*arguments)) if line]
    assert [line.split()[0] for line in lines[:-1]] == ["REFUSED", "OBSERVED", "INCONCLUSIVE", "REFUSED"]
    assert lines[-2].endswith("gradcam: inconclusive: it does not apply to this model: no feature map")
    assert lines[-1] == "saliency sanity: 0 passed, 0 failed, 1 inconclusive, 2 refused, 0 errors, 1 observed"


def test_without_a_terminal(mixed: pytest.Pytester) -> None:
    assert mixed.runpytest("-p", "no:terminal").ret == pytest.ExitCode.TESTS_FAILED


def test_the_closing_line() -> None:
    counts = Counter({"pass": 5, "fail": 1, "inconclusive": 2})
    assert closing_line(counts) == "saliency sanity: 5 passed, 1 failed, 2 inconclusive, 0 errors"
    counts.update({"error": 1, "observed": 3, "lost": 1, "xfail": 2})
    assert closing_line(counts) == (
        "saliency sanity: 5 passed, 1 failed, 2 failed as expected, 2 inconclusive, 1 error, 3 observed, 1 lost"
    )


def test_stand_ins_are_told_also_where_all_passed(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from judging import judge

        def test_one():
            judge("pass", caveats=("4 stand-in photographs",))

        def test_two():
            judge("pass")
        """
    )
    project.runpytest().stdout.fnmatch_lines(
        [
            "saliency sanity: 2 passed, 0 failed, 0 inconclusive, 0 errors",
            "1 on stand-in photographs: there is no fixture saliency_inputs, and no inputs were passed",
        ]
    )
