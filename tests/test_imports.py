"""Who may import whom: the contracts in pyproject.toml, torch where it belongs, no bare assert."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_saliency_sanity

PACKAGE = Path(pytest_saliency_sanity.__file__).parent
ROOT = Path(__file__).parents[1]
NAME = PACKAGE.name
FILES = sorted(PACKAGE.rglob("*.py"))
NO_TORCH = (
    "__init__",
    "case",
    "errors",
    "frameless",
    "loans",
    "plugin",
    "report",
    "text",
    "settings",
    "signals",
    "typing",
    "verdict",
)
HEAVY = {"captum", "numpy", "scipy", "skimage", "torch", "torchvision"}
PLANTED = {  # by contract: a file, and a line that breaks it
    "imports go one way": ("statistics/hulls.py", "from pytest_saliency_sanity.checks import contract"),
    "a report sees the verdict and the words, nothing else": (
        "report/message.py",
        "from pytest_saliency_sanity import settings",
    ),
    "no circle in any room": (
        "audited/stand_ins.py",
        "def f():\n    from pytest_saliency_sanity.audited import subject",
    ),
    "only the plugin and the parametrization know pytest": ("perturbations/noise.py", "import pytest"),
}


def part_of(path: Path) -> str:
    """The part of the house that a file is of: "checks" for checks/contract.py, "verdict" for verdict.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def module_level(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from module_level(node)


def imported(nodes: Iterator[ast.AST], path: Path) -> Iterator[str]:
    """Dotted names of what is imported; `from package import name` gives "package.name"."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, path)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _origin(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    package = [NAME, *path.relative_to(PACKAGE).parts[:-1]]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def heavy_imports(source: str, path: Path) -> set[str]:
    """The heavy packages that importing a file imports."""
    return {name.split(".")[0] for name in imported(module_level(ast.parse(source)), path)} & HEAVY


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def kept(directory: Path) -> dict[str, bool]:
    """By contract of pyproject.toml, whether the package in `directory` keeps it."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports; lint_imports(no_cache=True)"]
    environment = {**os.environ, "PYTHONPATH": str(directory), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    found = re.findall(r"^(\S.*) (KEPT|BROKEN)(?: \(.*\))?$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return {name: result == "KEPT" for name, result in found}


def test_the_contracts_of_the_house_are_kept() -> None:
    assert kept(ROOT) == dict.fromkeys(PLANTED, True)


def test_what_is_planted_breaks_each_contract(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, line in PLANTED.values():
        planted = tmp_path / NAME / file
        planted.write_text(f"{planted.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")
    assert kept(tmp_path) == dict.fromkeys(PLANTED, False)


@pytest.mark.parametrize("path", [path for path in FILES if part_of(path) in NO_TORCH], ids=relative)
def test_nothing_heavy_where_pytest_starts(path: Path) -> None:
    assert heavy_imports(path.read_text(encoding="utf-8"), path) == set()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_bare_assert(path: Path) -> None:
    # pytest rewrites every module of a distribution with a pytest11 entry; python -O drops asserts.
    asserts = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []


@pytest.mark.parametrize(
    "source",
    ["import torch", "from numpy import array", "try:\n    import scipy.stats\nexcept ImportError: pass"],
)
def test_this_test_finds_a_planted_heavy_import(source: str) -> None:
    assert heavy_imports(source, PACKAGE / "verdict.py")


@pytest.mark.parametrize("source", ["def f():\n    import torch", "if TYPE_CHECKING:\n    import torch"])
def test_an_import_that_waits_is_allowed(source: str) -> None:
    assert not heavy_imports(source, PACKAGE / "verdict.py")


@pytest.mark.parametrize("name", pytest_saliency_sanity.__all__)
def test_public_names_resolve(name: str) -> None:
    value = getattr(pytest_saliency_sanity, name)
    home = pytest_saliency_sanity._HOMES.get(name, name)
    assert value is importlib.import_module(f"{NAME}.{home}") or value is getattr(
        importlib.import_module(f"{NAME}.{home}"), name
    )


def test_an_unknown_public_name_lists_the_choices() -> None:
    with pytest.raises(
        AttributeError, match=r"has no attribute 'assert_sensitive'; it has Audit, Case, .*assert_contract"
    ):
        _ = pytest_saliency_sanity.assert_sensitive


def test_dir_lists_the_public_names() -> None:
    assert dir(pytest_saliency_sanity) == sorted(pytest_saliency_sanity.__all__)


def test_type_checkers_are_told_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [
        node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    told = {
        alias.asname: node.module.removeprefix(NAME).lstrip(".") or alias.name
        for node in block.body
        for alias in node.names
        if alias.asname == alias.name
    }
    assert told == {
        **pytest_saliency_sanity._HOMES,
        **{name: name for name in pytest_saliency_sanity._MODULES},
    }
