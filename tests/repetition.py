"""`python -m tests.repetition` counts passages of the package that stand in two places, but for names and values.

A passage is six or more lines of code in a row that are the same when every name, string and number is taken for one.
Docstrings, comments, imports, decorators, overloads, blank lines, entries of lists and fields of classes are left out;
typing.py is written by a program.
"""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest_saliency_sanity

PACKAGE = Path(pytest_saliency_sanity.__file__).parent
SHORTEST = 6
# Today's number. By the same rule, with decorators counted, there were 108, the longest of 18
# lines, before the house was put in order.
MOST = 42
LONGEST = 9
_SAYS_NOTHING = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)
Line = tuple[int, str]  # its number, and its shape


def lines(source: str) -> list[Line]:
    """The lines of code, by their shapes."""
    left_out = _left_out(ast.parse(source))
    found: dict[int, list[tokenize.TokenInfo]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _SAYS_NOTHING and token.start[0] not in left_out:
            found[token.start[0]].append(token)
    return [(number, _shape(tokens)) for number, tokens in sorted(found.items()) if not _is_entry(tokens)]


def passages(sources: dict[str, str]) -> Iterator[tuple[str, int, str, int, int]]:
    """(file, line, other file, its line, how many lines) of each longest passage that stands in two places."""
    code = {name: lines(source) for name, source in sources.items()}
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for name, found in code.items():
        for start in range(len(found) - SHORTEST + 1):
            places[tuple(shape for _, shape in found[start : start + SHORTEST])].append((name, start))
    for pairs in places.values():
        for (a, i), (b, j) in combinations(pairs, 2):
            before = i and j and code[a][i - 1][1] == code[b][j - 1][1]
            if not before and (a != b or j - i >= SHORTEST):
                yield a, code[a][i][0], b, code[b][j][0], _length(code[a][i:], code[b][j:])


def of_the_package() -> list[tuple[str, int, str, int, int]]:
    """The passages of this package, longest first."""
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "typing.py"]
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return sorted(passages(sources), key=lambda passage: -passage[-1])


def _length(left: list[Line], right: list[Line]) -> int:
    same = 0
    for (_, a), (_, b) in zip(left, right, strict=False):
        if a != b:
            break
        same += 1
    return same


def _shape(tokens: list[tokenize.TokenInfo]) -> str:
    return " ".join(_kind(token) for token in tokens)


def _kind(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME:
        return token.string if keyword.iskeyword(token.string) else "name"
    return "value" if token.type in (tokenize.NUMBER, tokenize.STRING) else token.string


def _is_entry(tokens: list[tokenize.TokenInfo]) -> bool:
    """Whether a line is an entry of a list or a mapping, an argument with its value, or a closing bracket."""
    kinds = {token.string if token.type == tokenize.OP else token.type for token in tokens}
    values = {tokenize.NAME, tokenize.NUMBER, tokenize.STRING, *"()[]{},"}
    said = tokens[0].type == tokenize.NAME and len(tokens) > 2 and tokens[1].string == "="
    if said and tokens[2].type in (tokenize.STRING, tokenize.NUMBER):
        return True  # an argument with its value
    if tokens[-1].string != "," and not kinds <= {*"()[]{}:", tokenize.STRING}:
        return False
    return kinds <= values or (kinds <= values | {":"} and tokens[0].type == tokenize.STRING)


def _left_out(tree: ast.Module) -> set[int]:
    """The lines of docstrings, of imports, of decorators, and of the heads and the fields of classes."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            found |= set(range(node.decorator_list[0].lineno, node.lineno))
            if any(ast.unparse(one) == "overload" for one in node.decorator_list):
                found |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and ast.get_docstring(node):
            text = node.body[0]
            found |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
        if isinstance(node, ast.ClassDef):
            first = min((node.lineno, *(one.lineno for one in node.decorator_list)))
            found |= set(range(first, node.body[0].lineno))
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
            found |= {
                line for one in fields for line in range(one.lineno, (one.end_lineno or one.lineno) + 1)
            }
    return found


def main() -> None:
    """Print each, and how many there are."""
    found = of_the_package()
    for file, line, other, there, length in found:
        print(f"{length:3d} lines  {file}:{line}  {other}:{there}")
    print(
        f"{len(found)} passages of {SHORTEST} lines or more, the longest of {max((p[-1] for p in found), default=0)}"
    )


if __name__ == "__main__":
    main()
