"""The section at the end of a run."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_saliency_sanity.report.words import INTERVALS, closing_line

FAULTY = (
    "sobel ignores the model: 0.80 of the map survives when the upper third is re-initialized "
    "(99 % lower bound 0.70 > 0.30)"
)
CLOSING = "saliency sanity: 1 passed, 1 failed, 1 failed as expected, 1 inconclusive, 1 error"
SECTION = [
    "ERROR        test_mixed.py::test_broken: broken broke the contract: it returned NaN for 3 of 16 images",
    f"FAIL         test_mixed.py::test_faulty: {FAULTY}",
    "INCONCLUSIVE test_mixed.py::test_unclear: noisy: inconclusive whether it ignores the model: 0.30 of the "
    "map survives when the upper third is re-initialized (99 % lower bound 0.20, 95 % upper bound 0.40, "
    "threshold 0.30); more images or draws would settle it",
    f"XFAIL        test_mixed.py::test_known: {FAULTY.replace('sobel', 'guided')}",
]
TABLE = [
    "",
    "  verdict         check              explainer  model  statistic  interval     seconds",
    "  ! error         model_sensitivity  broken     Net",
    "  ✗ fail          model_sensitivity  sobel      Net    0.80       0.70 … 0.90",
    "  ? inconclusive  model_sensitivity  noisy      Net    0.30       0.20 … 0.40",
    "  x xfail         model_sensitivity  guided     Net    0.80       0.70 … 0.90",
    "  ✓ pass          model_sensitivity  gradient   Net    0.10       0.00 … 0.20",
    f"  {INTERVALS}",
    "",
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


@pytest.mark.parametrize("arguments", [["-q"], ["-n2", "-q"], ["--tb=no", "-qq"], ["--saliency-quiet"]])
def test_what_did_not_pass_and_the_counts(mixed: pytest.Pytester, arguments: list[str]) -> None:
    assert section(mixed.runpytest(*arguments)) == [*SECTION, CLOSING]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        pytest.param(["-n2"], marks=pytest.mark.extended),
        ["--saliency-json=a.json", "-p", "no:cacheprovider"],
    ],
)
def test_a_table_of_all(mixed: pytest.Pytester, arguments: list[str]) -> None:
    lines = section(mixed.runpytest(*arguments))
    assert [line for line in lines if not line.startswith("written:")] == [*SECTION, *TABLE, CLOSING]


def test_a_long_table_is_cut_and_the_slowest_are_named(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from judging import judge

        @pytest.mark.parametrize("number", range(50))
        def test_it(number):
            judge("pass", explainer=f"e{number:02}", evidence={"cost": {"total_seconds": number / 10}})
        """
    )
    result = project.runpytest()
    result.stdout.fnmatch_lines(
        [
            "  … and 10 more, -v shows them",
            f"  {INTERVALS}",
            "  slowest: model_sensitivity of e49 5 s, model_sensitivity of e48 5 s, model_sensitivity of e47 5 s",
        ],
        consecutive=True,
    )
    assert "… and" not in project.runpytest("-v").stdout.str()


HEADER = "saliency-sanity: seed {}, profile {}, an inconclusive check {} its test"


@pytest.mark.parametrize(
    "arguments, line",
    [
        ([], HEADER.format(0, "ci", "fails")),
        (["--saliency-seed=7", "--saliency-profile=smoke"], HEADER.format(7, "smoke", "skips")),
        (["--saliency-inconclusive=skip", "-n1"], HEADER.format(0, "ci", "skips")),
    ],
)
def test_the_header(mixed: pytest.Pytester, arguments: list[str], line: str) -> None:
    result = mixed.runpytest(*arguments)
    assert result.outlines.count(line) == 1


@pytest.mark.parametrize("flag", ["-q", "--saliency-quiet"])
def test_no_header(mixed: pytest.Pytester, flag: str) -> None:
    mixed.runpytest(flag).stdout.no_fnmatch_line("saliency-sanity: seed *")


@pytest.mark.parametrize("arguments", [["-v"], pytest.param(["-v", "-n2"], marks=pytest.mark.extended)])
def test_verbose_shows_all(mixed: pytest.Pytester, arguments: list[str]) -> None:
    lines = section(mixed.runpytest(*arguments))
    assert sorted(lines) == sorted([*SECTION, PASSED, *TABLE, CLOSING])
    assert lines[-1] == CLOSING


def test_inconclusive_is_counted_where_it_skips(mixed: pytest.Pytester) -> None:
    result = mixed.runpytest("--saliency-inconclusive=skip")
    result.assert_outcomes(passed=1, failed=2, skipped=1, xfailed=1)
    assert section(result) == [*SECTION, *TABLE, CLOSING]


def test_silent_without_verdicts(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(saliency_case): pass")
    shown = pytester.runpytest("-v").stdout.str()
    assert "saliency" not in shown[shown.index("\ncollecting ") :]  # plugins are listed above


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


@pytest.mark.parametrize(
    "arguments",
    [[], pytest.param(["-n2"], marks=pytest.mark.extended), ["--saliency-inconclusive=skip"]],
)
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
    lines = [line for line in section(project.runpytest("--saliency-quiet", *arguments)) if line]
    assert [line.split()[0] for line in lines[:-1]] == ["INCONCLUSIVE", "REFUSED", "REFUSED", "OBSERVED"]
    assert lines[2].endswith("gradcam: inconclusive: it does not apply to this model: no feature map")
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
