"""--saliency-baseline and --saliency-baseline-update."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_saliency_sanity import files
from pytest_saliency_sanity.report.document import Report

TESTS = """
    import json
    from pathlib import Path

    import pytest
    from judging import judge, made_stage

    NUMBERS = json.loads(Path(__file__).with_name("numbers.json").read_text())

    def verdict(name, **changes):
        statistic = NUMBERS[name]
        stage = made_stage(statistic, fail_above=.5, pass_below=.5)
        outcome = "pass" if statistic < .4 else "fail" if statistic > .6 else "inconclusive"
        judge(outcome, explainer=name, stages=(stage,), provenance=NUMBERS.get("provenance", {}), **changes)

    @pytest.mark.parametrize("name", sorted(set(NUMBERS) - {"provenance", "known"}))
    def test_it(name):
        verdict(name)

    if "known" in NUMBERS:
        @pytest.mark.xfail(strict=True)
        def test_known():
            verdict("known")
"""
MADE = "--saliency-baseline=b.json"
UPDATE = "--saliency-baseline-update="


@pytest.fixture(autouse=True)
def _not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


class Gate:
    """A project whose statistics are set from outside."""

    def __init__(self, project: pytest.Pytester) -> None:
        self.project = project
        project.makepyfile(test_it=TESTS)

    def run(self, *arguments: str, **numbers: Any) -> pytest.RunResult:
        (self.project.path / "numbers.json").write_text(json.dumps(numbers))
        return self.project.runpytest(MADE, *arguments)

    @property
    def path(self) -> Path:
        return self.project.path / "b.json"

    def stored(self) -> list[tuple[str, float]]:
        return [(one["explainer"], one["statistic"]) for one in json.loads(self.path.read_text())["verdicts"]]


@pytest.fixture
def gate(project: pytest.Pytester) -> Gate:
    return Gate(project)


def told(result: pytest.RunResult) -> list[str]:
    kinds = ("REGRESSION", "NOT COMPARABLE", "DRIFT", "IMPROVEMENT", "baseline:")
    return [line.split("; ")[0].split(": /")[0] for line in result.outlines if line.startswith(kinds)]


def test_a_missing_file_is_a_usage_error_that_says_how_to_make_it(gate: Gate) -> None:
    result = gate.run(a=0.1)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --saliency-baseline: there is no *b.json; --saliency-baseline-update=create makes it"]
    )


def test_made_once_and_kept(gate: Gate) -> None:
    result = gate.run(UPDATE + "create", a=0.1, b=0.2)
    assert result.ret == 0
    assert told(result) == ["baseline: written, 2 verdicts"]
    before = gate.path.read_bytes()
    result = gate.run(a=0.12, b=0.2)
    assert (result.ret, told(result)) == (0, [])
    assert gate.path.read_bytes() == before


@pytest.mark.parametrize("workers", [(), pytest.param(("-n2",), marks=pytest.mark.extended)])
def test_a_pass_that_became_worse_fails(gate: Gate, workers: tuple[str, ...]) -> None:
    gate.run(UPDATE + "create", a=0.1, b=0.1, known=0.8)
    result = gate.run("--saliency-inconclusive=skip", *workers, a=0.1, b=0.5, known=0.8)
    assert result.ret == pytest.ExitCode.TESTS_FAILED  # though no test fails
    result.assert_outcomes(passed=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["held against 3 verdicts of b.json: the run fails for 1 of them"])
    assert told(result) == [
        "REGRESSION     test_it.py::test_it[b]: model_sensitivity of b on Net: pass 0.10 (0.00 … 0.20) → "
        "inconclusive 0.50 (0.40 … 0.60)"
    ]


def test_an_expected_failure_that_became_worse_fails(gate: Gate) -> None:
    gate.run(UPDATE + "create", known=0.7)
    assert gate.run(known=0.75).ret == 0
    result = gate.run(known=0.85)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(xfailed=1, skipped=1)
    assert told(result)[0].startswith(
        "REGRESSION     test_it.py::test_known: model_sensitivity of known on Net: worse than before, beyond its "
        "interval"
    )


def test_what_is_better_drifts_or_is_new_says_how_to_record_it(gate: Gate) -> None:
    gate.run(UPDATE + "create", a=0.8, b=0.1)
    result = gate.run(a=0.1, b=0.35, c=0.1)
    assert result.ret == 0
    assert told(result) == [
        "DRIFT          test_it.py::test_it[b]: model_sensitivity of b on Net: pass 0.10 (0.00 … 0.20) → "
        "pass 0.35 (0.25 … 0.45)",
        "IMPROVEMENT    test_it.py::test_it[a]: model_sensitivity of a on Net: fail 0.80 (0.70 … 0.90) → "
        "pass 0.10 (0.00 … 0.20)",
        "baseline: 1 not in the baseline yet",
        "baseline: 1 better than the baseline",
        "baseline: 1 drifted",
    ]
    result.stdout.fnmatch_lines(
        ["baseline: 1 better than the baseline; --saliency-baseline-update=fix records it"]
    )


def test_each_way_changes_only_its_part(gate: Gate) -> None:
    gate.run(UPDATE + "create", a=0.1, b=0.1, c=0.1)
    gate.run(UPDATE + "create", a=0.2, b=0.1, d=0.1)
    assert gate.stored() == [("a", 0.1), ("b", 0.1), ("c", 0.1), ("d", 0.1)]
    gate.run(UPDATE + "fix", a=0.2, b=0.1, d=0.1, e=0.1)
    assert gate.stored() == [("a", 0.2), ("b", 0.1), ("c", 0.1), ("d", 0.1)]
    result = gate.run(UPDATE + "trim", a=0.3, b=0.1, d=0.1, e=0.1)
    assert gate.stored() == [("a", 0.2), ("b", 0.1), ("d", 0.1)]
    assert result.ret == 0


def test_a_part_of_the_tests_trims_nothing_else(gate: Gate) -> None:
    gate.run(UPDATE + "create", a=0.1, b=0.1, c=0.1)
    for selection in (["-k", "a"], ["-k", "a", "-n1"], ["test_it.py::test_it[a]"]):
        gate.run(UPDATE + "trim", *selection, a=0.1, b=0.1)
        kept = [name for name, _ in gate.stored()]
        assert {"a", "b"} <= set(kept)
    (gate.project.path / "test_it.py").rename(gate.project.path / "test_other.py")
    gate.run(UPDATE + "create,trim", a=0.1)
    assert gate.stored() == [("a", 0.1)]


def test_what_ran_without_its_verdict_is_told(gate: Gate) -> None:
    gate.run(UPDATE + "create", a=0.1)
    gate.project.makepyfile(
        test_it="import pytest\n@pytest.mark.parametrize('name', ['a'])\ndef test_it(name): pass"
    )
    result = gate.run(a=0.1)
    assert (result.ret, told(result)) == (0, ["baseline: 1 of the baseline not reached"])
    result.stdout.fnmatch_lines(
        [
            "held against 1 verdicts of b.json: nothing is worse",
            "MISSING        test_it.py::test_it[[]a]: model_sensitivity of a on Net: was pass, and was not reached",
            "baseline: 1 of the baseline not reached; --saliency-baseline-update=trim removes it",
        ],
        consecutive=True,
    )


PROVENANCE = {
    "profile": "ci",
    "options": {},
    "model": {"architecture": "a", "weights": "w"},
    "inputs": {"shapes": [[16, 1, 8, 8]], "content": "x"},
}
QUESTIONS = {
    "options": ({"options": {"threshold": 0.4}}, "options {} → {'threshold': 0.4}"),
    "shapes": (
        {"inputs": {"shapes": [[16, 3, 8, 8]], "content": "x"}},
        "input shapes [[1, 8, 8]] → [[3, 8, 8]]",
    ),
    "architecture": ({"model": {"architecture": "b", "weights": "w"}}, "architecture 'a' → 'b'"),
}


def test_what_the_file_says(gate: Gate) -> None:
    """Sorted, and where it comes from: versions, seed, profile, fingerprints of the model and the images."""
    gate.run(UPDATE + "create", "--saliency-seed=3", b=0.1, a=0.2, provenance=PROVENANCE)
    found = json.loads(gate.path.read_text())
    assert [one["explainer"] for one in found["verdicts"]] == ["a", "b"]
    assert (found["settings"]["seed"], found["settings"]["profile"]) == (3, "ci")
    assert {"pytest-saliency-sanity", "torch", "numpy"} <= found["environment"]["packages"].keys()
    assert all(one["provenance"] == PROVENANCE for one in found["verdicts"])


@pytest.mark.parametrize("name", QUESTIONS)
def test_another_question_is_refused(gate: Gate, name: str) -> None:
    changed, words = QUESTIONS[name]
    gate.run(UPDATE + "create", a=0.1, provenance=PROVENANCE)
    result = gate.run(a=0.1, provenance={**PROVENANCE, **changed})
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert told(result) == [
        f"NOT COMPARABLE test_it.py::test_it[a]: model_sensitivity of a on Net: {words}",
        "baseline: verdicts that were reached in another way cannot be compared",
    ]
    gate.run(UPDATE + "fix", a=0.1, provenance={**PROVENANCE, **changed})
    assert gate.run(a=0.1, provenance={**PROVENANCE, **changed}).ret == 0


def test_other_weights_are_what_a_gate_is_for(gate: Gate) -> None:
    gate.run(UPDATE + "create", a=0.1, provenance=PROVENANCE)
    result = gate.run(a=0.35, provenance={**PROVENANCE, "model": {"architecture": "a", "weights": "v"}})
    assert result.ret == 0 and told(result)[0].endswith("(other weights)")


@pytest.mark.parametrize(
    "flag, words",
    [("--saliency-seed=1", "seed 0 → 1"), ("--saliency-profile=smoke", "profile 'ci' → 'smoke'")],
)
def test_another_seed_or_profile_is_refused_before_the_run(gate: Gate, flag: str, words: str) -> None:
    gate.run(UPDATE + "create", a=0.1)
    result = gate.run(flag, a=0.1)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --saliency-baseline *b.json was made with another question: {words}.*"]
    )
    assert gate.run(flag, UPDATE + "create,fix,trim", a=0.1).ret == 0
    assert gate.run(flag, a=0.1).ret == 0


@pytest.mark.parametrize("workers", [(), pytest.param(("-n1",), marks=pytest.mark.extended)])
def test_an_empty_name_lifts_the_project_s(gate: Gate, workers: tuple[str, ...]) -> None:
    gate.project.makepyprojecttoml("[tool.saliency_sanity]\nbaseline = 'b.json'")
    gate.run(UPDATE + "create", a=0.1)
    made = gate.path.read_bytes()
    without = ("--saliency-baseline=", "--saliency-profile=smoke", *workers)
    assert gate.run("--saliency-profile=smoke", a=0.9).ret == pytest.ExitCode.USAGE_ERROR
    result = gate.project.runpytest("--saliency-profile=smoke")
    result.stderr.fnmatch_lines(["*or do without it in this run: --saliency-baseline="])
    result = gate.run(*without, a=0.5)
    assert (result.ret, told(result)) == (0, [])
    result.assert_outcomes(skipped=1)  # inconclusive, in this profile
    assert gate.path.read_bytes() == made


def test_in_ci_it_is_changed_by_force_only(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = gate.run(UPDATE + "create", a=0.1)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --saliency-baseline-update is refused where CI is set:*Add force*"])
    assert gate.run(UPDATE + "create,force", a=0.1).ret == 0
    assert gate.stored() == [("a", 0.1)]


@pytest.mark.parametrize(
    "content, words",
    [
        ("{}", 'it has no "format"'),
        ("x", "Expecting value"),
        ('{"format": "pytest-saliency-sanity baseline", "version": 7}', "its version is 7"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(gate: Gate, content: str, words: str) -> None:
    gate.path.write_text(content)
    result = gate.run(a=0.1)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --saliency-baseline: *b.json is no baseline of pytest-saliency-sanity: {words}*"]
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([MADE, UPDATE + "all"], "--saliency-baseline-update: 'all' is none of create, fix, trim, force"),
        ([MADE, UPDATE], "--saliency-baseline-update: '' is none of create, fix, trim, force"),
    ],
)
def test_words_that_it_does_not_know(project: pytest.Pytester, arguments: list[str], words: str) -> None:
    result = project.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {words}"])


def test_the_flag_needs_its_words(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess(MADE, UPDATE.removesuffix("="))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--saliency-baseline-update: expected one argument"])


def test_a_run_that_is_interrupted_keeps_the_rest(gate: Gate) -> None:
    gate.run(UPDATE + "create", a=0.1, b=0.1)
    gate.project.makeconftest(
        "def pytest_runtest_setup(item):\n    if item.name.endswith('[b]'): raise KeyboardInterrupt"
    )
    (gate.project.path / "numbers.json").write_text(json.dumps({"a": 0.2, "b": 0.1}))
    gate.project.runpytest_subprocess(MADE, UPDATE + "create,fix,trim")
    assert gate.stored() == [("a", 0.2), ("b", 0.1)]


def test_it_is_the_same_from_one_process_and_from_workers(gate: Gate) -> None:
    numbers = dict.fromkeys("abcdef", 0.1)
    gate.run(UPDATE + "create", **numbers)
    one = gate.path.read_bytes()
    gate.path.unlink()
    gate.run(UPDATE + "create", "-n2", **numbers)
    assert gate.path.read_bytes() == one


def test_the_reports_have_the_changes_on_top(gate: Gate) -> None:
    gate.run(UPDATE + "create", a=0.1)
    gate.run("--saliency-json=r.json", "--saliency-markdown=r.md", a=0.9)
    (change,) = Report.read(gate.project.path / "r.json").changes
    assert change.kind == "regression"
    assert "#### Against the baseline" in (gate.project.path / "r.md").read_text(encoding="utf-8")


def test_an_update_of_nothing_is_told(project: pytest.Pytester) -> None:
    project.makepyfile("from judging import judge\ndef test_it(): judge('pass')")
    result = project.runpytest(UPDATE + "create")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["--saliency-baseline-update changed nothing: there is no --saliency-baseline, and no *"]
    )


@pytest.mark.parametrize("where", ["from the root", "from elsewhere"])
def test_the_table_names_it_from_the_root(gate: Gate, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.run(UPDATE + "create", a=0.1)
    gate.project.makepyprojecttoml("[tool.saliency_sanity]\nbaseline = 'b.json'\n")
    (gate.project.path / "numbers.json").write_text('{"a": 0.9}')
    if where == "from elsewhere":
        monkeypatch.chdir(gate.project.mkdir("elsewhere"))
    result = gate.project.runpytest(str(gate.project.path / "test_it.py"))
    result.stdout.fnmatch_lines(["REGRESSION *"])


def test_an_update_that_cannot_be_written_is_held_against_what_stood_there(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.run(UPDATE + "create", a=0.1)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    result = gate.run(UPDATE + "fix", a=0.9)
    monkeypatch.undo()
    result.stdout.fnmatch_lines(["could not write *b.json: No space left on device", "REGRESSION *"])
    assert gate.stored() == [("a", 0.1)]
