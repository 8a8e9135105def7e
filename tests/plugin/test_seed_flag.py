"""--saliency-seed."""

from __future__ import annotations

import pytest

SEED = """
    from pytest_saliency_sanity import settings

    def test_seed():
        assert settings.current().seed == {seed}
"""


@pytest.mark.parametrize(
    "arguments, seed",
    [([], 0), (["--saliency-seed", "7"], 7), (["--saliency-seed=123456789012"], 123456789012)],
)
def test_checks_see_it(pytester: pytest.Pytester, arguments: list[str], seed: int) -> None:
    pytester.makepyfile(SEED.format(seed=seed))
    pytester.runpytest(*arguments).assert_outcomes(passed=1)


def test_workers_see_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEED.format(seed=7))
    pytester.runpytest("-n1", "--saliency-seed=7").assert_outcomes(passed=1)


def test_it_beats_the_file(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nseed = 3")
    pytester.makepyfile(SEED.format(seed=7))
    pytester.runpytest("--saliency-seed=7").assert_outcomes(passed=1)


def test_zero_beats_the_file(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nseed = 3")
    pytester.makepyfile(SEED.format(seed=0))
    pytester.runpytest("--saliency-seed=0").assert_outcomes(passed=1)


@pytest.mark.parametrize("value, shown", [("-3", "-3"), ("many", "'many'"), ("1.5", "'1.5'")])
def test_a_bad_value_is_a_usage_error(pytester: pytest.Pytester, value: str, shown: str) -> None:
    result = pytester.runpytest(f"--saliency-seed={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    sentence = f"ERROR: --saliency-seed: seed must be an integer of at least 0, not {shown}"
    assert [line for line in result.errlines if line] == [sentence]


def test_the_verdict_is_replayed_with_it(project: pytest.Pytester) -> None:
    project.makepyfile("from judging import judge\ndef test_faulty(): judge('fail')")
    project.runpytest("--saliency-seed=7").stdout.fnmatch_lines("*replay: pytest *--saliency-seed 7")
