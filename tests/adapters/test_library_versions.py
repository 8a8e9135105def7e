"""Other versions of the libraries, each in an environment of its own: what the adapters promise holds there too."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.manual import ROOT

# The library, the version, and its tests: the lowest that pyproject.toml allows, and those between that differ.
VERSIONS = (
    ("captum", "0.7.0", "captum"),
    ("zennit", "0.5.0", "zennit"),
    ("zennit", "1.0.0", "zennit"),
    ("grad-cam", "1.4.8", "grad_cam"),
    ("torchcam", "0.4.0", "torchcam"),
    ("shap", "0.47.0", "shap"),
    ("quantus", "0.5.0", "quantus"),
)
_PRINTED = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
_UNREACHABLE = ("Retrying (", "(from versions: none)")  # what pip says where it finds no index

pytestmark = pytest.mark.extended


@pytest.mark.parametrize("library, version, tests", VERSIONS, ids=lambda part: part)
def test_the_adapter_holds_with(library: str, version: str, tests: str, tmp_path: Path) -> None:
    python = environment(tmp_path, f"{library}=={version}")
    assert said_by(python, "-c", _PRINTED, library).stdout.strip() == version
    file = f"tests/adapters/test_{tests}.py"
    done = said_by(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout, done.stdout


def environment(there: Path, requirement: str) -> Path:
    """The python of an environment that has this version, and all else from the present one."""
    venv.create(there, with_pip=False)
    python = there / "bin" / "python"
    (packages,) = there.glob("lib/python*/site-packages")
    present = [path for path in sys.path if path.endswith("-packages")]
    (packages / "present.pth").write_text("\n".join(present), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--retries", "1"]
    # zennit 1.0 asks for a later patch of Python 3.11 than some machines have, and runs without it.
    alone = ["--no-deps", "--ignore-installed", "--ignore-requires-python"]
    done = subprocess.run([*pip, *alone, requirement], capture_output=True, text=True)
    if done.returncode and any(words in done.stderr for words in _UNREACHABLE):
        pytest.skip(f"no package index has {requirement}: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


def said_by(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the environment's python prints of this checkout's tests."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(python), *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=900
    )
