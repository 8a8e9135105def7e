"""Mutants of small sources: what is changed, what is left alone, and that nothing else changes."""

from __future__ import annotations

import ast
import textwrap

import pytest

from tests.mutation.mutator import mutants


def changes(source: str) -> list[tuple[str, str, str]]:
    return [(one.kind, one.was, one.becomes) for one in mutants(textwrap.dedent(source))]


def of(expression: str) -> list[tuple[str, str, str]]:
    return changes(f"def f(x, y, dim):\n    return {expression}\n")


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("x * y", ("operator", "x * y", "x / y")),
        ("x - y", ("operator", "x - y", "x + y")),
        ("x < y", ("comparison", "x < y", "x >= y")),
        ("x is None", ("comparison", "x is None", "x is not None")),
        ("x and y", ("operator", "x and y", "x or y")),
        ("-x", ("sign", "-x", "x")),
        ("not x", ("condition", "not x", "x")),
        ("x.abs()", ("dropped call", "x.abs()", "x")),
        ("torch.abs(x)", ("dropped call", "torch.abs(x)", "x")),
        ("F.relu(x)", ("dropped call", "F.relu(x)", "x")),
        ("x.sum()", ("another function", "x.sum()", "x.mean()")),
        ("x[1]", ("constant", "1", "2")),
        ("g(x, dim=1)", ("constant", "1", "2")),
        ("g(x, y)", ("swapped arguments", "g(x, y)", "g(y, x)")),
        ("g(keep=True)", ("constant", "True", "False")),
        ("x if y else dim", ("condition", "y", "not y")),
    ],
)
def test_a_change_of_each_kind(expression: str, expected: tuple[str, str, str]) -> None:
    assert of(expression) == [expected]


def test_a_statement_is_removed_and_a_condition_is_negated() -> None:
    found = changes("def f(x):\n    if x:\n        undo(x)\n    x += 1\n")
    assert ("condition", "x", "not x") in found
    assert ("removed statement", "undo(x)", "pass") in found
    assert ("removed statement", "x += 1", "pass") in found


@pytest.mark.parametrize(
    "source",
    [
        'def f(x):\n    """Two texts: 1 + 1."""\n',
        'def f(x):\n    raise ValueError(f"{x + 1}")\n',
        "def f(x):\n    assert x > 0, 'positive'\n",
        "def f(x):\n    y: Tuple[1, 2] = x\n",
        "def f(x):\n    return isinstance(x, (int, float))\n",
        "def f(x):\n    return cast(Tuple[int, ...], x)\n",
        "def f(x=1):\n    warnings.warn('no' + x)\n",
        "a = 1 + 1\n",
    ],
)
def test_what_decides_no_map_is_left_alone(source: str) -> None:
    assert changes(source) == []


def test_functions_in_functions_are_changed_once() -> None:
    assert (
        len(
            changes(
                "class A:\n    def f(self):\n        def g(n):\n            return n + n\n        return g\n"
            )
        )
        == 1
    )


def test_only_the_node_changes_and_the_text_around_it_stays() -> None:
    source = (
        "def f(x, y):\n    # é, two bytes\n    z = 'é' if x else (x\n        * y)  # product\n    return  z\n"
    )
    (_, product) = mutants(source)
    assert product.source == source.replace("x\n        * y", "(x / y)")
    assert product.line == 3


def test_brackets_keep_the_order() -> None:
    (sign,) = (one for one in mutants("def f(x, y):\n    return -(x + y) * 2\n") if one.kind == "sign")
    assert ast.unparse(ast.parse(sign.source)).endswith("return (x + y) * 2")


def test_only_lines_that_are_asked_for() -> None:
    source = "def f(x):\n    x = x + 1\n    return x - 1\n"
    assert {one.line for one in mutants(source, lines=[3])} == {3}
