"""Where verdicts go: from the test they were found in to its report, in this process and from workers."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

DUMP = """
    import json
    from pathlib import Path

    FOUND = {}

    def pytest_runtest_logreport(report):
        FOUND.setdefault(report.nodeid, {})[report.when] = report.saliency_verdicts

    def pytest_sessionfinish(session):
        if not hasattr(session.config, "workerinput"):
            Path(session.config.rootpath, "found.json").write_text(json.dumps(FOUND, sort_keys=True))
"""


def found(pytester: pytest.Pytester, *arguments: str) -> dict[str, Any]:
    """The verdicts on each test's reports, by node id and phase."""
    pytester.makeconftest(DUMP)
    pytester.runpytest(*arguments)
    reports = json.loads((pytester.path / "found.json").read_text())
    return {
        nodeid: {when: [json.loads(text) for text in texts] for when, texts in phases.items()}
        for nodeid, phases in reports.items()
    }


def test_identical_serial_and_under_xdist(mixed: pytest.Pytester) -> None:
    found(mixed)
    serial = (mixed.path / "found.json").read_bytes()
    found(mixed, "-n2")
    assert (mixed.path / "found.json").read_bytes() == serial


def test_each_verdict_is_on_one_report(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_phases="""
        import pytest
        from judging import check

        @pytest.fixture
        def phases():
            check("pass", explainer="setup")
            yield
            check("pass", explainer="teardown")

        def test_it(phases):
            check("pass", explainer="call")
            check("fail", explainer="call too")

        def test_other():
            pass
        """
    )
    reports = found(project)
    names = {
        when: [one["explainer"] for one in ones] for when, ones in reports["test_phases.py::test_it"].items()
    }
    assert names == {"setup": ["setup"], "call": ["call", "call too"], "teardown": ["teardown"]}
    assert reports["test_phases.py::test_other"] == {"setup": [], "call": [], "teardown": []}


def test_the_report_has_the_verdict_s_json(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_one="""
        import json
        from pathlib import Path
        from judging import check

        def test_it():
            Path("expected.json").write_text(json.dumps(check("fail").to_json()))
        """
    )
    reports = found(project)
    expected = json.loads((project.path / "expected.json").read_text())
    assert reports["test_one.py::test_it"]["call"] == [{**expected, "number": 0, "observed": True}]


@pytest.mark.parametrize(
    "workers", [[], *(pytest.param([one], marks=pytest.mark.extended) for one in ("-n1", "-n2"))]
)
def test_junit_properties(mixed: pytest.Pytester, workers: list[str]) -> None:
    mixed.runpytest("--junitxml=junit.xml", *workers)
    properties = junit_properties(mixed.path / "junit.xml")
    assert properties["test_faulty"] == [
        {
            "check": "model_sensitivity",
            "explainer": "sobel",
            "model": "Net",
            "number": 0,
            "outcome": "fail",
            "reason": "insensitive",
            "observed": False,
            "statistic": 0.8,
            "interval": [0.8 - 0.1, 0.8 + 0.1],
            "threshold": 0.3,
            "seed": 0,
            "caveats": [],
        }
    ]
    assert {name: one["outcome"] for name, (one,) in properties.items()} == {
        "test_honest": "pass",
        "test_faulty": "fail",
        "test_unclear": "inconclusive",
        "test_broken": "error",
        "test_known": "fail",
    }


def junit_properties(path: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        case.attrib["name"]: [
            json.loads(one.attrib["value"])
            for one in case.iter("property")
            if one.attrib["name"] == "saliency_verdict"
        ]
        for case in ElementTree.parse(path).getroot().iter("testcase")
    }


HOSTILE = """
    import enum
    from pathlib import Path

    import numpy as np
    from judging import judge

    class Depth(enum.IntEnum):
        UPPER = 1

    def test_red():
        judge("fail", explainer=np.str_("sobel"), seed=np.int64(3), evidence={{"hostile": {value}}})
"""


@pytest.mark.covering
@pytest.mark.parametrize("workers", ["-n0", "-n1", "-n2"])
@pytest.mark.parametrize(
    "value",
    [
        "[np.float64(0.5), {'deep': np.float32('nan')}, np.bool_(True)]",
        "{np.int64(3): np.arange(3), 'path': Path('here'), 'set': {1.5}, 'enum': Depth.UPPER}",
        "['caf\\udce9', -2**40, 2**80, float('inf')]",
    ],
)
def test_no_evidence_turns_a_red_run_green(project: pytest.Pytester, workers: str, value: str) -> None:
    project.makepyfile(HOSTILE.format(value=value))
    result = project.runpytest(workers)
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    "value",
    [
        "'caf\\udce9'",
        *(pytest.param(one, marks=pytest.mark.extended) for one in ("np.float64(0.5)", "-2**40")),
    ],
)
def test_the_danger_is_real(pytester: pytest.Pytester, value: str) -> None:
    # What happens to a red test whose report carries such a value as it is: why verdicts travel as JSON text.
    pytester.makepyfile(
        f"""
        import numpy as np

        def test_red(record_property):
            record_property("x", {value})
            raise OSError
        """
    )
    assert pytester.runpytest("-n0").ret == pytest.ExitCode.TESTS_FAILED
    assert pytester.runpytest("-n1").ret == pytest.ExitCode.OK


def test_a_message_with_a_lone_surrogate_is_sent(project: pytest.Pytester) -> None:
    project.makepyfile(
        "from judging import judge\ndef test_red(): judge('fail', explainer='caf\\udce9', hint='\\udce9')"
    )
    result = project.runpytest("-n1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(r"E*SanityCheckFailed: caf\udce9 ignores the model*")


def test_threads_and_tasks_belong_to_their_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_threads="""
        import asyncio, threading
        from concurrent.futures import ThreadPoolExecutor
        from judging import check

        async def task():
            await asyncio.to_thread(check, "pass", explainer="task")

        def test_it():
            thread = threading.Thread(target=check, args=["pass"], kwargs={"explainer": "thread"})
            thread.start()
            thread.join()
            with ThreadPoolExecutor() as pool:
                pool.submit(check, "pass", explainer="pool").result()
            asyncio.run(task())
        """
    )
    (ones,) = [phases["call"] for phases in found(project, "--saliency-seed=4").values()]
    assert [(one["explainer"], one["seed"]) for one in ones] == [("thread", 4), ("pool", 4), ("task", 4)]


def test_an_event_loop_of_several_tests(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_loop="""
        import asyncio, contextvars
        import pytest
        from judging import check

        @pytest.fixture(scope="module")
        def run():
            loop = asyncio.new_event_loop()
            yield lambda coroutine: loop.run_until_complete(loop.create_task(coroutine))
            loop.close()

        @pytest.fixture(scope="module")
        def kept():
            return contextvars.copy_context().run

        async def task(name):
            check("pass", explainer=name)

        def test_one(run, kept):
            run(task("one"))
            kept(check, "pass", explainer="kept one")

        def test_two(run, kept):
            run(task("two"))
            kept(check, "pass", explainer="kept two")
        """
    )
    names = [[one["explainer"] for one in phases["call"]] for phases in found(project).values()]
    assert names == [["one", "kept one"], ["two", "kept two"]]


def test_subtests_report_their_own(project: pytest.Pytester) -> None:
    pytest.importorskip("_pytest.subtests", reason="subtests come with pytest 9")
    project.makepyfile(
        test_subtests="""
        from judging import judge

        def test_it(subtests):
            for outcome in ("pass", "fail", "inconclusive"):
                with subtests.test(outcome):
                    judge(outcome, explainer=outcome)
        """
    )
    result = project.runpytest("--saliency-inconclusive=skip")
    result.stdout.fnmatch_lines("saliency sanity: 1 passed, 1 failed, 1 inconclusive, 0 errors")
    assert "SUBFAILED[[]inconclusive]" not in result.stdout.str()


def test_nothing_holds_outside_a_test(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        from pytest_saliency_sanity import settings

        def pytest_collection_finish():
            assert settings.current().replay == "" and settings.current().record is None

        def pytest_sessionfinish():
            assert settings.current().replay == "" and settings.current().record is None
        """
    )
    project.makepyfile("from judging import check\ndef test_it(): check('pass')")
    result = project.runpytest_subprocess("--saliency-seed=3")
    assert result.ret == pytest.ExitCode.OK
