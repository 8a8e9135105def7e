"""What fixtures' names say: misspelled ones are told to those who use ours, and nobody else is bothered."""

from __future__ import annotations

import pytest

from tests.plugin.strict import STRICT

# Projects that use nothing of ours, whatever names they have.
FOREIGN = {
    "a constant": "saliency_models = ['a', 'b']\ndef test_one(): assert saliency_models",
    "a helper": "def saliency_input(): return 1\ndef test_one(): assert saliency_input() == 1",
    "a class": "class saliency_label: pass\ndef test_one(): assert saliency_label",
    "a module": "import types\nsaliency_target = types.ModuleType('x')\ndef test_one(): pass",
    "a fixture": "import pytest\n@pytest.fixture\ndef saliency_input(): return 1\ndef test_one(saliency_input): pass",
    "an autouse fixture": (
        "import pytest\n@pytest.fixture(autouse=True)\ndef saliency_models(): return 1\ndef test_one(): pass"
    ),
    "a parameter": (
        "import pytest\n@pytest.mark.parametrize('saliency_input', [1])\ndef test_one(saliency_input): pass"
    ),
    "unittest": (
        "import unittest\nsaliency_models = 1\nclass TestOne(unittest.TestCase):\n    def test_one(self): pass"
    ),
    "names that cannot be sorted": "class Odd:\n    __slots__ = ()\nsaliency_inputz = Odd()\ndef test_one(): pass",
}


@pytest.mark.covering
@pytest.mark.parametrize("workers", ["-n0", "-n1"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_who_does_not_use_us_is_left_alone(pytester: pytest.Pytester, kind: str, workers: str) -> None:
    pytester.makepyfile(test_it=FOREIGN[kind])
    result = pytester.runpytest(*STRICT, workers)
    result.assert_outcomes(passed=1)
    assert "did you mean" not in result.stdout.str()


def test_items_of_another_kind(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        class Odd(pytest.Item):
            fixturenames = None
            def runtest(self): pass
            def reportinfo(self): return self.path, 0, "odd"

        class File(pytest.File):
            def collect(self):
                yield Odd.from_parent(self, name="odd")

        def pytest_collect_file(file_path, parent):
            if file_path.suffix == ".odd":
                return File.from_parent(parent, path=file_path)
        """
    )
    pytester.makefile(".odd", it="")
    pytester.runpytest(*STRICT).assert_outcomes(passed=1)


MISSPELLED = "import pytest\n@pytest.fixture\ndef {}(): return 1\n"
SENTENCE = "no check uses the fixture '{}'; did you mean '{}'?"
PAIRS = [
    ("salience_inputs", "saliency_inputs"),
    ("saliency_label", "saliency_labels"),
    ("saliency_models", "saliency_model"),
    ("saliency_trainset", "saliency_train_set"),
]


@pytest.mark.parametrize("written, meant", PAIRS)
def test_a_misspelled_fixture_is_told(pytester: pytest.Pytester, written: str, meant: str) -> None:
    pytester.makeconftest(MISSPELLED.format(written))
    pytester.makepyfile("def test_one(assert_model_sensitive): pass\ndef test_other(): pass")
    result = pytester.runpytest()
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines([f"*PytestWarning: {SENTENCE.format(written, meant)}"])


@pytest.mark.covering
@pytest.mark.parametrize("workers", ["-n0", "-n1"])
@pytest.mark.parametrize("how", ["directly", "through another fixture", "by the marker", "in a class"])
def test_as_an_error_it_is_the_test_s_own(pytester: pytest.Pytester, how: str, workers: str) -> None:
    pytester.makeconftest(
        MISSPELLED.format("saliency_input")
        + "@pytest.fixture\ndef audit(assert_contract): return 1\nclass Nothing: pass\n"
    )
    test = {
        "directly": "def test_ours(saliency_case): pass",
        "through another fixture": "def test_ours(audit): pass",
        "by the marker": "import pytest\n@pytest.mark.usefixtures('saliency_model')\ndef test_ours(): pass",
        "in a class": "class TestIt:\n    def test_ours(self, assert_contract): pass",
    }[how]
    pytester.makepyfile(test_it=f"{test}\ndef test_other(): pass\n")
    result = pytester.runpytest(*STRICT, workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"E*PytestWarning: {SENTENCE.format('saliency_input', 'saliency_inputs')}"])
    assert "INTERNALERROR" not in result.stdout.str()


def test_a_filter_can_silence_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(MISSPELLED.format("saliency_input"))
    pytester.makeini(
        "[pytest]\nfilterwarnings =\n    error\n    ignore:no check uses the fixture:pytest.PytestWarning\n"
    )
    pytester.makepyfile("def test_one(assert_contract): pass")
    pytester.runpytest("-W", "ignore::pytest.PytestAssertRewriteWarning").assert_outcomes(passed=1)


def test_what_a_test_does_not_see_is_no_mistake_of_it(pytester: pytest.Pytester) -> None:
    inner = pytester.mkdir("inner")
    (inner / "conftest.py").write_text(MISSPELLED.format("saliency_input"))
    (inner / "test_inner.py").write_text("def test_inner(): pass")
    pytester.makepyfile(test_outer="def test_outer(assert_contract): pass")
    pytester.runpytest(*STRICT).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "body",
    [
        "@pytest.fixture\ndef saliency_model(saliency_models): return 1\ndef test_it(assert_contract): pass",
        "@pytest.mark.parametrize('saliency_model', [1])\ndef test_it(assert_contract): pass",
    ],
)
def test_where_the_right_one_is_there_too_a_similar_name_is_no_mistake(
    pytester: pytest.Pytester, body: str
) -> None:
    pytester.makeconftest(MISSPELLED.format("saliency_models"))
    pytester.makepyfile(f"import pytest\n{body}")
    pytester.runpytest(*STRICT).assert_outcomes(passed=1)


def test_a_fixture_of_the_projects_own_is_none(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(MISSPELLED.format("saliency_method"))
    pytester.makepyfile("def test_it(assert_contract): pass")
    pytester.runpytest(*STRICT).assert_outcomes(passed=1)


def test_where_pytest_s_internals_have_changed_nothing_breaks(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*arguments: object) -> None:
        raise AttributeError

    monkeypatch.setattr("pytest_saliency_sanity.plugin.lookup._definitions", changed)
    pytester.makeconftest(MISSPELLED.format("saliency_input"))
    pytester.makepyfile("def test_it(assert_contract): pass")
    pytester.runpytest(*STRICT).assert_outcomes(passed=1)
