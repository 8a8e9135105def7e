"""`pictures`, a setting without a flag."""

from __future__ import annotations

import pytest

ASKED = """
    from pytest_saliency_sanity import settings

    def test_settings():
        assert settings.current().pictures is True
"""


@pytest.mark.parametrize(
    "name, text",
    [
        ("pytest.ini", "[pytest]\nsaliency_pictures = true"),
        ("pytest.ini", "[pytest]\nsaliency_pictures = True"),
        ("pyproject.toml", "[tool.saliency_sanity]\npictures = true"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nsaliency_pictures = true"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nsaliency_pictures = "true"'),
    ],
)
def test_pictures_is_a_setting(pytester: pytest.Pytester, name: str, text: str) -> None:
    (pytester.path / name).write_text(text)
    pytester.makepyfile(ASKED)
    pytester.runpytest("--strict-config").assert_outcomes(passed=1)


@pytest.mark.parametrize("value", ["maybe", "1"])
def test_pictures_must_be_true_or_false(pytester: pytest.Pytester, value: str) -> None:
    path = pytester.makeini(f"[pytest]\nsaliency_pictures = {value}")
    result = pytester.runpytest()
    sentence = f"ERROR: {path}: saliency_pictures: pictures must be true or false, not {value!r}"
    assert [line for line in result.errlines if line] == [sentence]
