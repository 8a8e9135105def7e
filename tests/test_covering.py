"""The default cases of a test that is marked `covering`."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from tests.covering import cover


@pytest.mark.parametrize("sizes", [(5,), (3, 4), (2, 3, 5), (2, 2, 2, 2)])
@pytest.mark.parametrize("strength", [1, 2])
def test_every_combination_occurs_in_few_cases(sizes: tuple[int, ...], strength: int) -> None:
    cases = [dict(zip("abcd", values, strict=False)) for values in product(*map(range, sizes))]
    chosen = [cases[number] for number in cover(cases, strength)]
    for names in combinations("abcd"[: len(sizes)], min(strength, len(sizes))):
        assert {tuple(case[n] for n in names) for case in chosen} == {
            tuple(case[n] for n in names) for case in cases
        }
    largest = sorted(sizes)[-strength:]
    assert len(chosen) <= 2 * largest[0] * (largest[-1] if len(largest) > 1 else 1)


def test_the_other_cases_are_extended(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from tests.covering import leave_the_rest_to_extended as leave

        def pytest_configure(config):
            for marker in ("covering", "extended"):
                config.addinivalue_line("markers", marker)

        def pytest_collection_modifyitems(items):
            leave(items)
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.covering
        @pytest.mark.parametrize("a", range(3))
        @pytest.mark.parametrize("b", range(3))
        def test_marked(a, b): ...

        @pytest.mark.covering(2)
        @pytest.mark.parametrize("a", range(3))
        @pytest.mark.parametrize("b", range(3))
        def test_pairs(a, b): ...

        @pytest.mark.covering
        def test_of_no_parameters(): ...
        """
    )
    default = pytester.runpytest_inprocess("-m", "not extended", "-p", "no:cacheprovider")
    default.assert_outcomes(passed=3 + 9 + 1, deselected=6)
