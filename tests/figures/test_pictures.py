"""The pictures of the manual: each is made by a command that the manual names, and all together are small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import browser
from tests.calibration import photographs
from tests.manual import PAGES, ROOT, page

PICTURES = ROOT / "docs" / "pictures"
LARGEST = 300 * 1024  # bytes, all together
# By file, the command that makes it: docs/reference/commands.md says which.
MADE = {
    file: command
    for command, file in re.findall(
        r"^\| `(python -m [\w.]+)` \| .*`docs/pictures/([\w.]+)`", page("reference/commands"), re.M
    )
}


def test_each_picture_is_made_by_a_command() -> None:
    assert sorted(MADE) == sorted(path.relative_to(PICTURES).as_posix() for path in PICTURES.rglob("*"))
    for file, command in MADE.items():
        module = ROOT / f"{command.removeprefix('python -m ').replace('.', '/')}.py"
        assert re.search(rf'"pictures" / "{re.escape(file)}"', module.read_text(encoding="utf-8"))


def test_each_picture_is_shown() -> None:
    shown = {
        Path(path).name for text in PAGES.values() for path in re.findall(r"!\[.*?\]\((\S+)\)", text, re.S)
    }
    assert shown == set(MADE)


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in PICTURES.rglob("*") if path.is_file()) < LARGEST


@pytest.mark.extended
@pytest.mark.parametrize("file", MADE)
def test_the_command_makes_it(file: str, tmp_path: Path) -> None:
    """Pixel by pixel nearly: processors round differently."""
    if file == "page.png":
        browser.needed()
    elif photographs.missing_weights():
        pytest.skip(f"EfficientNet-Lite0: {photographs.missing_weights()}")
    command = [sys.executable, *MADE[file].split()[1:], "--out", str(tmp_path / file)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    made, stored = (
        np.asarray(Image.open(folder / file).convert("L"), float) for folder in (tmp_path, PICTURES)
    )
    assert made.shape == stored.shape
    assert np.abs(made - stored).mean() < 4
