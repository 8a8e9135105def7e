"""Types: of the package itself (mypy --strict, pyright), and as a project sees them, see typed_use.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_saliency_sanity import typing
from pytest_saliency_sanity.checks.registry import ASSERTED
from tests import fixture_types
from tests.manual import page, rows

ROOT = Path(__file__).parents[1]


def test_the_types_of_the_fixtures_are_those_of_their_checks() -> None:
    assert fixture_types.FILE.read_text(encoding="utf-8") == fixture_types.text()


@pytest.mark.parametrize("name", ASSERTED)
def test_each_fixture_has_a_type_and_its_use_is_tried(name: str) -> None:
    kind = "".join(part.capitalize() for part in name.split("_"))
    assert hasattr(typing, kind)
    used = (ROOT / "tests" / "typed_use.py").read_text(encoding="utf-8")
    assert f"{name}: typing.{kind}" in used and f"sanity.{name}(" in used


def test_the_manual_has_the_type_of_each_fixture() -> None:
    shown = rows(page("reference/fixtures"), "| fixture | type |")
    assert dict(shown) == {
        f"`{name}`": f"`{''.join(part.capitalize() for part in name.split('_'))}`" for name in ASSERTED
    }


@pytest.mark.extended  # a minute each where nothing is cached; .ci/run runs both
@pytest.mark.parametrize("command", ["mypy", f"pyright --pythonpath {sys.executable}"])
def test_type_checkers_find_nothing(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
