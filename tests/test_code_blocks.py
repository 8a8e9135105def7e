"""Every Python block of README and manual is executed: each is a test module of its own, and pytest runs them all."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.manual import PAGES, ROOT

# Blocks that are left out, by the library that they show, with the reason. Where it is installed they run as well.
LEFT_OUT = {
    "zennit": "its recipe, where it is not installed",
    "pytorch_grad_cam": "its recipe, where it is not installed",
    "torchcam": "its recipe, where it is not installed",
    "shap": "its recipe, where it is not installed",
    "distributed": "a cluster of dask, where it is not installed",
}
NEVER = {
    "dask_jobqueue": "it needs Slurm",
    "dask_cuda": "it needs GPUs",
}  # the page says that they were not executed
CONFTEST = """
from tests.documented import *

@pytest.fixture(scope="session", name="model")
def _model():
    return model

@pytest.fixture(scope="session")
def saliency_model(model):
    return model

@pytest.fixture(scope="session")
def saliency_inputs():
    return images[:32]
"""
AUDIT = """

def test_recipe():
    from pytest_saliency_sanity import check_contract

    verdict = check_contract({name}, model, images[:8])
    assert verdict.outcome == "pass" or verdict.reason == "not_applicable", verdict
"""


def blocks() -> Iterator[tuple[str, str]]:
    """Each different block, with a name made of its page and its number there."""
    seen: set[str] = set()
    for page, text in PAGES.items():
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)):
            if block not in seen:
                seen.add(block)
                yield f"{re.sub(r'[^a-z]+', '_', page.lower())}_{number}", block


BLOCKS = dict(blocks())


def missing(block: str) -> str:
    """The library that the block imports and that is of `NEVER`, or of `LEFT_OUT` and not there; else ""."""
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(block))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    absent = {name for name in names & LEFT_OUT.keys() if not importlib.util.find_spec(name)}
    return min(absent | (names & NEVER.keys()), default="")


def module(block: str) -> str:
    """The block as a test module; an explainer that it defines is audited, unless it asks for that itself."""
    explainers = [
        node.name
        for node in ast.parse(block).body
        if isinstance(node, ast.FunctionDef)
        and [one.arg for one in node.args.args] == ["model", "inputs", "targets"]
        and f"check_contract({node.name}, " not in block
    ]
    audits = "".join(AUDIT.format(name=name) for name in explainers)
    return f"from tests.documented import *\n\n{block}{audits}"


def run_blocks(directory: Path, written: dict[str, str]) -> subprocess.CompletedProcess[str]:
    (directory / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (directory / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    for name, block in written.items():
        (directory / f"test_{name}.py").write_text(module(block), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", f"--saliency-cache={directory / 'networks'}"]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.first  # it takes long
def test_every_block_runs(tmp_path: Path) -> None:
    written = {name: block for name, block in BLOCKS.items() if not missing(block)}
    assert len(written) > 25
    done = run_blocks(tmp_path, written)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout, done.stdout


@pytest.mark.extended
def test_a_block_that_does_not_run_is_found(tmp_path: Path) -> None:
    faulty = {
        "imports": "from pytest_saliency_sanity import check_nothing\n",
        "raises": "verdict = check_contract(gradient, model)\n",
        "recipe": "def recipe(model, inputs, targets):\n    return inputs.sum()\n",
    }
    done = run_blocks(tmp_path, faulty)
    assert done.returncode != 0
    assert all(
        re.search(rf"^(ERROR|FAILED) test_{name}\.py", done.stdout, re.M) for name in ("imports", "raises")
    )
    del faulty["imports"], faulty["raises"]
    for file in tmp_path.glob("test_*.py"):
        file.unlink()
    assert re.search(r"^FAILED test_recipe\.py", run_blocks(tmp_path, faulty).stdout, re.M)


def test_what_is_left_out_is_there() -> None:
    shown = {
        name
        for name in LEFT_OUT | NEVER
        for block in BLOCKS.values()
        if f"import {name}" in block or f"from {name}" in block
    }
    assert shown == (LEFT_OUT | NEVER).keys()
