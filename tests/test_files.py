"""Files appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_saliency_sanity import files


def test_folders_are_made_and_files_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    files.write(path, "one")
    files.write(path, "zwei π")
    assert path.read_text(encoding="utf-8") == "zwei π"
    assert list(path.parent.iterdir()) == [path]


def test_a_mode_and_a_link_are_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_text("one")
    path.chmod(0o640)
    link.symlink_to(path)
    files.write(link, b"two")
    assert link.is_symlink() and path.read_text() == "two" and path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(30, "Read-only file system"),
        KeyboardInterrupt(),
        SystemExit(1),
    ],
)
@pytest.mark.parametrize("where", ["replace", "write_bytes"])
def test_nothing_is_left_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")

    def broken(self: object, *rest: object) -> None:
        if where == "write_bytes":
            Path(str(self)).write_text("half")
        raise error

    monkeypatch.setattr(os if where == "replace" else Path, where, broken)
    with pytest.raises(type(error)) as raised:
        files.write(path, b"two")
    monkeypatch.undo()
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]
    if isinstance(raised.value, OSError):
        assert raised.value.filename == str(path)


@pytest.mark.parametrize("where", ["os.replace", "pathlib.Path.chmod"])
def test_a_process_that_is_killed_leaves_what_stood_there(tmp_path: Path, where: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    module, _, name = where.partition(".")
    killed = f"import {module}, os\n{module}.{name} = lambda *given: os.kill(os.getpid(), 9)\n"
    write = f"from pytest_saliency_sanity import files\nfiles.write(pathlib.Path({str(path)!r}), 'two')"
    done = subprocess.run(
        [sys.executable, "-c", f"import pathlib\n{killed}{write}"], cwd=Path(__file__).parents[1]
    )
    assert done.returncode == -9 and path.read_text() == "one"


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match="'"):
        files.write(tmp_path / "a" / "b.txt", "x")
