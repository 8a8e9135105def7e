"""--saliency-inconclusive: what an inconclusive verdict does to its test."""

from __future__ import annotations

import pytest

UNCLEAR = """
    from judging import judge

    def test_unclear():
        judge("inconclusive")
"""
SUMMARY = (
    "sobel: inconclusive whether it ignores the model: 0.30 of the map survives when the upper third is "
    "re-initialized (99 % lower bound 0.20, 95 % upper bound 0.40, threshold 0.30); "
    "more images or draws would settle it"
)


@pytest.mark.parametrize(
    "arguments, table, outcome",
    [
        ([], "", "failed"),
        (["--saliency-profile=release"], "", "failed"),
        (["--saliency-profile=smoke"], "", "skipped"),
        (["--saliency-inconclusive=skip"], "", "skipped"),
        (["--saliency-inconclusive=fail", "--saliency-profile=smoke"], "", "failed"),
        ([], "profile = 'smoke'", "skipped"),
        ([], "inconclusive = 'skip'", "skipped"),
        (["--saliency-inconclusive=fail"], "inconclusive = 'skip'", "failed"),
        (["--saliency-profile=smoke"], "inconclusive = 'fail'", "failed"),
    ],
)
def test_fail_or_skip(project: pytest.Pytester, arguments: list[str], table: str, outcome: str) -> None:
    project.makepyprojecttoml(f"[tool.saliency_sanity]\n{table}")
    project.makepyfile(UNCLEAR)
    project.runpytest(*arguments).assert_outcomes(**{outcome: 1})


def test_it_fails_by_default_with_the_whole_message(project: pytest.Pytester) -> None:
    project.makepyfile(UNCLEAR)
    project.runpytest().stdout.fnmatch_lines(
        [
            f"E       SanityCheckInconclusive: {SUMMARY}",
            "E         upper  fc2, fc1 (2 of 5 blocks)  0.30      0.20 * 0.40             inconclusive",
        ]
    )


def test_a_skip_says_the_summary_at_the_user_s_line(project: pytest.Pytester) -> None:
    path = project.makepyfile(UNCLEAR)
    result = project.runpytest("-rs", "--saliency-inconclusive=skip")
    result.stdout.fnmatch_lines(f"SKIPPED [[]1] {path.name}:4: {SUMMARY}")


def test_skipped_under_xdist_too(mixed: pytest.Pytester) -> None:
    result = mixed.runpytest("-n2", "--saliency-inconclusive=skip")
    result.assert_outcomes(passed=1, failed=2, skipped=1, xfailed=1)


def test_a_fail_and_an_error_are_never_skipped(mixed: pytest.Pytester) -> None:
    result = mixed.runpytest("--saliency-profile=smoke")
    result.assert_outcomes(passed=1, failed=2, skipped=1, xfailed=1)


def test_an_unclear_known_failure_is_not_the_known_failure(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from judging import judge
        from pytest_saliency_sanity.errors import SanityCheckFailed

        @pytest.mark.xfail(raises=SanityCheckFailed, strict=True)
        def test_unclear():
            judge("inconclusive")
        """
    )
    project.runpytest().assert_outcomes(failed=1)
    project.runpytest("--saliency-inconclusive=skip").assert_outcomes(skipped=1)


def test_a_known_failure_that_passes_is_red(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from judging import judge
        from pytest_saliency_sanity.errors import SanityCheckFailed

        @pytest.mark.xfail(raises=SanityCheckFailed, strict=True, reason="known")
        @pytest.mark.parametrize("outcome", ["pass", "fail", "error"])
        def test_known(outcome):
            judge(outcome)
        """
    )
    project.runpytest().assert_outcomes(failed=2, xfailed=1)


def test_unittest_alike(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import unittest
        from judging import judge

        class TestExplainer(unittest.TestCase):
            def test_unclear(self):
                judge("inconclusive")
        """
    )
    project.runpytest().assert_outcomes(failed=1)
    project.runpytest("--saliency-inconclusive=skip").assert_outcomes(skipped=1)


def test_a_caught_one_is_the_test_s_own_business(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from judging import judge
        from pytest_saliency_sanity.errors import SanityCheckInconclusive

        def test_unclear():
            with pytest.raises(SanityCheckInconclusive):
                judge("inconclusive")
        """
    )
    project.runpytest("--saliency-inconclusive=skip").assert_outcomes(passed=1)


def test_a_bad_value_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--saliency-inconclusive=pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    sentence = "ERROR: --saliency-inconclusive: inconclusive must be one of fail, skip, not 'pass'"
    assert [line for line in result.errlines if line] == [sentence]
