"""Mutants of a source: each has one node of the syntax tree changed, and the rest of the text as it was."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

Changed = tuple[str, Any, ast.AST]  # what kind of change, which node, and what takes its place

_SWAPPED: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE,
    ast.LtE: ast.Gt, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_RENAMED = {
    "sum": "mean", "mean": "sum", "max": "min", "min": "max", "zeros_like": "ones_like", "ones_like": "zeros_like",
    "floor": "ceil", "ceil": "floor", "repeat": "repeat_interleave", "repeat_interleave": "repeat",
}  # fmt: skip
_DROPPED = {
    "abs",
    "relu",
    "clamp",
    "square",
    "sqrt",
    "detach",
    "clone",
    "float",
    "flip",
    "sign",
    "pow",
    "expand_as",
}
# What decides no map: messages, claims about types, and calls whose arguments are names of types.
_LEFT_OUT = (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Global)
_COMPOUND = (ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp, ast.IfExp)
_SAY_NOTHING = {
    "cast",
    "isinstance",
    "issubclass",
    "warn",
    "log_usage",
    "signature",
    "super",
    "TypeVar",
    "format",
}


@dataclass(frozen=True)
class Mutant:
    """A source with one change.

    Attributes:
        line: where it is.
        kind: of change.
        was, becomes: what stood there, and what does now.
        source: all of it, changed.
    """

    line: int
    kind: str
    was: str
    becomes: str
    source: str


def mutants(source: str, lines: Collection[int] | None = None) -> Iterator[Mutant]:
    """Every mutant with its change on one of these lines, or on any line, inside functions."""
    tree = ast.parse(source)
    for function in _functions(tree):
        for node in _body(function):
            if lines is None or getattr(node, "lineno", 0) in lines:
                yield from _mutants_at(node, source)


def _mutants_at(node: ast.AST, source: str) -> Iterator[Mutant]:
    for kind, place, changed in _changes(node):
        was = ast.get_source_segment(source, place) or ""
        text = ast.unparse(ast.fix_missing_locations(changed))
        becomes = f"({text})" if isinstance(changed, _COMPOUND) else text
        new = _replaced(source, place, becomes)
        if text != was and _parses(new):
            yield Mutant(place.lineno, kind, was, text, new)


def _changes(node: ast.AST) -> Iterator[Changed]:
    for change in _CHANGES.get(type(node), ()):
        yield from change(copy.deepcopy(node))


def _operator(node: Any) -> Iterator[Changed]:
    if type(node.op) in _SWAPPED:
        node.op = _SWAPPED[type(node.op)]()
        yield "operator", node, node


def _comparison(node: ast.Compare) -> Iterator[Changed]:
    if type(node.ops[0]) in _SWAPPED:
        node.ops[0] = _SWAPPED[type(node.ops[0])]()
        yield "comparison", node, node


def _sign(node: ast.UnaryOp) -> Iterator[Changed]:
    if isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield ("condition" if isinstance(node.op, ast.Not) else "sign"), node, node.operand


def _constant(node: ast.Constant) -> Iterator[Changed]:
    if isinstance(node.value, bool):
        yield "constant", node, ast.Constant(not node.value)
    elif isinstance(node.value, (int, float)):
        yield "constant", node, ast.Constant(node.value + 1)


def _call(node: ast.Call) -> Iterator[Changed]:
    name = _called(node)
    if name in _DROPPED:
        inner = _inner(node)
        if inner is not None:
            yield "dropped call", node, inner
    if name in _RENAMED:
        other = copy.deepcopy(node)
        _rename(other, _RENAMED[name])
        yield "another function", node, other
    if len(node.args) >= 2 and not any(isinstance(one, ast.Starred) for one in node.args[:2]):
        node.args[0], node.args[1] = node.args[1], node.args[0]
        yield "swapped arguments", node, node


def _test(node: Any) -> Iterator[Changed]:
    if not isinstance(node.test, (ast.Compare, ast.UnaryOp)):  # those change by themselves
        yield "condition", node.test, ast.UnaryOp(ast.Not(), node.test)


def _statement(node: ast.stmt) -> Iterator[Changed]:
    yield "removed statement", node, ast.Pass()


def _expression(node: ast.Expr) -> Iterator[Changed]:
    if isinstance(node.value, ast.Call) and _called(node.value) not in _SAY_NOTHING:
        yield "removed statement", node, ast.Pass()


_CHANGES: dict[type, tuple[Callable[[Any], Iterator[Changed]], ...]] = {
    ast.BinOp: (_operator,),
    ast.BoolOp: (_operator,),
    ast.Compare: (_comparison,),
    ast.UnaryOp: (_sign,),
    ast.Constant: (_constant,),
    ast.Call: (_call,),
    ast.IfExp: (_test,),
    ast.If: (_test,),
    ast.AugAssign: (_operator, _statement),
    ast.Expr: (_expression,),
}


def _functions(tree: ast.AST) -> Iterator[ast.AST]:
    """The outermost functions; what is inside them belongs to them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        else:
            yield from _functions(node)


def _body(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that decide something: not docstrings, types, defaults, messages."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        for one in node.body:
            yield from _within(one)


def _within(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, _LEFT_OUT) or (
        isinstance(node, ast.Call) and _called(node) in _SAY_NOTHING - {"cast"}
    ):
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from _body(node)
        return
    if not (isinstance(node, ast.Call) and _called(node) == "cast"):
        yield node
    for child in _children(node):
        yield from _within(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.AnnAssign):
        return iter([node.value] if node.value else [])
    if isinstance(node, ast.Call) and _called(node) == "cast":
        return iter(node.args[1:])
    return ast.iter_child_nodes(node)


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _inner(node: ast.Call) -> ast.AST | None:
    """Of x.abs() and of torch.abs(x) x."""
    function = node.func
    if isinstance(function, ast.Attribute) and not _is_module(function.value):
        return function.value
    return node.args[0] if node.args else None


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "F", "np", "math")


def _rename(node: ast.Call, name: str) -> None:
    if isinstance(node.func, ast.Attribute):
        node.func.attr = name
    elif isinstance(node.func, ast.Name):
        node.func.id = name


def _replaced(source: str, node: Any, text: str) -> str:
    """The source with other text where the node stood; positions of `ast` count bytes."""
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    whole = source.encode()
    return (whole[:start] + text.encode() + whole[end:]).decode()


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
