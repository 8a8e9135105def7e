"""A changed copy of a library is what a fork imports; the installed one, and this process, stay as they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation import copies
from tests.mutation.mutator import mutants


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "small_library"
    folder.mkdir()
    (folder / "__init__.py").write_text("from small_library.sums import total\n")
    (folder / "sums.py").write_text("def total(a, b):\n    return a + b\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    assert (folder / "sums.py").read_text() == "def total(a, b):\n    return a + b\n"
    assert "small_library" not in sys.modules


def total() -> int:
    from small_library import total  # type: ignore[import-not-found]

    return total(5, 3)


def test_a_fork_imports_the_changed_copy(library: Path) -> None:
    with copies.copied("small_library") as copy:
        (mutant,) = mutants((copy / "sums.py").read_text())
        assert copies.in_process(total, copy) == 8
        with copies.changed(copy, "sums.py", mutant.source):
            assert copies.in_process(total, copy) == 2
        assert copies.in_process(total, copy) == 8


def test_a_fork_that_raises_or_hangs_gives_none(
    library: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    monkeypatch.setattr(copies, "SECONDS", 1)
    with copies.copied("small_library") as copy:
        with copies.changed(copy, "sums.py", "def total(a, b):\n    raise KeyError(a)\n"):
            assert copies.in_process(total, copy) is None
        with copies.changed(copy, "sums.py", "def total(a, b):\n    while True:\n        pass\n"):
            assert copies.in_process(total, copy) is None
    assert "KeyError: 5" in capfd.readouterr().err


def test_a_library_that_is_imported_already_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="pytest has been imported, and a fork would not import the copy"):
        copies.in_process(total, tmp_path / "pytest")
