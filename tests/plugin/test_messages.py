"""How a failure looks: the same text in the terminal, in JUnit and from a worker; no frames of ours."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

ONE = """
    from judging import judge

    def test_faulty():
        explainer = "sobel"
        judge("fail", explainer=explainer, hint="it draws edges", notes=("labels are missing",))
"""
MESSAGE = """\
sobel ignores the model: 0.80 of the map survives when the upper third is re-initialized \
(99 % lower bound 0.70 > 0.30)

  depth  re-initialized            retained  interval (99 % … 95 %)  verdict
  upper  fc2, fc1 (2 of 5 blocks)  0.80      0.70 … 0.90             fail
reason: insensitive
hint: it draws edges
note: labels are missing
replay: pytest "test_one.py::test_faulty" --saliency-profile ci --saliency-seed 0"""


@pytest.fixture
def one(project: pytest.Pytester) -> pytest.Pytester:
    """A project with one failing test."""
    project.makepyfile(test_one=ONE)
    return project


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_the_terminal_shows_the_line_and_the_message_and_nothing_else(
    one: pytest.Pytester, workers: list[str]
) -> None:
    lines = one.runpytest(*workers).outlines
    start = next(number for number, line in enumerate(lines) if "test_faulty ___" in line)
    stop = next(number for number, line in enumerate(lines) if line.strip("= ") == "saliency sanity")
    head, *tail = MESSAGE.splitlines()
    assert [line for line in lines[start + 1 : stop] if not line.startswith("[gw0]")] == [
        "",
        "    def test_faulty():",
        '        explainer = "sobel"',
        '>       judge("fail", explainer=explainer, hint="it draws edges", notes=("labels are missing",))',
        f"E       SanityCheckFailed: {head}",
        *(f"E       {line}" for line in tail),
        "",
        "test_one.py:5: SanityCheckFailed",
    ]


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_junit_has_the_whole_message(one: pytest.Pytester, workers: list[str]) -> None:
    one.runpytest("--junitxml=junit.xml", *workers)
    suite = ElementTree.parse(one.path / "junit.xml").getroot()[0]
    assert suite.attrib["failures"] == "1"
    failure = next(suite.iter("failure"))
    shown = [line[8:] for line in (failure.text or "").splitlines() if line.startswith("E       ")]
    assert "\n".join(shown) == f"SanityCheckFailed: {MESSAGE}"
    assert failure.attrib["message"].startswith(f"SanityCheckFailed: {MESSAGE.splitlines()[0]}")


def test_the_short_summary_begins_with_the_message(
    one: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("CI", raising=False)
    first = MESSAGE.splitlines()[0]
    one.runpytest().stdout.fnmatch_lines(f"FAILED test_one.py::test_faulty - SanityCheckFailed: {first}")


def test_an_error_shows_where_the_explainer_broke(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_broken="""
        from judging import judge

        def explainer(model, inputs, targets):
            return inputs[0].no_such_thing

        def test_broken():
            try:
                explainer(None, [0], None)
            except AttributeError as error:
                caught = error
            judge("error", exception=caught)
        """
    )
    project.runpytest().stdout.fnmatch_lines(
        [
            "AttributeError: 'int' object has no attribute 'no_such_thing'",
            '*File "*test_broken.py", line 4, in explainer',
            "*return inputs[[]0].no_such_thing*",
            "The above exception was the direct cause of the following exception:",
            '>       judge("error", exception=caught)',
            "E       ExplainerContractError: sobel broke the contract: it returned NaN for 3 of 16 images",
            "test_broken.py:11: ExplainerContractError",
        ]
    )


@pytest.mark.skipif("sys.version_info < (3, 11)", reason="notes come with Python 3.11")
def test_a_note_is_shown(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_noted="""
        from judging import judge
        from pytest_saliency_sanity.errors import SanityCheckFailed

        def test_faulty():
            try:
                judge("fail")
            except SanityCheckFailed as error:
                error.add_note("artefact: strips/sobel.png")
                raise
        """
    )
    for workers in ("-n0", "-n1"):
        project.runpytest(workers).stdout.fnmatch_lines("E*artefact: strips/sobel.png")
