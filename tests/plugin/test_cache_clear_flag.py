"""--saliency-cache-clear: the trained networks are removed before the run, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pytest_saliency_sanity.trained_networks import store

KEY = "0123456789abcdef0123456789abcdef"
NOTHING = "def test_nothing(): pass"


@pytest.fixture
def kept(pytester: pytest.Pytester) -> Path:
    """A directory with a trained network and a file of somebody else's."""
    pytester.makepyfile(NOTHING)
    directory = pytester.path / "kept"
    store.save(directory, KEY, {"weight": torch.ones(2)}, {})
    (directory / "thesis.txt").write_text("mine")
    return directory


def test_networks_are_removed_and_nothing_else(pytester: pytest.Pytester, kept: Path) -> None:
    pytester.runpytest("--saliency-cache=kept", "--saliency-cache-clear").assert_outcomes(passed=1)
    assert store.load(kept, KEY) is None
    assert not list(kept.glob(f"{KEY}*"))
    assert (kept / "thesis.txt").read_text() == "mine"


def test_without_the_flag_they_stay(pytester: pytest.Pytester, kept: Path) -> None:
    pytester.runpytest("--saliency-cache=kept").assert_outcomes(passed=1)
    assert store.load(kept, KEY) is not None


@pytest.mark.extended
def test_only_the_controller_removes_them(pytester: pytest.Pytester, kept: Path) -> None:
    """The networks that a worker trains stay: here it copies one, so that it need not import torch."""
    kept.rename(pytester.path / "trained")
    pytester.makepyfile(
        """
        import shutil

        def test_one():
            shutil.copytree("trained", "kept")
        """
    )
    pytester.runpytest_subprocess("-n2", "--saliency-cache=kept", "--saliency-cache-clear").assert_outcomes(
        passed=1
    )
    assert store.load(kept, KEY) is not None


def test_pytests_own_flag_removes_them_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NOTHING)
    directory = pytester.path / ".pytest_cache" / "d" / "saliency"
    store.save(directory, KEY, {"weight": torch.ones(2)}, {})
    pytester.runpytest("--cache-clear").assert_outcomes(passed=1)
    assert not directory.exists()


def test_nothing_to_remove(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NOTHING)
    pytester.runpytest("--saliency-cache-clear").assert_outcomes(passed=1)
