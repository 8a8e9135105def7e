"""Checks that are written outside of the package: by an entry point, by a hook, by a call."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_saliency_sanity import Case, Check, audit, register_check
from pytest_saliency_sanity.checks import registration
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.verdict import Claim, Finding, Verdict

MODULE = '''
    from pytest_saliency_sanity import Check, Verdict
    from pytest_saliency_sanity.verdict import Claim, Finding

    def check_naming(explainer, model, inputs=None, *, prefix="", name=None, seed=0):
        """Whether an explainer's name begins with a prefix."""
        outcome = "pass" if name.startswith(prefix) else "fail"
        found = (Finding("naming", outcome, f"is called {name}, {len(inputs)} images"),)
        claim = Claim("is misnamed", "", ("", "", ""))
        return Verdict("naming", name, type(model).__name__, claim, seed, findings=found)

    NAMING = Check(
        name="naming", assertion="assert_named", question="what is it called?", takes=("model", "inputs"),
        columns={}, source="nowhere", path="naming:check_naming",
    )
'''
TESTS = """
    from pytest_saliency_sanity import explainers, parametrize_with_sanity_checks

    def test_the_fixture(assert_named):
        assert assert_named(explainers.gradient, name="gradient").outcome == "pass"

    def test_the_fixture_fails(assert_named):
        assert_named(explainers.gradient, name="gradient", prefix="saliency")

    @parametrize_with_sanity_checks({"grad": explainers.gradient}, checks="all", options={"naming": {"prefix": "grad"}})
    def test_explainer(explainer, sanity_check, saliency_case):
        sanity_check(explainer, saliency_case)
"""
SEEN = """

    SEEN = []

    def pytest_saliency_verdict(config, nodeid, verdict):
        SEEN.append([nodeid, verdict["check"], verdict["outcome"], verdict["observed"]])

    def pytest_unconfigure(config):
        import json, pathlib
        if not hasattr(config, "workerinput"):
            pathlib.Path("seen.json").write_text(json.dumps(sorted(SEEN)))
"""
HOOK = """

    def pytest_saliency_checks(config):
        from naming import NAMING
        return [NAMING]
"""


@pytest.fixture
def outside(project: pytest.Pytester) -> pytest.Pytester:
    """A project with a module that defines a check."""
    project.makepyfile(naming=MODULE, test_it=TESTS)
    project.syspathinsert()
    return project


@pytest.mark.parametrize("processes", ["0", pytest.param("2", marks=pytest.mark.extended)])
def test_a_check_of_the_hook_stands_beside_the_others(outside: pytest.Pytester, processes: str) -> None:
    conftest = outside.path / "conftest.py"
    conftest.write_text(conftest.read_text() + re.sub("^    ", "", HOOK + SEEN, flags=re.M))
    result = outside.runpytest("-n", processes, "-k", "naming or fixture or consistency", "-rs")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*SanityCheckFailed: gradient is called gradient, 16 images*",
            "saliency sanity: 3 passed, 1 failed*",
        ]
    )
    assert json.loads((outside.path / "seen.json").read_text()) == [
        ["test_it.py::test_explainer[grad-consistency]", "consistency", "pass", False],
        ["test_it.py::test_explainer[grad-naming]", "naming", "pass", False],
        ["test_it.py::test_the_fixture", "naming", "pass", False],
        ["test_it.py::test_the_fixture_fails", "naming", "fail", False],
    ]
    assert "naming" not in [check.name for check in registration.known()]


def test_a_check_of_the_hook_is_among_the_tests_without_code(outside: pytest.Pytester) -> None:
    conftest = outside.path / "conftest.py"
    conftest.write_text(conftest.read_text() + re.sub("^    ", "", HOOK, flags=re.M))
    flags = ("--saliency-explainer", "explainers:gradient", "--saliency-model", "torch.nn:Flatten")
    result = outside.runpytest(*flags, "--collect-only", "-q")
    result.stdout.fnmatch_lines(["saliency::explainers:gradient::naming"])


def test_a_check_of_an_entry_point_stands_beside_the_others(outside: pytest.Pytester) -> None:
    metadata = outside.path / "naming-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: naming\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{registration.GROUP}]\nnaming = naming:NAMING\n")
    result = outside.runpytest_subprocess("-k", "naming or fixture")
    result.assert_outcomes(passed=2, failed=1)


def test_a_bad_check_of_the_hook_is_a_usage_error(outside: pytest.Pytester) -> None:
    conftest = outside.path / "conftest.py"
    conftest.write_text(conftest.read_text() + "\ndef pytest_saliency_checks(config):\n    return [3]\n")
    result = outside.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: pytest_saliency_checks: a check must be a Check(*), not 3"])


def _naming(explainer: object, model: object, *, name: str) -> Verdict:
    found = Finding("naming", "pass", f"is called {name}")
    return Verdict(
        "naming", name, type(model).__name__, Claim("is misnamed", "", ("", "", "")), 0, findings=(found,)
    )


NAMING = Check("naming", "assert_named", "what is it called?", ("model",), {}, "nowhere", path=_naming)


def test_a_registered_check_is_in_an_audit(case: Case) -> None:
    register_check(NAMING)
    try:
        found = audit({"grad": gradient}, case, ["naming", "contract"], progress=False)
    finally:
        registration.unregister_check(NAMING)
    assert [one.outcome for one in found] == ["pass", "pass"]
    with pytest.raises(ValueError, match="unknown check 'naming'"):
        audit({"grad": gradient}, case, ["naming"], progress=False)


BAD = {
    "no check": (3, "a check must be a Check(name=…, assertion=…, path=…), not 3"),
    "no path": (Check("naming", None, "?", (), {}, ""), "the check 'naming' has no path"),
    "no identifier": (
        Check("na ming", None, "?", (), {}, "", path="a:b"),
        "'na ming' cannot be the name of a check",
    ),
    "a name that is there": (
        Check("contract", None, "?", (), {}, "", path="a:b"),
        "there is a check 'contract'",
    ),
    "an assertion that is there": (
        Check("naming", "assert_contract", "?", (), {}, "", path="a:b"),
        "with the assertion 'assert_contract' already",
    ),
    "a field that is not there": (
        Check("naming", None, "?", ("modle",), {}, "", path="a:b"),
        "takes 'modle' of a Case, which has model, inputs",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_registered(kind: str) -> None:
    check, words = BAD[kind]
    with pytest.raises((TypeError, ValueError)) as raised:
        register_check(check)  # type: ignore[arg-type]
    assert words in str(raised.value)


def test_the_manual_shows_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "write_a_check.md").read_text(encoding="utf-8")
    assert registration.GROUP in page
    assert "pytest_saliency_checks" in page
    assert "pytest_saliency_verdict" in page
