"""`python -m tests.fixture_types` writes pytest_saliency_sanity/typing.py, the types of the fixtures, from the checks.

A fixture takes what its check takes; all but the explainer may be missing, for the project's fixtures say it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest_saliency_sanity
from pytest_saliency_sanity.checks.registry import ASSERTED, Check

PACKAGE = Path(pytest_saliency_sanity.__file__).parent
FILE = PACKAGE / "typing.py"
HEAD = '''"""Types of the fixtures, for type checkers: `def test_it(assert_contract: AssertContract) -> None`.

Each takes what its check takes; what is not given comes from the project's `saliency_*` fixtures.
`python -m tests.fixture_types` writes this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

'''


def text() -> str:
    """The file as it should be."""
    functions = {name: _function(check) for name, check in ASSERTED.items()}
    imports = sorted({line for name in ASSERTED for line in _imports(ASSERTED[name], functions[name])})
    protocols = "\n\n".join(_protocol(name, functions[name]) for name in sorted(ASSERTED))
    block = "\n    ".join(["if TYPE_CHECKING:", *imports])
    return formatted(f"{HEAD}{block}\n\n\n{protocols}")


def formatted(source: str) -> str:
    """As the house formats its files."""
    for arguments in (["check", "-q", "--fix", "--select", "I"], ["format", "-q"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(FILE), "-"]
        source = subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout
    return source


def _tree(check: Check) -> ast.Module:
    return ast.parse((PACKAGE / "checks" / f"{check.name}.py").read_text(encoding="utf-8"))


def _function(check: Check) -> ast.FunctionDef:
    (found,) = [
        node
        for node in _tree(check).body
        if isinstance(node, ast.FunctionDef) and node.name == check.function
    ]
    return found


def _protocol(name: str, function: ast.FunctionDef) -> str:
    given = function.args
    first, *others = given.args
    shown = [
        f"{first.arg}: {ast.unparse(first.annotation)}",
        *(f"{one.arg}: Any = None" for one in others),
        "*",
    ]
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        shown.append(f"{one.arg}: {ast.unparse(one.annotation)}{' = ...' if default else ''}")
    if len(shown) == len(others) + 2:
        shown.pop()  # nothing behind the star
    shown.append(f"**conditions: {ast.unparse(given.kwarg.annotation)}")
    kind = "".join(part.capitalize() for part in name.split("_"))
    return (
        f'class {kind}(Protocol):\n    """Of the fixture `{name}`."""\n\n'
        f"    def __call__(self, {', '.join(shown)}) -> Verdict: ...\n"
    )


def _imports(check: Check, function: ast.FunctionDef) -> list[str]:
    """Where the names in its annotations come from."""
    names = {
        node.id for part in _annotations(function) for node in ast.walk(part) if isinstance(node, ast.Name)
    }
    found = []
    for node in _tree(check).body:
        if isinstance(node, ast.ImportFrom):
            found += [
                f"from {node.module} import {alias.name}"
                for alias in node.names
                if alias.name in names - {"Any"} | {"Verdict"}
            ]
    return found


def _annotations(function: ast.FunctionDef) -> list[ast.expr]:
    given = function.args
    shown = [given.args[0].annotation, *(one.annotation for one in given.kwonlyargs), given.kwarg.annotation]
    return [one for one in shown if one is not None]


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
