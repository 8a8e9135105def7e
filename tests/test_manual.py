"""The manual is built without a warning, and every page can be reached."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from pytest_saliency_sanity.plugin.fixtures import CASE_FIELDS
from tests.manual import PAGES, ROOT, page, rows


@pytest.mark.extended  # .ci/run builds it
def test_it_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "check_model_sensitivity" in (tmp_path / "reference" / "checks.html").read_text(encoding="utf-8")


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {
        (PurePosixPath(name).parent / f"{entry}.md").as_posix()
        for name, text in PAGES.items()
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", text, re.S)
        for entry in re.findall(r"^[\w/]+$", tree, re.M)
    }
    assert listed == PAGES.keys() - {"README.md", "docs/index.md"}


def test_every_fixture_is_in_the_reference() -> None:
    shown = [row[0].strip("`") for row in rows(page("reference/fixtures"), "| fixture | what it is |")]
    assert sorted(shown) == sorted([*(f"saliency_{field}" for field in CASE_FIELDS), "saliency_case"])


def test_no_place_of_one_machine() -> None:
    for name, text in PAGES.items():
        assert not re.search(r"/(?:tmp|home|root|work)/", text), name
