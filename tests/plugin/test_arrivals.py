"""Should a report be lost between a worker and the controller, the run says so and fails."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_saliency_sanity.plugin.recording.arrivals import Lost, missing
from pytest_saliency_sanity.plugin.worker_output import told

TESTS = """
    import pytest
    from judging import check, judge

    @pytest.mark.parametrize("number", range(3))
    def test_it(number):
        judge("pass", explainer="one")
        judge("pass", explainer="two")

    def test_plain(): pass
"""
# Each eats the verdicts of test_it[1] on their way, some with the report.
EATS = {
    "the worker drops the attribute": """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(report):
            if report.nodeid.endswith("[1]"):
                report.saliency_verdicts = []
    """,
    "the controller does not read it": """
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_report_from_serializable(data):
            if data["nodeid"].endswith("[1]"):
                del data["saliency_verdicts"]
            return (yield)
    """,
    "the report is lost": """
        import xdist.workermanage

        process = xdist.workermanage.WorkerController.process_from_remote

        def lossy(self, event):
            if not (isinstance(event, tuple) and event[0] == "testreport" and "[1]" in event[1]["data"]["nodeid"]):
                process(self, event)

        xdist.workermanage.WorkerController.process_from_remote = lossy
    """,
}


@pytest.mark.parametrize("how", EATS)
def test_what_is_missing_is_named_and_the_run_fails(project: pytest.Pytester, how: str) -> None:
    project.makeconftest(EATS[how])
    project.makepyfile(test_it=TESTS)
    result = project.runpytest_subprocess("-n1", "--saliency-quiet")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.re_match_lines(
        [
            r"LOST         test_it\.py::test_it\[1\]: 2 of 2 verdicts did not arrive from gw0",
            r"saliency sanity: 4 passed, 0 failed, 0 inconclusive, 0 errors, 2 lost",
        ],
        consecutive=True,
    )


@pytest.mark.extended
def test_all_reports_lost(project: pytest.Pytester) -> None:
    project.makeconftest(EATS["the report is lost"].replace('"[1]" in', '"::" in'))
    project.makepyfile(test_it=TESTS)
    result = project.runpytest_subprocess("-n1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines("saliency sanity: 0 passed, 0 failed, 0 inconclusive, 0 errors, 6 lost")


@pytest.mark.extended
def test_another_failure_s_exit_code_stays(project: pytest.Pytester) -> None:
    project.makeconftest(EATS["the report is lost"])
    project.makepyfile(test_it=TESTS, test_other="def test_red(): raise OSError")
    result = project.runpytest_subprocess("-n2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["LOST  *test_it?1?: 2 of 2 *", "*1 failed*"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n2"],
        *(
            pytest.param(one, marks=pytest.mark.extended)
            for one in (["--dist=each", "--tx=2*popen"], ["-n2", "--dist=loadfile"], ["-x", "-n2"])
        ),
    ],
)
def test_nothing_is_missing(mixed: pytest.Pytester, arguments: list[str]) -> None:
    result = mixed.runpytest_subprocess(*arguments)
    assert "lost" not in result.stdout.str() and "LOST" not in result.stdout.str()


def test_each_worker_counts_for_itself(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=TESTS)
    result = project.runpytest_subprocess("--dist=each", "--tx=2*popen")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines("saliency sanity: 12 passed, 0 failed, 0 inconclusive, 0 errors")


@pytest.mark.extended
def test_a_rerun_is_not_missing(project: pytest.Pytester) -> None:
    pytest.importorskip("pytest_rerunfailures")
    project.makepyfile(
        test_it="""
        from judging import judge
        seen = []

        def test_it():
            judge("pass", explainer="one")
            seen.append(1)
            if len(seen) == 1:
                judge("fail", explainer="two")
        """
    )
    result = project.runpytest_subprocess("-n1", "--reruns=1")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines("saliency sanity: 1 passed, 0 failed, 0 inconclusive, 0 errors")


@pytest.mark.parametrize("output", [None, {}, {"saliency_sanity": 3}, {"exitstatus": 0}])
def test_a_worker_that_has_said_nothing(output: object) -> None:
    assert told(SimpleNamespace() if output is None else SimpleNamespace(workeroutput=output)) == {}


def test_what_is_missing() -> None:
    said = {"recorded": {"b": 2, "a": 1, "c": 1}}
    assert missing(said, "gw0", {"b": 1, "c": 1}) == [Lost("a", "gw0", 1, 1), Lost("b", "gw0", 1, 2)]
    assert str(Lost("a", "gw0", 1, 1)) == "a: 1 of 1 verdict did not arrive from gw0"
    assert missing({}, "gw0", {}) == []
