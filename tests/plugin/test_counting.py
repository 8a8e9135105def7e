"""What counts: the last attempt, the last example, and a verdict only where it is why its test did not pass."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

PRELUDE = """
    import contextlib, unittest
    import pytest
    from judging import check, judge
    from pytest_saliency_sanity.errors import SanityCheckFailed, SanityCheckInconclusive

"""


def counted(result: pytest.RunResult) -> dict[str, int]:
    """The closing line's numbers that are not zero."""
    (line,) = (line for line in result.outlines if line.startswith("saliency sanity: "))
    pairs = (part.split(" ", 1) for part in line.partition(": ")[2].split(", "))
    return {
        name.removesuffix("s") if name == "errors" else name: int(count)
        for count, name in pairs
        if int(count)
    }


def run(project: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(test_it=PRELUDE + body)
    return project.runpytest_inprocess(*arguments)


# What is counted of a test, and how the test ends.
ONES = {
    "in pytest.raises": (
        """
    def test_it():
        with pytest.raises(SanityCheckFailed):
            judge("fail")
        """,
        {"observed": 1},
        {"passed": 1},
    ),
    "in suppress": (
        """
    def test_it():
        with contextlib.suppress(AssertionError):
            judge("error")
        """,
        {"observed": 1},
        {"passed": 1},
    ),
    "caught, and the test fails for another reason": (
        """
    def test_it():
        with pytest.raises(SanityCheckFailed):
            judge("fail")
        raise OSError
        """,
        {"observed": 1},
        {"failed": 1},
    ),
    "caught, then one that is not": (
        """
    def test_it():
        with pytest.raises(SanityCheckFailed):
            judge("fail")
        judge("fail")
        """,
        {"observed": 1, "failed": 1},
        {"failed": 1},
    ),
    "not asserted": (
        """
    def test_it():
        for outcome in ("pass", "fail", "inconclusive", "error"):
            check(outcome)
        """,
        {"observed": 4},
        {"passed": 1},
    ),
    "not asserted, in a test that fails": (
        """
    def test_it():
        assert check("fail").outcome == "pass"
        """,
        {"observed": 1},
        {"failed": 1},
    ),
    "raised from": (
        """
    def test_it():
        try:
            judge("fail")
        except AssertionError as error:
            raise RuntimeError("wrapped") from error
        """,
        {"failed": 1},
        {"failed": 1},
    ),
    "raised from None": (
        """
    def test_it():
        try:
            judge("error")
        except AssertionError as error:
            raise RuntimeError("wrapped") from None
        """,
        {"error": 1},
        {"failed": 1},
    ),
    "told by pytest.fail": (
        """
    def test_it():
        try:
            judge("inconclusive")
        except AssertionError as error:
            pytest.fail(str(error))
        """,
        {"inconclusive": 1},
        {"failed": 1},
    ),
    "while cleaning up": (
        """
    def test_it():
        try:
            judge("fail")
        finally:
            raise OSError
        """,
        {"failed": 1},
        {"failed": 1},
    ),
    "turned into a skip": (
        """
    def test_it():
        try:
            judge("fail")
        except AssertionError:
            pytest.skip("known")
        """,
        {"observed": 1},
        {"skipped": 1},
    ),
    "turned into an xfail": (
        """
    def test_it():
        try:
            judge("fail")
        except AssertionError:
            pytest.xfail("known")
        """,
        {"failed as expected": 1},
        {"xfailed": 1},
    ),
    "xfail for another reason": (
        """
    @pytest.mark.xfail
    def test_it():
        with pytest.raises(SanityCheckFailed):
            judge("fail")
        raise OSError
        """,
        {"observed": 1},
        {"xfailed": 1},
    ),
    "a fixture": (
        """
    @pytest.fixture
    def audited():
        judge("fail")

    def test_it(audited): pass
        """,
        {"failed": 1},
        {"errors": 1},
    ),
    "a fixture of the session, counted once": (
        """
    @pytest.fixture(scope="session")
    def audited():
        judge("fail")

    @pytest.mark.parametrize("number", range(3))
    def test_it(audited, number): pass
        """,
        {"failed": 1},
        {"errors": 3},
    ),
    "a teardown": (
        """
    @pytest.fixture
    def audited():
        yield
        judge("fail")

    def test_it(audited): judge("pass")
        """,
        {"passed": 1, "failed": 1},
        {"passed": 1, "errors": 1},
    ),
    "unittest": (
        """
    class TestIt(unittest.TestCase):
        def test_it(self):
            with self.assertRaises(AssertionError):
                judge("fail", explainer="caught")
            judge("fail")
        """,
        {"failed": 1, "observed": 1},
        {"failed": 1},
    ),
    "two explainers": (
        """
    def test_it():
        for name in ("one", "two"):
            judge("pass", explainer=name)
        """,
        {"passed": 2},
        {"passed": 1},
    ),
    "one explainer three times": (
        """
    def test_it():
        for number in range(3):
            judge("pass")
        """,
        {"passed": 3},
        {"passed": 1},
    ),
    "two models and two checks": (
        """
    def test_it():
        for model in ("a", "b"):
            for name in ("contract", "model_sensitivity"):
                judge("pass", model=model, check=name)
        """,
        {"passed": 4},
        {"passed": 1},
    ),
    "equal verdicts, one caught": (
        """
    def test_it():
        for number in range(2):
            with contextlib.suppress(SanityCheckFailed):
                judge("fail")
        judge("fail")
        """,
        {"observed": 2, "failed": 1},
        {"failed": 1},
    ),
    "turned around by a hook": (
        """
    def test_turned():
        judge("fail")
        """,
        {"observed": 1},
        {"passed": 1},
    ),
}
TURN = """
    import pytest

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item):
        report = yield
        if "turned" in item.name and report.when == "call":
            report.outcome = "passed"
        return report
"""


@pytest.mark.parametrize("name", ONES)
def test_what_counts(project: pytest.Pytester, name: str) -> None:
    body, expected, outcomes = ONES[name]
    project.makeconftest(TURN)
    result = run(project, body)
    assert counted(result) == expected
    result.assert_outcomes(**outcomes)


@pytest.mark.parametrize(
    "name",
    [
        "equal verdicts, one caught",
        *(
            pytest.param(one, marks=pytest.mark.extended)
            for one in ("in pytest.raises", "raised from", "a teardown")
        ),
    ],
)
def test_the_same_under_xdist(project: pytest.Pytester, name: str) -> None:
    body, expected, _ = ONES[name]
    assert counted(run(project, body, "-n1")) == expected


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups come with Python 3.11")
def test_members_of_a_group(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
    def test_it():
        errors = []
        for outcome in ("fail", "pass", "error", "inconclusive"):
            try:
                judge(outcome)
            except AssertionError as error:
                errors.append(error)
        with contextlib.suppress(AssertionError):
            judge("fail")
        raise ExceptionGroup("all", [errors[0], ExceptionGroup("inner", errors[1:])])
        """,
    )
    assert counted(result) == {"passed": 1, "failed": 1, "error": 1, "inconclusive": 1, "observed": 1}


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_subtests(project: pytest.Pytester, workers: str) -> None:
    pytest.importorskip("_pytest.subtests", reason="subtests come with pytest 9")
    result = run(
        project,
        """
    def test_it(subtests):
        for outcome in ("fail", "pass", "error"):
            with subtests.test(outcome):
                judge(outcome)
        with subtests.test("caught"), pytest.raises(SanityCheckFailed):
            judge("fail")

    class TestIt(unittest.TestCase):
        def test_it(self):
            for outcome in ("fail", "pass", "error"):
                with self.subTest(outcome):
                    judge(outcome)
        """,
        workers,
    )
    assert counted(result) == {"passed": 2, "failed": 2, "error": 2, "observed": 1}


def test_inconclusive_where_it_skips(project: pytest.Pytester) -> None:
    body = """
    def test_one(): judge("inconclusive")
    def test_two():
        with pytest.raises(SanityCheckInconclusive):
            judge("inconclusive")
    """
    result = run(project, body, "--saliency-inconclusive=skip")
    result.assert_outcomes(skipped=1, passed=1)
    assert counted(result) == {"inconclusive": 1, "observed": 1}


RERUN = """
    seen = []

    def attempts(*outcomes):
        seen.append(1)
        return outcomes[min(len(seen), len(outcomes)) - 1]

"""
RERUNS = {
    "fails, then passes": (
        """
    def test_it():
        judge(attempts("fail", "pass"))
        """,
        {"passed": 1},
    ),
    "fails each time": (
        """
    def test_it():
        judge(attempts("fail", "fail"))
        """,
        {"failed": 1},
    ),
    "two explainers": (
        """
    def test_it():
        judge("pass", explainer="one")
        judge(attempts("error", "fail", "pass"), explainer="two")
        """,
        {"passed": 2},
    ),
    "the second attempt has none": (
        """
    def test_it():
        outcome = attempts("fail", "none")
        if outcome != "none":
            judge(outcome)
        """,
        {},
    ),
    "a fixture": (
        """
    @pytest.fixture
    def audited():
        judge(attempts("fail", "pass"))

    def test_it(audited):
        judge("pass")
        """,
        {"passed": 2},
    ),
}


@pytest.mark.covering
@pytest.mark.parametrize("workers", ["-n0", "-n1"])
@pytest.mark.parametrize("name", RERUNS)
def test_the_last_attempt_counts(project: pytest.Pytester, name: str, workers: str) -> None:
    pytest.importorskip("pytest_rerunfailures")
    body, expected = RERUNS[name]
    result = run(project, RERUN + body, "--reruns=2", workers, "--junitxml=junit.xml")
    if expected:
        assert counted(result) == expected
    else:
        assert "saliency sanity: " not in result.stdout.str()
    assert len(properties(project)) == sum(expected.values())


@pytest.mark.parametrize("workers", ["-n0", pytest.param("-n1", marks=pytest.mark.extended)])
def test_subtests_that_are_run_again(project: pytest.Pytester, workers: str) -> None:
    # Their reports come before those of their test's setup: the plugin reports an attempt when it is over.
    pytest.importorskip("pytest_rerunfailures")
    pytest.importorskip("_pytest.subtests", reason="subtests come with pytest 9")
    body = """
    def test_it(subtests):
        with subtests.test("one"):
            judge("pass", explainer="one")
        judge(attempts("fail", "pass"))
    """
    result = run(project, RERUN + body, "--reruns=2", workers)
    assert counted(result) == {"passed": 2}
    assert result.ret == pytest.ExitCode.OK


def test_a_plugin_that_runs_the_protocol_again(project: pytest.Pytester) -> None:
    # As pytest-rerunfailures and flaky do; this one reports the last attempt alone.
    project.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for attempt in range(3):
                item._initrequest()
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    body = RERUN + "    def test_it(): judge(attempts('fail', 'error', 'pass'))"
    for workers in ("-n0", "-n1"):
        assert counted(run(project, body, workers)) == {"passed": 1}


def test_a_plugin_that_calls_the_function_again(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(item):
            try:
                return (yield)
            except AssertionError:
                item.runtest()
        """
    )
    body = """
    @pytest.fixture
    def audited(): judge("pass", explainer="of the setup")

    def test_it(audited): judge(attempts("fail", "pass"))
    """
    assert counted(run(project, RERUN + body)) == {"passed": 2}


GIVEN = """
    from hypothesis import HealthCheck, given, settings, strategies as st
    quick = settings(max_examples=8, database=None, deadline=None, suppress_health_check=list(HealthCheck))

"""
GIVENS = {
    "passes": (
        """
    @quick
    @given(st.integers())
    def test_it(number): judge("pass")
        """,
        {"passed": 1},
    ),
    "fails for some": (
        """
    @quick
    @given(st.integers(0, 20))
    def test_it(number): judge("fail" if number > 3 else "pass")
        """,
        {"failed": 1},
    ),
    "another explainer each time": (
        """
    @quick
    @given(st.integers())
    def test_it(number): judge("pass", explainer=f"explainer {number}")
        """,
        {"passed": 1},
    ),
    "two explainers in each example": (
        """
    @quick
    @given(st.integers())
    def test_it(number):
        for name in ("one", "two"):
            judge("pass", explainer=name)
        """,
        {"passed": 2},
    ),
    "one twice in each example": (
        """
    @quick
    @given(st.integers())
    def test_it(number):
        judge("pass")
        judge("pass")
        """,
        {"passed": 2},
    ),
    "with a fixture": (
        """
    @pytest.fixture
    def audited(): judge("pass", explainer="of the setup")

    @quick
    @given(number=st.integers())
    def test_it(audited, number): judge("pass")
        """,
        {"passed": 2},
    ),
    "in a class, parametrized": (
        """
    class TestIt:
        @pytest.mark.parametrize("name", ["one", "two"])
        @quick
        @given(number=st.integers())
        def test_it(self, name, number): judge("pass", explainer=name)
        """,
        {"passed": 2},
    ),
    "inside a test": (
        """
    def test_it():
        @quick
        @given(st.integers())
        def inner(number): judge("pass")
        judge("pass")
        inner()
        """,
        {"passed": 2},
    ),
}


QUICK = ("with a fixture", "in a class, parametrized", "two explainers in each example")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.extended) for name in GIVENS]
)
def test_the_last_example_counts(project: pytest.Pytester, name: str) -> None:
    pytest.importorskip("hypothesis")
    body, expected = GIVENS[name]
    result = run(project, GIVEN + body, "--junitxml=junit.xml")
    assert counted(result) == expected
    assert len(properties(project)) == sum(expected.values())


def test_a_hypothesis_that_does_not_tell_its_examples(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hypothesis")
    monkeypatch.setattr("pytest_saliency_sanity.plugin.recording.records._example", lambda: None)
    assert counted(run(project, GIVEN + GIVENS["passes"][0])) == {"passed": 1}


def properties(project: pytest.Pytester) -> list[dict[str, Any]]:
    """The verdicts in the JUnit file."""
    return [
        json.loads(one.attrib["value"])
        for one in ElementTree.parse(project.path / "junit.xml").getroot().iter("property")
        if one.attrib["name"] == "saliency_verdict"
    ]


def test_junit_has_the_numbers_and_what_was_observed(project: pytest.Pytester) -> None:
    body = """
    def test_it(record_property):
        record_property("mine", "stays")
        judge("pass")
        judge("pass")
        check("pass")
        judge("pass", explainer="other")
        with pytest.raises(SanityCheckFailed):
            judge("fail")
    """
    run(project, body, "--junitxml=junit.xml")
    found = [(one["explainer"], one["number"], one["observed"]) for one in properties(project)]
    assert found == [
        ("sobel", 0, False),
        ("sobel", 1, False),
        ("sobel", 2, True),
        ("other", 0, False),
        ("sobel", 3, True),
    ]
    assert 'value="stays"' in (project.path / "junit.xml").read_text()
