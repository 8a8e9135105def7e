"""Who may import whom: the tiers of the house, pytest and torch where they belong, no bare assert."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_saliency_sanity

PACKAGE = Path(pytest_saliency_sanity.__file__).parent
NAME = PACKAGE.name
FILES = sorted(PACKAGE.rglob("*.py"))
# A part may import lower tiers and itself; parts of one tier do not see each other, but for the lowest.
TIERS = (
    (
        "verdict",
        "text",
        "errors",
        "settings",
        "outputs",
        "predictions",
        "layout",
        "case",
        "frameless",
        "loans",
        "signals",
    ),
    ("perturbations", "planted", "statistics"),
    ("twins", "variations"),
    ("explainers",),
    ("checks",),
    ("suite", "strategies"),
    ("plugin",),
    ("report",),
)
EXCEPTIONS = {"report": {"verdict", "text"}, "verdict": {"frameless", "report", "text"}}
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
    "verdict",
)
HEAVY = {"captum", "numpy", "scipy", "skimage", "torch", "torchvision"}
WITH_PYTEST = ("plugin", "suite")


def part_of(path: Path) -> str:
    """The part of the house that a file is of: "checks" for checks/contract.py, "verdict" for verdict.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def allowed(part: str) -> set[str]:
    """The parts that a part may import."""
    if part in EXCEPTIONS:
        return EXCEPTIONS[part] | {part}
    tier = next(number for number, names in enumerate(TIERS) if part in names)
    lower = {name for names in TIERS[:tier] for name in names}
    return lower | {part} | (set(TIERS[0]) if tier == 0 else set())


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from runtime_nodes(node)


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


def parts_imported(source: str, path: Path) -> set[str]:
    """The parts of the house that a file imports, public names counted where they live."""
    dotted = [name.split(".") for name in imported(runtime_nodes(ast.parse(source)), path)]
    inside = [words[1] for words in dotted if words[0] == NAME and len(words) > 1]
    homes = {public: home.split(".")[0] for public, home in pytest_saliency_sanity._HOMES.items()}
    return {homes.get(name, name) for name in inside}


def heavy_imports(source: str, path: Path) -> set[str]:
    """The heavy packages that importing a file imports."""
    return {name.split(".")[0] for name in imported(module_level(ast.parse(source)), path)} & HEAVY


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    if part != "__init__":
        assert parts_imported(path.read_text(encoding="utf-8"), path) - allowed(part) == set()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_pytest_is_imported_in_plugin_and_suite_alone(path: Path) -> None:
    names = imported(runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))), path)
    if part_of(path) not in WITH_PYTEST:
        assert {name.split(".")[0] for name in names} & {"pytest", "_pytest", "pluggy"} == set()


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
    "source, file, found",
    [
        ("from pytest_saliency_sanity.checks.contract import check_contract", "statistics/a.py", {"checks"}),
        ("from pytest_saliency_sanity import check_contract", "statistics/a.py", {"checks"}),
        ("from pytest_saliency_sanity import explainers", "statistics/a.py", {"explainers"}),
        ("import pytest_saliency_sanity.plugin.options", "checks/a.py", {"plugin"}),
        ("from ..checks import contract", "statistics/a.py", {"checks"}),
        ("from .. import suite", "checks/a.py", {"suite"}),
        ("def f():\n    from pytest_saliency_sanity.suite import audit", "checks/a.py", {"suite"}),
    ],
)
def test_this_test_finds_a_planted_import(source: str, file: str, found: set[str]) -> None:
    path = PACKAGE / file
    assert parts_imported(source, path) - allowed(part_of(path)) == found


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
        AttributeError, match=r"has no attribute 'assert_sensitive'; it has Case, .*assert_contract"
    ):
        _ = pytest_saliency_sanity.assert_sensitive


def test_dir_lists_the_public_names() -> None:
    assert dir(pytest_saliency_sanity) == sorted(pytest_saliency_sanity.__all__)
