"""`saliency_*` keys of pytest's own file of options."""

from __future__ import annotations

import pytest

from tests.plugin.strict import STRICT

KEYS = """
saliency_seed = 5
saliency_profile = release
saliency_inconclusive = skip
saliency_max_seconds = 12.5
saliency_cache = there
"""
SETTINGS = """
    from pathlib import Path
    from pytest_saliency_sanity import settings

    def test_settings():
        present = settings.current()
        assert (present.seed, present.profile, present.inconclusive) == (5, "release", "skip")
        assert (present.max_seconds, Path(present.cache)) == (12.5, Path({root!r}, "there"))
"""
SEED = """
    from pytest_saliency_sanity import settings

    def test_seed():
        assert settings.current().seed == {seed}
"""
FILES = {
    "pytest.ini": "[pytest]" + KEYS,
    "tox.ini": "[pytest]" + KEYS,
    "setup.cfg": "[tool:pytest]" + KEYS,
    "pyproject.toml": """
[tool.pytest.ini_options]
saliency_seed = 5
saliency_profile = "release"
saliency_inconclusive = "skip"
saliency_max_seconds = 12.5
saliency_cache = "there"
""",
}


@pytest.mark.covering
@pytest.mark.parametrize("workers", ["-n0", "-n1"])
@pytest.mark.parametrize("name", FILES)
def test_every_key(pytester: pytest.Pytester, name: str, workers: str) -> None:
    (pytester.path / name).write_text(FILES[name])
    pytester.makepyfile(SETTINGS.format(root=str(pytester.path)))
    pytester.runpytest(workers, *STRICT, "--strict-config").assert_outcomes(passed=1)


@pytest.mark.skipif(pytest.version_tuple < (9, 2), reason="options of several types are new")
def test_numbers_of_pytest_toml(pytester: pytest.Pytester) -> None:
    text = FILES["pyproject.toml"].replace("[tool.pytest.ini_options]", "[pytest]")
    (pytester.path / "pytest.toml").write_text(text)
    pytester.makepyfile(SETTINGS.format(root=str(pytester.path)))
    pytester.runpytest(*STRICT).assert_outcomes(passed=1)


def test_the_table_wins_key_by_key(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]" + KEYS.replace("= 5", "= 9"))
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nseed = 5")
    pytester.makepyfile(SETTINGS.format(root=str(pytester.path)))
    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_flag_wins_over_both(pytester: pytest.Pytester, seed: int) -> None:
    pytester.makeini("[pytest]\nsaliency_seed = 9")
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nseed = 5")
    pytester.makepyfile(SEED.format(seed=seed))
    pytester.runpytest(f"--saliency-seed={seed}").assert_outcomes(passed=1)


def test_override_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nsaliency_seed = 9")
    pytester.makepyfile(SEED.format(seed=4))
    pytester.runpytest("-o", "saliency_seed=4").assert_outcomes(passed=1)


def test_an_empty_key_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nsaliency_seed =\nsaliency_cache =")
    pytester.makepyfile(SEED.format(seed=0))
    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("seed", "-1", "seed must be an integer of at least 0, not -1"),
        ("seed", "many", "seed must be an integer of at least 0, not 'many'"),
        ("profile", "quick", "profile must be one of smoke, ci, release, not 'quick'"),
        ("inconclusive", "pass", "inconclusive must be one of fail, skip, not 'pass'"),
        ("max_seconds", "nan", "max_seconds must be a number of seconds above 0, not nan"),
        ("cache", "tox.ini", "cache must be a directory; 'tox.ini' is a file"),
    ],
)
def test_an_impossible_value(pytester: pytest.Pytester, key: str, value: str, sentence: str) -> None:
    path = pytester.makeini(f"[pytest]\nsaliency_{key} = {value}")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [f"ERROR: {path}: saliency_{key}: {sentence}"]


def test_they_are_listed(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest("--help").stdout.str()
    for key in ("seed", "profile", "inconclusive", "max_seconds", "cache"):
        assert f"saliency_{key}" in shown
