"""Markdown for comments and summaries."""

from __future__ import annotations

import pytest

from pytest_saliency_sanity.report.comparison import Change
from pytest_saliency_sanity.report.markdown import COMMENT, escaped, written
from pytest_saliency_sanity.report.words import INTERVALS
from tests.report.made import entry, mixed, report


def test_failures_come_first() -> None:
    lines = written(mixed()).splitlines()
    assert lines[0] == (
        r"### saliency sanity\: 1 passed, 1 failed, 1 failed as expected, 1 inconclusive, 1 refused, 1 error, "
        "1 observed"
    )
    rows = [line.split(" | ")[0].split()[-1] for line in lines if line.startswith("| ")][2:]
    assert rows == ["error", "fail", "inconclusive", "xfail", "refused", "observed", "pass"]
    assert (
        r"| ✓ pass | model\_sensitivity | gradient | Net | 0.10 | 0.00 … 0.20 | test\_a.py\:\:test\_it |"
        in lines
    )


def test_messages_are_folded_below() -> None:
    text = written(mixed())
    assert text.count("<details>") == text.count("</details>") == 4
    assert "```text\nsobel ignores the model: 0.80 of the map survives" in text


def test_the_levels_of_the_intervals_stand_below_the_table() -> None:
    text = written(mixed())
    assert text.index("| ✓ pass |") < text.index(INTERVALS) < text.index("<details>")


def test_what_is_new_against_the_baseline_comes_first() -> None:
    change = Change("regression", ("a", "b", "c", "d", 0), "it | was <b>a</b> pass")
    text = written(mixed(changes=(change,), lost=("one did not arrive",)))
    assert text.index("#### Against the baseline") < text.index("| verdict |")
    assert r"- **regression**: it \| was \<b\>a\</b\> pass" in text
    assert "- **lost**: one did not arrive" in text


HOSTILE = [
    "<script>alert(1)</script>",
    "a | b",
    "`x`",
    "@everyone",
    "#1",
    "[a](http://b)",
    "a\nb",
    "\\",
    "*b*",
    "$x$",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text(name: str) -> None:
    text = written(report(entry("fail", explainer=name), entry("pass", explainer=name)))
    rows = [line for line in text.splitlines() if line.startswith("| ✗") or line.startswith("| ✓")]
    assert [len(row.replace("\\\\", "").replace("\\|", "").split("|")) for row in rows] == [9, 9]
    outside = text.split("```")[0]
    for mark in ("<script", "](", "@everyone"):
        assert mark not in outside.replace("\\@", "").replace("\\<", "").replace("\\]", "")


def test_a_fence_in_a_message_does_not_end_it() -> None:
    text = written(report(entry("fail", explainer="a ``` b")))
    assert "````text\n" in text


@pytest.mark.covering
@pytest.mark.parametrize("most", [COMMENT, 5000, 900_000])
@pytest.mark.parametrize("name", ["x", "π" * 500])
def test_it_is_cut_below_the_limit(most: int, name: str) -> None:
    entries = [entry("fail", explainer=f"{name}{number}", notes=(name * 20,)) for number in range(2000)]
    changes = [Change("drift", ("a", "b", "c", "d", number), name) for number in range(200)]
    text = written(report(*entries, changes=tuple(changes[:50])), most)
    assert len(text.encode()) <= max(most, 60_000)
    if most < 900_000:
        assert "more verdicts; the JSON report has all" in text


def test_nothing_was_reached() -> None:
    assert "No verdict was reached." in written(report())


def test_escaping_is_undone_by_markdown() -> None:
    assert escaped("a_b") == r"a\_b" and escaped("  a\n b ") == "a b"
