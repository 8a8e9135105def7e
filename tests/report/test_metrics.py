"""The field's figures stand beside a verdict wherever it is shown, and never among what decides."""

from __future__ import annotations

import pytest

from pytest_saliency_sanity.report import comparison, markdown, notebook, shown, table
from pytest_saliency_sanity.report.message import message
from tests.report.made import entry, report

FIGURES = {
    "smprt": {"title": "sMPRT", "source": "Hedström et al. 2024", "better": "lower", "value": 0.05323, "images": 16},
    "road": {"title": "ROAD", "source": "Rong et al. 2022", "better": "lower", "value": None,
             "not_computed": "it needs images (N, C, H, W)"},
}  # fmt: skip
WHOLE = (
    "beside the verdict: sMPRT 0.0532 (lower is better, Hedström et al. 2024); ROAD not computed (it needs images "
    "(N, C, H, W))"
)


def with_figures(outcome: str = "pass", evidence=None):
    return entry(outcome, evidence={"metrics": FIGURES} if evidence is None else evidence)


def test_the_message_and_the_notebook() -> None:
    verdict = with_figures("fail").verdict
    assert WHOLE in " ".join(message(verdict).split())
    assert "sMPRT" not in verdict.summary
    assert "<b>beside the verdict</b>: sMPRT 0.0532 (lower is better" in notebook.html(verdict)


def test_the_table_has_them_below_the_row() -> None:
    lines = table.lines([with_figures(), entry("pass", explainer="other")])
    assert lines[2] == "    beside the verdict: sMPRT 0.0532, ROAD not computed"
    assert "other" in lines[3] and len(lines) == 5
    assert "beside the verdict" in shown.text_of(report(with_figures()), "text")


def test_markdown_has_a_table_of_them() -> None:
    text = markdown.written(report(with_figures(), entry("fail", explainer="other")))
    assert (
        "#### Beside the verdicts: they decide nothing\n\n| check | explainer | figure | value | |\n" in text
    )
    assert "| sMPRT | 0.0532 | lower is better, Hedström et al. 2024 |" in text
    assert "Beside" not in markdown.written(report(entry("pass")))


def test_the_page_has_them() -> None:
    pytest.importorskip("jinja2")
    page = shown.text_of(report(with_figures()), "html")
    assert "<dt>Beside the verdict</dt><dd>sMPRT 0.0532 (lower is better, Hedström et al. 2024)</dd>" in page
    assert "<dt>Beside" not in shown.text_of(report(entry("pass")), "html")


@pytest.mark.parametrize(
    "odd", [[], {"a": 1}, {"a": {}}, {"a\nb": {"value": "x", "not_computed": "c\nd"}}, "text", None]
)
def test_evidence_of_another_form_breaks_nothing(odd) -> None:
    one = with_figures(evidence={"metrics": odd})
    assert message(one.verdict) and markdown.written(report(one)) and notebook.html(one.verdict)
    assert all("\n" not in line for line in table.lines([one]))


def test_a_baseline_does_not_mind_which_figures_are_asked_for() -> None:
    asked, plain, other = (
        entry("pass", provenance={"options": options}).recorded
        for options in ({"metrics": ["smprt"], "steps": 3}, {"steps": 3}, {"steps": 4})
    )
    assert not comparison.differences(asked, plain)
    assert comparison.differences(asked, other) == ["options {'steps': 3} → {'steps': 4}"]
