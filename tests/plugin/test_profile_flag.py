"""--saliency-profile."""

from __future__ import annotations

import pytest

PROFILE = """
    from pytest_saliency_sanity import settings

    def test_profile():
        assert settings.current().profile == {profile!r}
        assert settings.current().amounts == settings.PROFILES[{profile!r}]
"""


@pytest.mark.parametrize("profile", ["smoke", "ci", "release"])
def test_checks_see_it(pytester: pytest.Pytester, profile: str) -> None:
    pytester.makepyfile(PROFILE.format(profile=profile))
    pytester.runpytest("--saliency-profile", profile).assert_outcomes(passed=1)


def test_the_default_is_ci(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROFILE.format(profile="ci"))
    pytester.runpytest().assert_outcomes(passed=1)


def test_it_beats_the_file(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nprofile = 'release'")
    pytester.makepyfile(PROFILE.format(profile="smoke"))
    pytester.runpytest("--saliency-profile=smoke").assert_outcomes(passed=1)


def test_a_bad_value_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--saliency-profile=quick")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    sentence = "ERROR: --saliency-profile: profile must be one of smoke, ci, release, not 'quick'"
    assert [line for line in result.errlines if line] == [sentence]


def test_an_unknown_flag_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--saliency-profil=ci")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*unrecognized arguments: --saliency-profil=ci")
