"""The registry: what it says of the checks is so, and a check is added by a file and an entry."""

from __future__ import annotations

import importlib
import inspect
import shutil
import textwrap
from pathlib import Path

import pytest

import pytest_saliency_sanity
from pytest_saliency_sanity import Case
from pytest_saliency_sanity.checks import registry
from pytest_saliency_sanity.checks.registry import CHECKS, Check

every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


@every_check
def test_its_module_has_what_it_names(check: Check) -> None:
    module = importlib.import_module(f"pytest_saliency_sanity.{check.home}")
    assert getattr(module, check.function) is getattr(pytest_saliency_sanity, check.function)
    if check.assertion:
        assert getattr(module, check.assertion) is getattr(pytest_saliency_sanity, check.assertion)
    assert module.CLAIM.columns == tuple(check.columns)


@every_check
def test_it_takes_what_its_signature_says(check: Check) -> None:
    parameters = inspect.signature(getattr(pytest_saliency_sanity, check.function)).parameters
    fields = [name for name in vars(Case()) if name in parameters]
    assert sorted(check.takes) == sorted(fields)


def test_every_file_beside_it_is_a_check() -> None:
    files = {path.stem for path in Path(registry.__file__).parent.glob("*.py")}
    assert files - {"__init__", "registry", "registration"} == {check.name for check in CHECKS}


ADDED = """
    from pytest_saliency_sanity.audited.conditions import WithLabels, takes
    from pytest_saliency_sanity.audited.subject import subject
    from pytest_saliency_sanity.errors import asserting
    from pytest_saliency_sanity.examination.conclusion import concluded
    from pytest_saliency_sanity.verdict import Claim, Finding, Verdict

    CLAIM = Claim("is not called something", "", ("what", "how", "value"))


    @takes(WithLabels)
    def check_naming(explainer, model, inputs=None, targets=None, *, prefix="", **conditions):
        '''Whether an explainer's name begins with a prefix.'''
        audited = subject(explainer, model, inputs, targets, **conditions)
        outcome = "pass" if audited.name.startswith(prefix) else "fail"
        finding = Finding("naming", outcome, f"is called {audited.name} {audited.labels.tolist()}")
        return concluded(
            Verdict("naming", audited.name, audited.model_name, CLAIM, audited.seed, findings=(finding,))
        )


    assert_named = asserting(check_naming, "assert_named")
"""
ENTRY = """Check(
        "naming", "assert_named", "what is it called?", ("model", "inputs", "targets", "labels"), {}, "nowhere"
    ),"""
TESTS = """
    import pytest, torch
    import pytest_saliency_sanity
    from pytest_saliency_sanity.explainers import gradient

    @pytest.fixture
    def saliency_model():
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))

    @pytest.fixture
    def saliency_inputs():
        return torch.randn(4, 1, 8, 8)

    @pytest.fixture
    def saliency_labels():
        return torch.tensor([0, 1, 2, 0])

    def test_it(assert_named):
        assert "[0, 1, 2, 0]" in assert_named(gradient, prefix="grad").summary

    def test_it_fails(assert_named):
        assert_named(gradient, prefix="saliency")

    def test_without_raising(saliency_model, saliency_inputs, saliency_labels):
        check = pytest_saliency_sanity.check_naming
        assert check(gradient, saliency_model, saliency_inputs, labels=saliency_labels).outcome == "pass"
        with pytest.raises(TypeError, match="it takes explainer, model, inputs, targets, prefix, labels, name"):
            check(gradient, saliency_model, pre="grad")
"""


def test_a_check_is_a_file_and_an_entry(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy of the package."""
    package = Path(pytest_saliency_sanity.__file__).parent
    copied = pytester.path / "copied" / package.name
    shutil.copytree(package, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "checks" / "naming.py").write_text(textwrap.dedent(ADDED))
    of_the_copy = copied / "checks" / "registry.py"
    of_the_copy.write_text(of_the_copy.read_text().replace("CHECKS = (\n", f"CHECKS = (\n    {ENTRY}\n"))
    monkeypatch.setenv("PYTHONPATH", str(copied.parent))
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines("*SanityCheckFailed: gradient is called gradient*")
