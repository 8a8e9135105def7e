"""The marker `saliency`: on every test that uses a fixture of ours, before -m selects."""

from __future__ import annotations

import pytest

from pytest_saliency_sanity.plugin import fixtures
from tests.plugin.strict import STRICT

MIXED = """
    import pytest

    @pytest.fixture
    def audit(saliency_case):
        return saliency_case

    def test_direct(assert_model_sensitive): pass
    def test_indirect(audit): pass
    @pytest.mark.usefixtures("saliency_inputs")
    def test_by_marker(): pass
    def test_ordinary(tmp_path): pass
    class TestUnit:
        def test_method(self, assert_contract): pass
"""


def test_deselected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MIXED)
    result = pytester.runpytest("-m", "not saliency", "-v")
    result.assert_outcomes(passed=1, deselected=4)
    result.stdout.fnmatch_lines("*::test_ordinary PASSED*")


def test_selected_under_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MIXED)
    pytester.runpytest("-m", "saliency", "-n1").assert_outcomes(passed=4)


def test_registered(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.saliency\ndef test_own(assert_contract): pass\n")
    pytester.runpytest(*STRICT, "--strict-markers", "-m", "saliency").assert_outcomes(passed=1)
    pytester.runpytest("--markers").stdout.fnmatch_lines("@pytest.mark.saliency: audits saliency maps; *")


def test_training_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def audit(assert_data_sensitive): pass

        def test_trains(assert_data_sensitive): pass
        def test_trains_too(audit): pass
        def test_does_not(assert_model_sensitive): pass
        """
    )
    pytester.runpytest("-m", "not saliency_training").assert_outcomes(passed=1, deselected=2)
    pytester.runpytest("-m", "saliency_training", "--strict-markers").assert_outcomes(passed=2, deselected=1)
    pytester.runpytest("--markers").stdout.fnmatch_lines("@pytest.mark.saliency_training: trains networks, *")


@pytest.mark.parametrize("name", sorted(fixtures.names()))
def test_every_fixture_marks(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(f"def test_it({name}): pass")
    pytester.runpytest("-m", "saliency").assert_outcomes(passed=1)


def test_a_doctest_has_no_fixtures(pytester: pytest.Pytester) -> None:
    pytester.maketxtfile(test_page=">>> 1 + 1\n2\n")
    pytester.runpytest("-m", "not saliency").assert_outcomes(passed=1)
