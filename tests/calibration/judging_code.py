"""A fingerprint of the code that decides a table: the same for the same decisions, however they are worded.

It is made of the statements of every module that the table's command imports, whichever file they stand in. Left out:
comments, docstrings, imports, annotations, texts with spaces (messages), and modules that only show what was decided.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import grimp

import pytest_saliency_sanity

PACKAGE = pytest_saliency_sanity.__name__
HOMES = {PACKAGE: Path(pytest_saliency_sanity.__file__).parent, "tests": Path(__file__).parents[1]}
SHOW = (  # these decide nothing: they run, show and store what was decided
    f"{PACKAGE}.plugin",
    f"{PACKAGE}.report",
    f"{PACKAGE}.text",
    "tests.calibration.command_line",
    "tests.calibration.confirmation",
    "tests.calibration.pages",
    "tests.calibration.published",
    "tests.calibration.records",
    "tests.calibration.tables",
    "tests.calibration.whole_tables",
)


def fingerprint(roots: Sequence[str]) -> str:
    """Of what the modules `roots` and all that they import do."""
    return _fingerprint(tuple(roots))


def digest(sources: Iterable[str]) -> str:
    """Of the statements of these sources, in whichever order."""
    return _digest(line for source in sources for line in statements(source))


def modules(roots: Sequence[str]) -> list[str]:
    """The roots and what they import, directly or not, without what only shows."""
    graph = _imports()
    found = set(roots).union(*(graph.find_upstream_modules(root) for root in roots))
    return sorted(found)


def statements(source: str) -> Iterator[str]:
    """Each statement of a module that is not left out, written in a way that is the same in every version of Python."""
    bare = _Bare().visit(ast.parse(source))
    yield from (_written(node) for node in bare.body)


@cache
def _fingerprint(roots: tuple[str, ...]) -> str:
    return _digest(line for name in modules(roots) for line in _statements_of(name))


@cache
def _statements_of(module: str) -> tuple[str, ...]:
    return tuple(statements(_file(module).read_text(encoding="utf-8")))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


@cache
def _imports() -> grimp.ImportGraph:
    graph = grimp.build_graph(*HOMES, exclude_type_checking_imports=True, cache_dir=None)
    for module in list(graph.modules):
        if any(f"{module}.".startswith(f"{shows}.") for shows in SHOW):
            graph.remove_module(module)
    return graph


def _file(module: str) -> Path:
    top, *words = module.split(".")
    path = HOMES[top].joinpath(*words)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


class _Bare(ast.NodeTransformer):
    """Takes away what decides nothing."""

    def visit_Import(self, node: ast.Import) -> None: ...

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None: ...

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """What only a type checker, or only the command, runs."""
        test = ast.unparse(node.test)
        return None if test == "TYPE_CHECKING" or test.startswith("__name__") else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_docstring = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_docstring else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if _is_prose(node) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """A message is left out with the values that it tells."""
        return ast.Constant("") if any(map(_is_prose, node.values)) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant("")
        return self.generic_visit(node)


def _is_prose(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value


def _written(value: object) -> str:
    """`ast.dump`, which differs between versions of Python, without empty fields."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    fields = [
        f"{name}={_written(one)}" for name, one in ast.iter_fields(value) if one is not None and one != []
    ]
    return f"{type(value).__name__}({','.join(fields)})"
