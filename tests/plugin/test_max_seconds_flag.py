"""--saliency-max-seconds."""

from __future__ import annotations

import pytest

BUDGET = """
    from pytest_saliency_sanity import settings

    def test_budget():
        assert settings.current().amounts.max_seconds == {seconds}
"""


@pytest.mark.parametrize("value, seconds", [("90", 90.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_checks_see_it(pytester: pytest.Pytester, value: str, seconds: float) -> None:
    pytester.makepyfile(BUDGET.format(seconds=seconds))
    pytester.runpytest(f"--saliency-max-seconds={value}").assert_outcomes(passed=1)


def test_it_beats_profile_and_file(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nmax_seconds = 30")
    pytester.makepyfile(BUDGET.format(seconds=5.0))
    pytester.runpytest("--saliency-max-seconds=5", "--saliency-profile=release").assert_outcomes(passed=1)


def test_the_file_beats_the_profile(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nmax_seconds = 30")
    pytester.makepyfile(BUDGET.format(seconds=30))
    pytester.runpytest("--saliency-profile=release").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "value, shown", [("0", "0.0"), ("-1", "-1.0"), ("nan", "nan"), ("inf", "inf"), ("soon", "'soon'")]
)
def test_a_bad_value_is_a_usage_error(pytester: pytest.Pytester, value: str, shown: str) -> None:
    result = pytester.runpytest(f"--saliency-max-seconds={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    sentence = f"ERROR: --saliency-max-seconds: max_seconds must be a number of seconds above 0, not {shown}"
    assert [line for line in result.errlines if line] == [sentence]
