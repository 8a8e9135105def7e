"""Parametrized `saliency_*` fixtures: tests that name only an assertion are multiplied, and nothing more is set up."""

from __future__ import annotations

import inspect

import pytest

import pytest_saliency_sanity
from pytest_saliency_sanity.checks.registry import ASSERTED
from pytest_saliency_sanity.plugin import fixtures
from tests.plugin.strict import STRICT

# Here, before any inner run, which forgets the modules that it is the first to import: torch cannot be loaded twice.
CHECKS = {name: getattr(pytest_saliency_sanity, check.function) for name, check in ASSERTED.items()}
# A stand-in for the assertions, which says what it was called with; no model is needed.
CONFTEST = """
    import pytest
    import pytest_saliency_sanity

    SEEN = []

    @pytest.fixture(autouse=True)
    def _stand_ins(monkeypatch, request):
        def assertion(explainer, **given):
            SEEN.append((request.node.name, given))
            return given
        for name in ("contract", "model_sensitive", "data_sensitive", "localized"):
            monkeypatch.setitem(vars(pytest_saliency_sanity), f"assert_{name}", assertion)

    @pytest.fixture(scope="session")
    def saliency_train_set():
        raise RuntimeError("the train set takes an hour to load")
"""
HEADER = "import pytest\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose train set cannot be loaded."""
    pytester.makeconftest(CONFTEST)
    return pytester


def names(project: pytest.Pytester, body: str, *arguments: str) -> list[str]:
    """The tests of the file, which all pass."""
    (project.path / "test_it.py").write_text(HEADER + inspect.cleandoc(body) + "\n")
    result = project.runpytest("-v", *STRICT, *arguments)
    found = [
        line.split("::", 1)[1].split(" ")[0] for line in result.outlines if " PASSED" in line and "::" in line
    ]
    assert result.ret == pytest.ExitCode.OK
    return found


@pytest.mark.parametrize("assertion", ASSERTED)
def test_the_fields_of_each_assertion_are_those_of_its_signature(assertion: str) -> None:
    parameters = inspect.signature(CHECKS[assertion]).parameters
    read = [name for name in fixtures.CASE_FIELDS if name in parameters]
    assert sorted(ASSERTED[assertion].takes) == sorted(read)


@pytest.mark.parametrize("scope", ["function", "class", "module", "session"])
def test_params_of_an_override(project: pytest.Pytester, scope: str) -> None:
    body = f"""
    @pytest.fixture(params=["a", "b"], scope="{scope}")
    def saliency_inputs(request): return request.param

    def test_it(assert_model_sensitive, request):
        assert assert_model_sensitive("e", "m")["inputs"] in request.node.name
    """
    assert names(project, body) == ["test_it[a]", "test_it[b]"]


def test_ids_and_marks_of_params(project: pytest.Pytester) -> None:
    body = """
    @pytest.fixture(params=[pytest.param(8, id="narrow"), pytest.param(12, id="wide")])
    def saliency_model(request): return request.param

    @pytest.fixture(params=[1, 2], ids=["one", "two"])
    def saliency_inputs(request): return request.param

    def test_it(assert_model_sensitive):
        given = assert_model_sensitive("e")
        assert given["model"] in (8, 12) and given["inputs"] in (1, 2)
    """
    found = names(project, body)
    assert len(found) == len(set(found)) == 4
    assert all(
        ("narrow" in name) != ("wide" in name) and ("one" in name) != ("two" in name) for name in found
    )


@pytest.mark.parametrize("indirect", ["", ", indirect=True", ", indirect=['saliency_model']"])
def test_the_marker_direct_and_indirect(project: pytest.Pytester, indirect: str) -> None:
    factor = 10 if indirect else 1
    body = f"""
    @pytest.fixture
    def saliency_model(request): return request.param * 10

    @pytest.mark.parametrize("saliency_model", [8, 12], ids=["narrow", "wide"]{indirect})
    def test_it(assert_model_sensitive, request):
        model = assert_model_sensitive("e")["model"]
        assert model == {{"narrow": 8, "wide": 12}}[request.node.callspec.id] * {factor}
    """
    assert names(project, body) == ["test_it[narrow]", "test_it[wide]"]


PLACES = {
    "class": """
    @pytest.mark.parametrize("saliency_model", ["a", "b"])
    class TestIt:
        def test_it(self, assert_model_sensitive, request):
            assert assert_model_sensitive("e")["model"] == request.node.callspec.id
    """,
    "module": """
    pytestmark = pytest.mark.parametrize("saliency_model", ["a", "b"])

    class TestIt:
        def test_it(self, assert_model_sensitive, request):
            assert assert_model_sensitive("e")["model"] == request.node.callspec.id
    """,
    "fixture of the class": """
    class TestIt:
        @pytest.fixture(params=["a", "b"])
        def saliency_model(self, request): return request.param

        def test_it(self, assert_model_sensitive, request):
            assert assert_model_sensitive("e")["model"] == request.node.callspec.id
    """,
    "generate_tests": """
    def pytest_generate_tests(metafunc):
        if "saliency_model" in metafunc.fixturenames:
            metafunc.parametrize("saliency_model", ["a", "b"])

    class TestIt:
        def test_it(self, assert_model_sensitive, request):
            assert assert_model_sensitive("e")["model"] == request.node.callspec.id
    """,
    "a fixture that the override asks for": """
    @pytest.fixture(params=["a", "b"])
    def architecture(request): return request.param

    @pytest.fixture
    def saliency_model(architecture): return architecture

    class TestIt:
        def test_it(self, assert_model_sensitive, request):
            assert assert_model_sensitive("e")["model"] == request.node.callspec.id
    """,
    "that one by the marker": """
    @pytest.fixture
    def architecture(request): return request.param

    @pytest.fixture
    def saliency_model(architecture): return architecture

    @pytest.mark.parametrize("architecture", ["a", "b"], indirect=True)
    class TestIt:
        def test_it(self, assert_model_sensitive, request):
            assert assert_model_sensitive("e")["model"] == request.node.callspec.id
    """,
    "an override of an override": """
    @pytest.fixture(params=["a", "b"])
    def saliency_model(request): return request.param

    class TestIt:
        @pytest.fixture
        def saliency_model(self, saliency_model): return saliency_model + "!"

        def test_it(self, assert_model_sensitive, request):
            assert assert_model_sensitive("e")["model"] == request.node.callspec.id + "!"
    """,
    "an assertion asked for by a fixture": """
    @pytest.fixture(params=["a", "b"])
    def saliency_model(request): return request.param

    @pytest.fixture
    def audit(assert_model_sensitive): return assert_model_sensitive

    class TestIt:
        def test_it(self, audit, request):
            assert audit("e")["model"] == request.node.callspec.id
    """,
    "the case itself": """
    @pytest.fixture(params=["a", "b"])
    def saliency_regions(request): return request.param

    class TestIt:
        def test_it(self, saliency_case, request):
            assert saliency_case.regions == request.node.callspec.id
    """,
    "the case through a fixture": """
    @pytest.fixture(params=["a", "b"])
    def saliency_regions(request): return request.param

    @pytest.fixture
    def audit(saliency_case): return saliency_case

    class TestIt:
        def test_it(self, audit, request):
            assert audit.regions == request.node.callspec.id
    """,
}


@pytest.mark.parametrize("place", PLACES)
def test_everywhere(project: pytest.Pytester, place: str) -> None:
    assert names(project, PLACES[place]) == ["TestIt::test_it[a]", "TestIt::test_it[b]"]


def test_under_xdist(project: pytest.Pytester) -> None:
    body = PLACES["class"] + PLACES["a fixture that the override asks for"].replace("TestIt", "TestOther")
    (project.path / "test_it.py").write_text(HEADER + inspect.cleandoc(body) + "\n")
    project.runpytest("-n2").assert_outcomes(passed=4)


ONE_OF_TWO = """
    @pytest.fixture(params=["a", "b"])
    def saliency_regions(request): return request.param

    @pytest.fixture(params=["c", "d"])
    def saliency_labels(request): return request.param
"""
MULTIPLIED = {
    "assert_contract": ["test_it"],
    "assert_model_sensitive": ["test_it[c]", "test_it[d]"],
    "assert_contract, assert_model_sensitive": ["test_it[c]", "test_it[d]"],
    "assert_localized": ["test_it[c-a]", "test_it[c-b]", "test_it[d-a]", "test_it[d-b]"],
    "assert_model_sensitive, saliency_regions": [
        "test_it[a-c]",
        "test_it[a-d]",
        "test_it[b-c]",
        "test_it[b-d]",
    ],
    "request": ["test_it"],
}


@pytest.mark.parametrize("asked", MULTIPLIED)
def test_only_by_what_the_assertions_read(project: pytest.Pytester, asked: str) -> None:
    assert sorted(names(project, f"{ONE_OF_TWO}\n    def test_it({asked}): pass")) == MULTIPLIED[asked]


@pytest.mark.parametrize("parametrized", [False, True])
def test_only_what_is_used_is_set_up(project: pytest.Pytester, parametrized: bool) -> None:
    # The train set of this project, and two more fixtures, cannot be loaded.
    body = f"""
    @pytest.fixture({'params=["a", "b"]' if parametrized else ""})
    def saliency_inputs(request): return getattr(request, "param", "a")

    @pytest.fixture
    def saliency_make_model(): raise RuntimeError

    @pytest.fixture(params=[1, 2])
    def saliency_regions(): raise RuntimeError

    def test_it(assert_model_sensitive, request):
        assert assert_model_sensitive("e", "m")["inputs"] in ("a", "b")
        assert not any(name.startswith("saliency_") for name in request.node.funcargs if name != "saliency_case")
    """
    assert names(project, body) == (["test_it[a]", "test_it[b]"] if parametrized else ["test_it"])


def test_what_is_given_in_the_call_is_not_set_up(project: pytest.Pytester) -> None:
    body = """
    @pytest.fixture(params=[1, 2])
    def saliency_model(request): raise RuntimeError

    def test_it(assert_contract): assert_contract("e", "mine")
    """
    assert names(project, body) == ["test_it[1]", "test_it[2]"]


def test_a_check_that_trains_loads_it(project: pytest.Pytester) -> None:
    body = "import pytest\ndef test_it(assert_data_sensitive): assert_data_sensitive('e')"
    (project.path / "test_it.py").write_text(body)
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("E*RuntimeError: the train set takes an hour to load")


def test_unittest_is_left_alone(project: pytest.Pytester) -> None:
    body = """
    import unittest

    @pytest.fixture(params=["a", "b"])
    def saliency_model(request): return request.param

    class TestIt(unittest.TestCase):
        def test_it(self): pass
    """
    assert names(project, body) == ["TestIt::test_it"]


def test_a_session_s_parameters_are_set_up_once_each(project: pytest.Pytester) -> None:
    body = """
    BUILT = []

    @pytest.fixture(params=["a", "b"], scope="session")
    def saliency_model(request):
        BUILT.append(request.param)
        return request.param

    @pytest.mark.parametrize("number", range(3))
    def test_it(assert_model_sensitive, number):
        assert_model_sensitive("e")

    def test_last(): assert sorted(BUILT) == ["a", "b"]
    """
    assert len(names(project, body)) == 7


def test_where_pytest_s_internals_have_changed_tests_run_as_they_are(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*arguments: object) -> None:
        raise AttributeError

    monkeypatch.setattr("pytest_saliency_sanity.plugin.lookup._definitions", changed)
    assert names(project, "def test_it(assert_model_sensitive): pass") == ["test_it"]


ASYNC = "the fixture saliency_model is async, and a check does not await it: define it with `def` (and run*"


@pytest.mark.parametrize("statement", ["return", "yield"])
@pytest.mark.parametrize("asked", ["assert_model_sensitive('e')", "saliency_case.model"])
def test_an_async_override_gets_a_sentence(project: pytest.Pytester, statement: str, asked: str) -> None:
    fixture = asked.partition("(")[0].partition(".")[0]
    body = f"@pytest.fixture\nasync def saliency_model(): {statement} 1\ndef test_it({fixture}): {asked}\n"
    (project.path / "test_it.py").write_text(HEADER + body)
    result = project.runpytest(*STRICT)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(f"E*TypeError: {ASYNC}")


def test_a_coroutine_as_an_earlier_pytest_hands_it_over(project: pytest.Pytester) -> None:
    body = """
    @pytest.fixture
    def saliency_model():
        async def model(): return 1
        return model()

    def test_it(assert_model_sensitive): assert_model_sensitive("e")
    """
    (project.path / "test_it.py").write_text(HEADER + inspect.cleandoc(body) + "\n")
    result = project.runpytest(*STRICT)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(f"E*TypeError: {ASYNC}")


@pytest.mark.skipif(
    pytest.version_tuple < (9,), reason="an earlier pytest hands the coroutine over, see the test above"
)
def test_another_async_fixture_is_pytests_business(project: pytest.Pytester) -> None:
    body = """
    @pytest.fixture
    async def weights(): return 1

    @pytest.fixture
    def saliency_model(weights): return weights

    def test_it(assert_model_sensitive): assert_model_sensitive("e")
    """
    (project.path / "test_it.py").write_text(HEADER + inspect.cleandoc(body) + "\n")
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    assert "saliency_model is async" not in result.stdout.str()
