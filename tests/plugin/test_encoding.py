"""Whatever a report of ours carries, an xdist worker can send it: a red test is never lost."""

from __future__ import annotations

import collections
import enum
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import execnet
import numpy as np
import pytest

from pytest_saliency_sanity.plugin.encoding import make_warning_sendable, sendable


class Depth(enum.IntEnum):
    UPPER = 1


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError


Pair = collections.namedtuple("Pair", "one other")
itself: list[Any] = []
itself.append(itself)


@pytest.mark.parametrize(
    "value, sent",
    [
        ("caf\udce9", "caf\\udce9"),
        ("café ✓", "café ✓"),
        (np.str_("\udcff"), "\\udcff"),
        ({"\udc80": ["\ud800", ("\udfff", None)]}, {"\\udc80": ["\\ud800", ("\\udfff", None)]}),
        (-(2**31), -(2**31)),
        (-(2**31) - 1, "-2147483649"),
        (2**80, 2**80),
        (Depth.UPPER, 1),
        (np.int64(-(2**40)), str(-(2**40))),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (Path("there"), "there"),
        (Pair("\udcff", 1), ("\\udcff", 1)),
        (collections.OrderedDict(a=1), {"a": 1}),
        ({"\udcff"}, {"\\udcff"}),
        (Unprintable(), "<Unprintable that cannot be printed>"),
        ((1, True, b"\xff", 1.5, 2j), (1, True, b"\xff", 1.5, 2j)),
    ],
    ids=lambda value: ascii(value)[:30] if type(value) is not Unprintable else "unprintable",
)
def test_sendable(value: Any, sent: Any) -> None:
    found = sendable(value)
    assert found == sent
    assert type(found) is type(sent)
    execnet.dumps(found)


@pytest.mark.parametrize("value", [itself, 10**5000, -(10**5000)], ids=["itself", "large", "small"])
def test_what_has_no_end_or_cannot_be_written_is_sent_somehow(value: Any) -> None:
    execnet.dumps(sendable(value))


class OwnText(UserWarning):
    def __str__(self) -> str:
        return "own \udcff"


@pytest.mark.parametrize(
    "warning, text",
    [(UserWarning("\udcff", -(2**40)), "('\\\\udcff', '-1099511627776')"), (OwnText(), "own \\udcff")],
)
def test_a_warning(warning: Warning, text: str) -> None:
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        warnings.warn(warning, stacklevel=1)
    make_warning_sendable(recorded[0])
    assert str(recorded[0].message) == text
    execnet.dumps((str(recorded[0].message), recorded[0].message.args))


def test_a_sendable_warning_stays_the_very_object() -> None:
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        warnings.warn("plain", stacklevel=1)
    message = recorded[0].message
    make_warning_sendable(recorded[0])
    assert recorded[0].message is message and message.args == ("plain",)


# Each test fails, and something on one of its reports cannot be sent as it is.
KINDS = {
    "message": "def test_red(): broken(ValueError('\\udcff'))",
    "two lines": "def test_red(): broken(ValueError('fine', 'second \\udcff'))",
    "class": "def test_red(): broken(type('Broken\\udcff', (Exception,), {})('x'))",
    "note": """
        def test_red():
            error = ValueError("x")
            error.__notes__ = ["see \\udcff"]
            broken(error)
    """,
    "note of ours": """
        def test_red():
            try:
                judge("fail")
            except AssertionError as error:
                error.__notes__ = ["see \\udcff"]
                raise
    """,
    "cause": """
        def test_red():
            try:
                judge("fail")
            except AssertionError as error:
                raise OSError("\\udcff") from error
    """,
    "context": """
        def test_red():
            try:
                open("gone \\udcff")
            except OSError:
                judge("fail")
    """,
    "chain of three": """
        def test_red():
            error = ValueError("x")
            error.__cause__ = KeyError("\\udcff")
            error.__cause__.__context__ = IndexError("\\ud800")
            broken(error)
    """,
    "group": """
        def test_red():
            errors = []
            for name in ("a\\udcff", "b"):
                try:
                    judge("fail", explainer=name)
                except AssertionError as error:
                    errors.append(error)
            raise ExceptionGroup("several \\udcff", errors)
    """,
    "stdout": "def test_red(): os.write(1, b'\\xff'); print('\\udcff'); judge('fail')",
    "stderr": "def test_red(): print('\\udcff', file=sys.stderr); judge('fail')",
    "log": "def test_red(): logging.error('\\udcff'); judge('fail')",
    "property": "def test_red(record_property): record_property('\\udcff', '\\udcff'); judge('fail')",
    "other property": "def test_red(record_property): record_property('x', {1: object()}); judge('fail')",
    "parameter": """
        @pytest.mark.parametrize("name", ["caf\\udce9"])
        def test_red(name): judge("fail", explainer=name)
    """,
    "value in the traceback": """
        @pytest.mark.parametrize("value", [["caf\\udce9"]])
        def test_red(value, assert_contract):
            kept = value
            judge("fail")
    """,
    "setup": """
        @pytest.fixture
        def audited(): broken(ValueError("\\udcff"))
        def test_red(audited): pass
    """,
    "teardown": """
        @pytest.fixture
        def audited():
            yield
            broken(ValueError("\\udcff"))
        def test_red(audited): pass
    """,
    "unittest": """
        class TestRed(unittest.TestCase):
            def test_red(self): broken(ValueError("\\udcff"))
    """,
    "subTest": """
        class TestRed(unittest.TestCase):
            def test_red(self):
                with self.subTest(name="\\udcff"): broken(ValueError("\\udcff"))
    """,
    "subtests": """
        def test_red(subtests):
            with subtests.test("\\udcff", value="\\udcff"): broken(ValueError("\\udcff"))
    """,
    "warning": "def test_red(): warnings.warn('\\udcff'); warnings.warn(UserWarning(-2**40)); judge('fail')",
    "pytest.fail": """
        def test_red():
            check("pass")
            pytest.fail("\\udcff", pytrace=False)
    """,
    "attribute": "def test_red(request): request.node.keywords['\\udcff'] = 1; judge('fail')",
    "a fixture of ours alone": "def test_red(assert_model_sensitive): raise OSError('\\udcff')",
    "a function of ours alone": """
        def test_red():
            from pytest_saliency_sanity import Verdict
            Verdict.render(type("Unfinished", (), {"__getattr__": fails})())
        def fails(self, name): raise OSError("\\udcff")
    """,
}
HEADER = """
import logging, os, sys, unittest, warnings
import pytest
from judging import check, judge

def broken(error):
    judge("error", exception=error)

"""
OTHERS = """

def test_other(): judge("fail", explainer="other")
def test_plain(): raise OSError
"""


def written(body: str) -> str:
    lines = body.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    return HEADER + "\n".join(line[indent:] for line in lines) + "\n"


def lost(project: pytest.Pytester, *kinds: str) -> list[str]:
    """The tests, of a file for each kind, that a run with a worker does not name among those that failed."""
    files = {kind: f"test_{number}.py" for number, kind in enumerate(kinds)}
    for kind, file in files.items():
        (project.path / file).write_text(written(KINDS[kind]) + OTHERS, encoding="ascii")
    result = project.runpytest("-n1", "-rfE", "--showlocals")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    shown = result.stdout.str()
    assert "INTERNALERROR" not in shown and "LOST" not in shown
    failed = [line for line in result.outlines if line.startswith(("FAILED", "ERROR", "SUBFAIL"))]
    return [
        f"{kind}: {name}"
        for kind, file in files.items()
        for name in ("test_red", "test_other", "test_plain")
        if not any(file in line and name in line for line in failed)
    ]


def test_a_red_test_is_never_lost(project: pytest.Pytester) -> None:
    assert lost(project, *(kind for kind in KINDS if kind != "group" or sys.version_info >= (3, 11))) == []


@pytest.mark.extended
@pytest.mark.parametrize("kind", KINDS)
def test_nor_is_one_alone(project: pytest.Pytester, kind: str) -> None:
    if kind == "group" and sys.version_info < (3, 11):
        pytest.skip("exception groups come with Python 3.11")
    assert lost(project, kind) == []


@pytest.mark.parametrize(
    "style", ["native", *(pytest.param(one, marks=pytest.mark.extended) for one in ("short", "line", "no"))]
)
def test_in_every_style_of_traceback(project: pytest.Pytester, style: str) -> None:
    (project.path / "test_it.py").write_text(written(KINDS["chain of three"]), encoding="ascii")
    result = project.runpytest("-n1", f"--tb={style}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)


# How a test ends, and what is counted of it.
ENDS = [
    ("def test_it(): judge('inconclusive', explainer='\\udcff')", "skipped"),
    ("def test_it(): check('pass'); pytest.skip('\\udcff')", "skipped"),
    ("def test_it(): check('pass'); pytest.xfail('\\udcff')", "xfailed"),
    ("@pytest.mark.xfail(reason='\\udcff')\ndef test_it(): judge('fail')", "xfailed"),
    ("@pytest.mark.skip(reason='\\udcff')\ndef test_it(assert_contract): pass", "skipped"),
    ("def test_it(): print('\\udcff'); judge('pass')", "passed"),
    ("@pytest.mark.xfail(reason='\\udcff', strict=True)\ndef test_it(): judge('pass')", "failed"),
]


def test_no_end_of_a_test_is_lost(project: pytest.Pytester) -> None:
    for number, (body, _) in enumerate(ENDS):
        (project.path / f"test_{number}.py").write_text(HEADER + body, encoding="ascii")
    result = project.runpytest("-n1", "--saliency-inconclusive=skip")
    result.assert_outcomes(**Counter(end for _, end in ENDS))


@pytest.mark.extended
@pytest.mark.parametrize("body, end", ENDS)
def test_skip_reasons_and_what_passes(project: pytest.Pytester, body: str, end: str) -> None:
    (project.path / "test_it.py").write_text(HEADER + body, encoding="ascii")
    result = project.runpytest("-n1", "--saliency-inconclusive=skip")
    result.assert_outcomes(**{end: 1})
    assert result.ret == (1 if end == "failed" else 0)


def test_without_xdist_junit_is_written_too(project: pytest.Pytester) -> None:
    (project.path / "test_it.py").write_text(written(KINDS["chain of three"]), encoding="ascii")
    result = project.runpytest("--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "test_red" in (project.path / "junit.xml").read_text(encoding="utf-8")
