"""docs/reference/reason_codes.md explains every reason code that a verdict can have, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_saliency_sanity
from pytest_saliency_sanity.checks.registry import CHECKS
from pytest_saliency_sanity.examination.first_maps import _FORBIDDEN
from pytest_saliency_sanity.report import reasons
from pytest_saliency_sanity.verdict import Claim, Stage, Verdict
from tests import reason_codes
from tests.manual import page

PACKAGE = Path(pytest_saliency_sanity.__file__).parent
CODE = re.compile(r"(gate|contract)\.[a-z_]+")
# Findings whose code comes from elsewhere: where that is, each time.
HANDED_ON = {
    "reason": "an argument of Breach, whose callers are read themselves",
    "breach.finding.reason": "that of a breach that is told anew",
}


def constants(tree: ast.AST) -> dict[str, str]:
    """Strings that have a name in this module or function."""
    return {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }


NAMED = {
    name: value
    for path in PACKAGE.rglob("*.py")
    for name, value in constants(ast.parse(path.read_text(encoding="utf-8"))).items()
    if name.isupper()
}


def codes_of(source: str) -> set[str]:
    """The reason codes of findings, breaches and claims in a module's source.

    Raises:
        AssertionError: for a code that cannot be read from the source.
    """
    tree = ast.parse(source)
    found = {value for value in _strings(tree) if CODE.fullmatch(value)}
    for function in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            if name in ("Finding", "Breach") and call.args:
                found |= _codes(call.args[0], function)
            if name == "Claim":
                found |= {one.value.value for one in call.keywords if one.arg in ("code", "passed")}
    return found


def _strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _codes(argument: ast.expr, function: ast.AST) -> set[str]:
    """What the first argument of a finding may be."""
    text = ast.unparse(argument)
    if isinstance(argument, ast.Constant):
        return {argument.value}
    if isinstance(argument, ast.Name) and argument.id in NAMED:
        return {NAMED[argument.id]}
    if isinstance(argument, ast.JoinedStr):
        assert text == "f'contract.{aspect}'", text
        return {f"contract.{aspect}" for aspect in _FORBIDDEN}
    chosen = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == text
    ]
    if chosen:  # of one condition, this or that
        return {value for one in chosen if isinstance(one, ast.IfExp) for value in _branches(one)}
    assert text in HANDED_ON, f"the reason code of {text} cannot be read"
    return set()


def _branches(choice: ast.IfExp) -> Iterator[str]:
    for branch in (choice.body, choice.orelse):
        assert isinstance(branch, ast.Constant)
        yield branch.value


def of_the_numbers() -> set[str]:
    """The reasons of a verdict without findings, whose claim says nothing of its own."""
    lines = {"fail_above": 0.3, "pass_below": 0.3, "alpha_fail": 0.01, "alpha_pass": 0.05}
    claim = Claim(fails="", measures="", columns=("", "", ""))
    bounds = ((0.0, 0.1), (0.2, 0.4), (0.5, 0.6))
    stages = [Stage("s", low, low, high, images=8, draws=3, **lines) for low, high in bounds]
    return {Verdict("", "", "", claim, 0, stages=(stage,)).reason for stage in stages}


def of_the_package() -> set[str]:
    files = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    return of_the_numbers().union(*map(codes_of, files))


def explained() -> list[str]:
    return re.findall(r"^\| `([\w.]+)` \|", page("reference/reason_codes"), re.M)


def test_every_code_is_explained_and_no_other() -> None:
    assert sorted(explained()) == sorted(of_the_package())


def test_the_page_is_that_of_the_package() -> None:
    assert reason_codes.PAGE.read_text(encoding="utf-8") == reason_codes.page(), (
        "run python -m tests.reason_codes"
    )


def test_the_package_explains_each_code_in_words() -> None:
    for code in explained():
        reason = reasons.explained(code)
        assert reason and reason.code == code and reason.meaning and reason.advice
        assert "](" not in "".join(text for _, text in reasons.spans(reason.advice))
    assert reasons.explained("new.one") is None
    assert reasons.spans("see [a page](b.md) and `c`") == [(False, "see a page and "), (True, "c")]


def test_each_code_says_what_it_means_and_what_to_do() -> None:
    for line in re.findall(r"^\| `.*$", page("reference/reason_codes"), re.M):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 3 and all(cells), line


def test_a_pass_has_a_code_for_every_check() -> None:
    passing = page("reference/reason_codes").split("## Fail")[0]
    assert len(re.findall(r"^\| `", passing, re.M)) == 14 <= len(CHECKS)


@pytest.mark.parametrize(
    "source, codes",
    [
        ('Finding("gate.new", "fail", "")', {"gate.new"}),
        ('raise Breach("contract.new", "")', {"contract.new"}),
        ('CLAIM = Claim(fails="", code="new", passed="newer")', {"new", "newer"}),
        ('def f(x):\n    reason = "a" if x else "b"\n    return Finding(reason, "fail", "")', {"a", "b"}),
        ('KNOWN = ("gate.new",)', {"gate.new"}),
        ('Finding(NOT_APPLICABLE, "inconclusive", "")', {"not_applicable"}),
    ],
)
def test_this_test_finds_a_planted_code(source: str, codes: set[str]) -> None:
    assert codes_of(source) == codes


def test_a_code_that_cannot_be_read_is_told() -> None:
    with pytest.raises(AssertionError, match=r"the reason code of made\(\) cannot be read"):
        codes_of('Finding(made(), "fail", "")')
