"""[tool.saliency_sanity] in the rootdir's pyproject.toml."""

from __future__ import annotations

import pytest

from tests.plugin.strict import STRICT

EVERYTHING = """
    [tool.saliency_sanity]
    seed = 5
    profile = "release"
    inconclusive = "skip"
    max_seconds = 12.5
"""


def usage_error(result: pytest.RunResult) -> str:
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not any("Traceback" in line for line in result.errlines + result.outlines)
    (line,) = (line for line in result.errlines if line)
    return line


def test_every_key(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(EVERYTHING)
    pytester.makepyfile(
        """
        from pytest_saliency_sanity import settings

        def test_settings():
            present = settings.current()
            assert (present.seed, present.profile) == (5, "release")
            assert (present.amounts.inconclusive, present.amounts.max_seconds) == ("skip", 12.5)
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_it_belongs_to_the_rootdir(pytester: pytest.Pytester) -> None:
    (pytester.mkdir("inner") / "pyproject.toml").write_text(
        "[tool.saliency_sanity]\nseed = 9\n[tool.pytest.ini_options]\n"
    )
    (pytester.path / "inner" / "test_seed.py").write_text(
        "from pytest_saliency_sanity import settings\ndef test_seed(): assert settings.current().seed == 9\n"
    )
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nseed = 1")
    pytester.runpytest("inner").assert_outcomes(passed=1)


@pytest.mark.parametrize("key", ["sed", "max-seconds", "replay", "record"])
def test_an_unknown_key(pytester: pytest.Pytester, key: str) -> None:
    path = pytester.makepyprojecttoml(f"[tool.saliency_sanity]\n{key} = 1")
    assert usage_error(pytester.runpytest()) == (
        f"ERROR: {path}: [tool.saliency_sanity]: unknown key {key!r}; "
        "choose from seed, profile, inconclusive, max_seconds, cache, min_verdicts, junit, pictures, artifacts, "
        "baseline"
    )


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("seed = -1", "seed must be an integer of at least 0, not -1"),
        ("seed = '1'", "seed must be an integer of at least 0, not '1'"),
        ("seed = true", "seed must be an integer of at least 0, not True"),
        ("profile = 'quick'", "profile must be one of smoke, ci, release, not 'quick'"),
        ("profile = ['ci']", "profile must be one of smoke, ci, release, not ['ci']"),
        ("inconclusive = false", "inconclusive must be one of fail, skip, not False"),
        ("max_seconds = 0", "max_seconds must be a number of seconds above 0, not 0"),
        ("max_seconds = nan", "max_seconds must be a number of seconds above 0, not nan"),
        ("max_seconds = '60'", "max_seconds must be a number of seconds above 0, not '60'"),
    ],
)
def test_an_impossible_value(pytester: pytest.Pytester, line: str, sentence: str) -> None:
    path = pytester.makepyprojecttoml(f"[tool.saliency_sanity]\n{line}")
    assert usage_error(pytester.runpytest()) == f"ERROR: {path}: [tool.saliency_sanity]: {sentence}"


def test_not_a_table(pytester: pytest.Pytester) -> None:
    path = pytester.makepyprojecttoml("[tool]\nsaliency_sanity = 3")
    assert usage_error(pytester.runpytest()) == f"ERROR: {path}: tool.saliency_sanity must be a table, not 3"


BROKEN = {
    "not TOML": b"[tool.saliency_sanity\nseed = 3",
    "half of it": b"[tool.saliency_sanity]\nseed = 3\nprofile =",
    "not UTF-8": b"\xff\xfe",
    "Latin-1": "[tool.saliency_sanity]\nprofile = 'caf\u00e9'".encode("latin-1"),
    "twice": b"[tool]\n[tool]\n",
    "tool is no table": b"tool = 3",
    "deep": b"a = " + b"[" * 5000,
}


@pytest.mark.parametrize("kind, workers", [*((kind, "-n0") for kind in BROKEN), ("not UTF-8", "-n1")])
def test_a_file_that_pytest_does_not_read_may_be_broken(
    pytester: pytest.Pytester, kind: str, workers: str
) -> None:
    (pytester.path / "pyproject.toml").write_bytes(BROKEN[kind])
    pytester.makepyfile("def test_nothing(): pass")
    # pytest 9 reads pyproject.toml beside its pytest.ini too, to tell that it is ignored: -c names another place.
    (pytester.mkdir("options") / "other.ini").write_text("[pytest]\n")
    result = pytester.runpytest("-c", "options/other.ini", "--rootdir=.", workers, *STRICT)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("kind", ["not TOML", "not UTF-8"])
def test_where_pytest_reads_it_the_error_is_pytests(pytester: pytest.Pytester, kind: str) -> None:
    (pytester.path / "pyproject.toml").write_bytes(BROKEN[kind])
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess()
    assert result.ret != pytest.ExitCode.OK
    assert "saliency" not in result.stderr.str()


@pytest.mark.parametrize("name", ["pytest.ini", "tox.ini", "setup.cfg"])
def test_a_table_is_read_whatever_file_is_in_charge(pytester: pytest.Pytester, name: str) -> None:
    (pytester.path / name).write_text("[tool:pytest]\n" if name == "setup.cfg" else "[pytest]\n")
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nseed = 6")
    pytester.makepyfile(
        "from pytest_saliency_sanity import settings\ndef test_seed(): assert settings.current().seed == 6"
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_bad_file_stops_xdist_before_its_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.saliency_sanity]\nsed = 1")
    assert "unknown key 'sed'" in usage_error(pytester.runpytest("-n2"))


def test_other_tools_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.other]\nseed = 'x'")
    pytester.makepyfile("def test_nothing(): pass")
    pytester.runpytest().assert_outcomes(passed=1)
