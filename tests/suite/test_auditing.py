"""`audit`: the verdicts of the checks, in a table, with what explainers have in common made once."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import Audit, Case, NotApplicable, audit, explainers, settings
from pytest_saliency_sanity.checks.registry import CHECKS
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.report.words import INTERVALS
from pytest_saliency_sanity.sensitivity import control_audit, honest_controls
from pytest_saliency_sanity.trained_networks import networks

EVERY = [check.name for check in CHECKS if check.assertion]


def nan(model: Any, inputs: torch.Tensor, targets: Any) -> torch.Tensor:
    return inputs * float("nan")


def refuses(model: Any, inputs: Any, targets: Any) -> Any:
    raise NotApplicable("it needs <another> network")


EXPLAINERS = {
    "grad": gradient,
    "sobel": explainers.sobel,
    "nan": nan,
    "refuses": refuses,
    "<b>three</b>": 3,
    "by name": "explainers:input_x_gradient",
}


@pytest.fixture(scope="session")
def found(case: Case) -> Audit:
    """All kinds of explainers on the checks that are quick."""
    checks = ["model_sensitivity", "consistency", "localization", "contract"]
    with settings.using(settings.Settings()):  # no verdicts of the test that asks for it first
        return audit(EXPLAINERS, case, checks, progress=False)


OUTCOMES = {
    "grad": ["pass", "pass", "skipped", "pass"],
    "sobel": ["fail", "pass", "skipped", "pass"],
    "nan": ["skipped", "skipped", "skipped", "error"],
    "refuses": ["refused", "refused", "skipped", "refused"],
    "<b>three</b>": ["skipped", "skipped", "skipped", "error"],
    "by name": ["pass", "pass", "skipped", "pass"],
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_no_bad_explainer_interrupts_it(found: Audit, name: str) -> None:
    assert [found[name, check].outcome for check in found.checks] == OUTCOMES[name]


def test_each_result_is_found_by_its_names(found: Audit) -> None:
    assert found.explainers == tuple(EXPLAINERS)
    assert found.checks == ("model_sensitivity", "consistency", "localization", "contract")
    assert len(found) == len(list(found)) == 24
    with pytest.raises(
        KeyError, match=r"explainers: grad, sobel, .*; checks: model_sensitivity, consistency"
    ):
        found["grad", "modelsensitivity"]


def test_a_verdict_is_that_of_the_check_alone(found: Audit, case: Case) -> None:
    from pytest_saliency_sanity import check_model_sensitivity

    alone = check_model_sensitivity(gradient, case.model, case.inputs, name="grad")
    result = found["grad", "model_sensitivity"]
    assert result.verdict is not None
    assert result.verdict.stages == alone.stages
    assert result.verdict.summary == alone.summary


def test_what_it_prints(found: Audit) -> None:
    lines = str(found).splitlines()
    assert lines[0].split() == ["model", "sensitivity", "consistency", "localization", "contract"]
    assert lines[2].split()[:4] == ["sobel", "✗", "fail", "1.00"]
    assert (
        len({line.index(word) for line, word in zip(lines[1:3], ("· skipped", "· skipped"), strict=True)})
        == 1
    )
    assert "FAIL         sobel, model_sensitivity: sobel ignores the model: 1.00 of the map survives" in str(
        found
    )
    assert "SKIPPED      grad, localization: the case has no inputs" not in str(found)
    assert "SKIPPED      grad, localization: the case has no regions" in str(found)
    assert (
        "SKIPPED      nan, consistency: its contract is broken: nan broke the contract: it returned NaN"
        in str(found)
    )
    assert (
        "ERROR        <b>three</b>, contract: <b>three</b> broke the contract: an explainer is called as"
        in str(found)
    )
    assert "PASS " not in str(found).split("\n\n")[1]


def test_a_notebook_shows_a_table_whose_names_are_text(found: Audit) -> None:
    page = found._repr_html_()
    assert page.count("<tr>") == 7
    assert page.count("<td style=") == 24
    assert "<b>" not in page
    assert "&lt;b&gt;three&lt;/b&gt;" in page
    assert "it needs &lt;another&gt; network" in page
    assert "✗ fail 1.00" in page and page.count(INTERVALS) == 1


def test_it_goes_into_json_and_into_a_frame(found: Audit) -> None:
    stated = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert len(stated["results"]) == 24
    assert stated["results"][4]["verdict"]["outcome"] == stated["results"][4]["outcome"] == "fail"
    assert stated["results"][2] | {"seconds": 0} == {
        "explainer": "grad", "check": "localization", "outcome": "skipped", "skipped": "the case has no regions",
        "seconds": 0, "verdict": None,
    }  # fmt: skip
    frame = pytest.importorskip("pandas") and found.to_frame()
    assert list(frame.columns) == [
        "explainer", "check", "outcome", "reason", "statistic", "lower", "upper", "seconds",
    ]  # fmt: skip
    assert frame.set_index(["explainer", "check"]).loc[("sobel", "model_sensitivity"), "outcome"] == "fail"


def test_without_pandas_the_frame_says_what_to_install(found: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas: pip install pandas"):
        found.to_frame()


def test_a_bar_shows_where_it_is(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    with settings.using(settings.Settings()):
        audit({"grad": gradient}, case, ["contract"], progress=False)
        assert capsys.readouterr().err == ""
        audit({"grad": gradient}, case, ["contract", "localization"])
    shown = capsys.readouterr().err
    assert "grad, contract" in shown
    assert "/2 [" in shown


def test_the_controls_are_explained_once_for_ten_explainers(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain gradient is asked before each fail; its maps are made for the first explainer, and kept."""
    calls: list[int] = []

    @functools.wraps(gradient)
    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return gradient(*args, **options)

    monkeypatch.setattr(honest_controls, "HONEST", (counted,))
    first = {"one": explainers.sobel}
    seed = 71  # of this test alone, so that no other has kept anything
    audit(first, case, ["model_sensitivity"], seed=seed, progress=False)
    alone = len(calls)
    assert alone > 0
    ten = {f"number {number}": explainers.sobel for number in range(10)}
    found = audit(ten, case, ["model_sensitivity"], seed=seed, progress=False)
    assert {one.outcome for one in found} == {"fail"}
    assert len(calls) == alone


def test_the_copies_that_a_verdict_tells_of_are_its_own(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is its own control, and leaves the middle depth to the control of the next explainer."""
    monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())
    both = {"grad": gradient, "sobel": explainers.sobel}
    found = audit(both, case, ["model_sensitivity"], progress=False)["sobel", "model_sensitivity"].verdict
    assert found is not None
    assert set(found.evidence["copies"]) == {"upper", "all"}


def test_all_means_every_check_with_an_assertion(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    from pytest_saliency_sanity.suite import evaluation

    asked = []
    monkeypatch.setattr(evaluation, "contract_of", lambda *_: None)
    monkeypatch.setattr(evaluation, "evaluated", lambda check, *_: asked.append(check.name))
    audit({"grad": gradient}, case, progress=False)
    assert asked == [name for name in EVERY if name != "completeness"]  # which a gradient does not claim


BAD = {
    "no case": (lambda case: audit({"g": gradient}, case.model), TypeError, "case must be a Case(model=…, inputs=…)"),
    "no model": (lambda case: audit({"g": gradient}, Case()), TypeError, "needs a model, and the case has none"),
    "no mapping": (lambda case: audit(gradient, case), TypeError, "explainers must be a mapping from names"),
    "an unknown check": (lambda case: audit({"g": gradient}, case, "modelsensitivity"), ValueError, "unknown check"),
    "a bad seed": (lambda case: audit({"g": gradient}, case, seed=-1), ValueError, "seed must be an integer"),
    "a bad option": (
        lambda case: audit({"g": gradient}, case, "consistency", options={"consistency": {"agree": 1}}),
        TypeError,
        "agree",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_arguments_are_refused(kind: str, case: Case) -> None:
    call, error, words = BAD[kind]
    with pytest.raises(error) as raised:
        call(case)
    assert words in str(raised.value)


def test_networks_are_trained_once_for_all_explainers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cache of the run's own they are kept as long as the audit lasts."""
    trained: list[int] = []
    fit = networks.fit

    def counted(*args: Any, **options: Any) -> Any:
        trained.append(1)
        return fit(*args, **options)

    monkeypatch.setattr(networks, "fit", counted)
    drawn = torch.Generator().manual_seed(0)
    images, labels = torch.rand(48, 1, 8, 8, generator=drawn), torch.arange(48) % 3
    images[torch.arange(48), 0, labels] += 1.0
    case = Case(make_model=_perceptron, train_set=(images, labels), inputs=images[:16])
    both = {"grad": gradient, "ixg": explainers.input_x_gradient}
    found = audit(both, case, "data_sensitivity", progress=False)
    assert all(one.verdict is not None for one in found)
    assert len(trained) == 4


def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))


def test_four_photographs_are_too_few_for_checks_that_hide_pixels(case: Case) -> None:
    from pytest_saliency_sanity.checks.registration import of_name
    from pytest_saliency_sanity.suite.evaluation import why_not

    without = Case(model=case.model)
    assert why_not(of_name("model_sensitivity"), without) == ""
    for name in ("occlusion_sensitivity", "insertion_deletion"):
        assert why_not(of_name(name), case) == ""
        assert "the four photographs that stand in are too few" in why_not(of_name(name), without)


def test_a_contract_is_recorded_as_the_other_verdicts_are(case: Case) -> None:
    recorded: list[str] = []
    record = settings.Settings(record=lambda verdict: recorded.append(verdict.check))
    for _ in range(2):  # the second time it is not asked, and reported all the same
        with settings.using(record):
            audit({"nan": nan}, case, ["contract", "consistency"], progress=False)
    assert recorded == ["contract", "contract"]


def test_a_model_whose_weights_come_with_its_first_pass_is_audited(case: Case) -> None:
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(5))
    found = audit({"grad": gradient}, Case(model=model, inputs=case.inputs), ["contract"], progress=False)
    assert found["grad", "contract"].outcome in (
        "pass",
        "fail",
    )  # the map of a linear model is the same for each image
