"""Where a project's filter makes an error of a warning, the verdict says so, and how to let it be."""

from __future__ import annotations

import re
import textwrap

import pytest

import pytest_saliency_sanity.checks.contract  # noqa: F401  before any inner run, which would import it anew
from tests.plugin.quick import WITHOUT_THEM

MODEL = """
    import warnings
    import pytest
    import torch
    from torch import nn
    from pytest_saliency_sanity import assert_contract
    from pytest_saliency_sanity.explainers import gradient

    class Deprecated(DeprecationWarning):
        pass

    KINDS = {"user": UserWarning, "future": FutureWarning, "own": Deprecated}
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    images = torch.rand(8, 1, 8, 8)

    def warning(kind):
        def explainer(model, inputs, targets):
            warnings.warn(KINDS[kind]("old"))
            return gradient(model, inputs, targets)
        return explainer
"""


@pytest.fixture
def strict(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project in which every warning is an error."""
    monkeypatch.setenv("PYTEST_ADDOPTS", WITHOUT_THEM)
    pytester.makeini("[pytest]\nfilterwarnings = error")
    return pytester


KINDS = [("user", "UserWarning"), ("future", "FutureWarning"), ("own", "test_it.Deprecated")]


@pytest.mark.extended
def test_the_message_and_what_it_advises(strict: pytest.Pytester) -> None:
    each = """
    def test_faulty_{kind}():
        assert_contract(warning("{kind}"), net, images, name="mine")

    @pytest.mark.filterwarnings("default::{name}")
    def test_{kind}_let_be():
        assert_contract(warning("{kind}"), net, images)
    """
    other = """
    def test_other():
        def explainer(model, inputs, targets):
            raise ValueError("old")
        assert_contract(explainer, net, images)
    """
    strict.makepyfile(
        test_it=MODEL + "".join(each.format(kind=kind, name=name) for kind, name in KINDS) + other
    )
    result = strict.runpytest_subprocess()
    result.assert_outcomes(passed=3, failed=4)
    told = " ".join(result.stdout.str().split())
    assert re.search(r"raised ValueError: old(?! \(it is a warning)", told)
    for _, name in KINDS:
        assert (
            f"mine broke the contract: it raised {name.rpartition('.')[2]}: old (it is a warning that a filter of "
            f"this project turns into an error; to keep it a warning, put "
            f'@pytest.mark.filterwarnings("default::{name}") on the test, or add the quoted text to '
            f"filterwarnings in pytest's settings)"
        ) in told


@pytest.mark.extended
def test_captums_classes_warn_of_nothing(strict: pytest.Pytester) -> None:
    """Under `-W error`, with captum imported before: what its own import warns of is not ours."""
    imported = """
    import functools, warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import captum.attr
    """
    audited = """
    def test_saliency(assert_model_sensitive):
        signed = functools.partial(captum.attr.Saliency, abs=False)
        assert_model_sensitive(signed, net, torch.rand(16, 1, 8, 8))
    """
    parts = (textwrap.dedent(imported), textwrap.dedent(MODEL), textwrap.dedent(audited))
    (strict.path / "test_it.py").write_text("\n".join(parts))
    strict.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)
