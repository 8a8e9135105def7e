"""`parametrize_with_sanity_checks`: ids, expected failures, broken contracts, what does not apply, refusals."""

from __future__ import annotations

import json

import pytest

from pytest_saliency_sanity import explainers, parametrize_with_sanity_checks
from pytest_saliency_sanity.checks.registry import CHECKS
from pytest_saliency_sanity.suite import evaluation

ASSERTED = [check.name for check in CHECKS if check.assertion]
EVERY = [check.name for check in CHECKS if check.assertion and not check.axiom]
CLAIMED = ["linear_oracle", "ignored_input", "implementation_invariance", "input_shift"]  # by the gradient
OF = {"grad": [one.name for one in CHECKS if one.name in (*EVERY, *CLAIMED)], "sobel": EVERY, "copy": EVERY}
HEADER = """
    from pytest_saliency_sanity import NotApplicable, explainers, parametrize_with_sanity_checks

    def nan(model, inputs, targets):
        return inputs * float("nan")

    def refuses(model, inputs, targets):
        raise NotApplicable("it needs another network")

    def test_explainer(explainer, sanity_check, saliency_case):
        sanity_check(explainer, saliency_case)

"""


def outcomes(project: pytest.Pytester, decorator: str, *arguments: str) -> dict[str, str]:
    """The outcome of each test by what stands between the brackets of its id."""
    project.makepyfile(
        test_it=f"{HEADER}    test_explainer = parametrize_with_sanity_checks({decorator})(test_explainer)"
    )
    verbose = () if "--collect-only" in arguments else ("-v", "-rA")
    result = project.runpytest(*verbose, *arguments)
    found = {}
    for line in result.outlines:
        if "test_explainer[" in line and (
            " PASSED" in line or " FAILED" in line or " SKIPPED" in line or " XF" in line
        ):
            found[line.split("[", 1)[1].split("]")[0]] = line.split("] ", 1)[1].split()[0]
    found["exit code"] = str(int(result.ret))
    found["text"] = result.stdout.str()
    return found


def without_text(found: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in found.items() if key not in ("text", "exit code")}


def test_there_is_a_test_for_each_explainer_and_each_check(project: pytest.Pytester) -> None:
    found = outcomes(
        project, '{"grad": explainers.gradient, "copy": explainers.sobel}', "--collect-only", "-q"
    )
    ids = [line for line in found["text"].splitlines() if "::" in line]
    assert ids == [
        f"test_it.py::test_explainer[{name}-{check}]" for name in ("grad", "copy") for check in OF[name]
    ]


def test_each_verdict_is_that_of_the_check_and_what_does_not_apply_is_skipped(
    project: pytest.Pytester,
) -> None:
    found = outcomes(project, '{"grad": explainers.gradient, "sobel": explainers.sobel}')
    fails = {"model_sensitivity", "target_sensitivity", "occlusion_sensitivity", "insertion_deletion"}
    skipped = {"data_sensitivity", "localization", "parity"}
    assert without_text(found) == {
        f"{name}-{check}": "SKIPPED"
        if check in skipped
        else "FAILED"
        if name == "sobel" and check in fails
        else "PASSED"
        for name in ("grad", "sobel")
        for check in OF[name]
    }
    assert "data_sensitivity does not apply: the case has no make_model, no train_set" in found["text"]
    assert "localization does not apply: the case has no regions" in found["text"]


SELECTIONS = {
    "-k": ["-k", "sobel-model_sensitivity"],
    "a node id": ["test_it.py::test_explainer[sobel-model_sensitivity]"],
}


@pytest.mark.parametrize("way", [pytest.param("-k", marks=pytest.mark.extended), "a node id"])
def test_one_of_them_is_selected(project: pytest.Pytester, way: str) -> None:
    found = outcomes(project, '{"grad": explainers.gradient, "sobel": explainers.sobel}', *SELECTIONS[way])
    assert without_text(found) == {"sobel-model_sensitivity": "FAILED"}


def test_an_expected_failure_is_one_and_strict(project: pytest.Pytester) -> None:
    expected = '{"sobel": {"model_sensitivity": "edges"}, "grad": {"model_sensitivity": "wrong"}}'
    found = outcomes(
        project,
        '{"sobel": explainers.sobel, "grad": explainers.gradient}, "model_sensitivity", '
        f"expected_failed_checks={expected}",
    )
    assert without_text(found) == {"sobel-model_sensitivity": "XFAIL", "grad-model_sensitivity": "FAILED"}
    assert "1 passed" in found["text"]  # of the verdicts
    assert "1 failed as expected" in found["text"]
    assert "[XPASS(strict)] wrong" in found["text"]


@pytest.mark.extended
def test_an_error_and_an_open_question_are_no_expected_failures(project: pytest.Pytester) -> None:
    expected = '{"nan": {"model_sensitivity": "edges"}, "grad": {"model_sensitivity": "edges"}}'
    found = outcomes(
        project,
        f'{{"nan": nan, "grad": explainers.gradient}}, "model_sensitivity", expected_failed_checks={expected}, '
        'options={"model_sensitivity": {"max_seconds": 1e-9}}',
    )
    assert without_text(found) == {"nan-model_sensitivity": "FAILED", "grad-model_sensitivity": "FAILED"}
    assert "ExplainerContractError" in found["text"]
    assert "SanityCheckInconclusive" in found["text"]


def test_a_broken_contract_is_reported_once(project: pytest.Pytester) -> None:
    found = outcomes(
        project,
        '{"nan": nan, "grad": explainers.gradient}, ["contract", "consistency", "target_sensitivity"]',
    )
    assert without_text(found) == {
        "nan-contract": "FAILED",
        "nan-consistency": "SKIPPED",
        "nan-target_sensitivity": "SKIPPED",
        "grad-contract": "PASSED",
        "grad-consistency": "PASSED",
        "grad-target_sensitivity": "PASSED",
    }
    assert (
        "the contract is broken, see the test of contract: nan broke the contract: it returned NaN"
        in found["text"]
    )


def test_a_broken_contract_fails_where_its_test_is_not_selected(project: pytest.Pytester) -> None:
    found = outcomes(project, '{"nan": nan}', "-k", "model_sensitivity or consistency")
    assert without_text(found) == {"nan-model_sensitivity": "FAILED", "nan-consistency": "FAILED"}
    assert found["text"].count("ExplainerContractError: nan broke the contract") >= 2
    for check in ("model_sensitivity", "consistency"):  # each says how it is replayed itself
        assert f'replay: pytest "test_it.py::test_explainer[nan-{check}]"' in found["text"]
    assert "2 errors" in found["text"]


@pytest.mark.extended
def test_a_refusal_is_skipped_and_counted(project: pytest.Pytester) -> None:
    found = outcomes(project, '{"refuses": refuses}, ["contract", "consistency"]')
    assert without_text(found) == {"refuses-contract": "SKIPPED", "refuses-consistency": "SKIPPED"}
    assert "it needs another network" in found["text"]


def test_markers_are_those_of_the_registry(project: pytest.Pytester) -> None:
    found = outcomes(
        project, '{"grad": explainers.gradient}', "-m", "saliency_training", "--collect-only", "-q"
    )
    assert [line for line in found["text"].splitlines() if "::" in line] == [
        "test_it.py::test_explainer[grad-data_sensitivity]"
    ]
    found = outcomes(project, '{"grad": explainers.gradient}', "-m", "saliency", "--collect-only", "-q")
    assert found["text"].count("::") == len(OF["grad"])


def test_a_case_without_a_model_is_an_error(pytester: pytest.Pytester) -> None:
    found = outcomes(pytester, '{"grad": explainers.gradient}, "consistency"')
    assert without_text(found) == {"grad-consistency": "FAILED"}
    assert (
        "consistency needs a model, and the case has none (in pytest: the fixture saliency_model)"
        in found["text"]
    )


def test_the_order_changes_nothing(project: pytest.Pytester) -> None:
    """Each item asks the contract itself, so the one that reports it may as well come last."""
    decorator = '{"grad": explainers.gradient, "nan": nan}, ["contract", "consistency"]'
    one = without_text(outcomes(project, decorator))
    with (project.path / "conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write("\n\ndef pytest_collection_modifyitems(items):\n    items.reverse()\n")
    found = outcomes(project, decorator)
    assert without_text(found) == one
    assert one["nan-consistency"] == "SKIPPED"
    places = [found["text"].index(f"test_explainer[{name}]") for name in ("nan-consistency", "grad-contract")]
    assert places == sorted(places)


def test_one_class_has_no_other_and_is_skipped(project: pytest.Pytester) -> None:
    project.makepyfile(
        conftest="""
        import pytest, torch

        @pytest.fixture
        def saliency_model():
            layers = torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
            return torch.nn.Sequential(torch.nn.Flatten(), *layers)

        @pytest.fixture
        def saliency_inputs():
            return torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        """
    )
    found = outcomes(project, '{"grad": explainers.gradient}, "target_sensitivity"')
    assert without_text(found) == {"grad-target_sensitivity": "SKIPPED"}
    assert "has a single logit: there is no other target to explain" in found["text"]


@pytest.mark.extended
@pytest.mark.parametrize("checks", ["contract", "all"])
def test_the_same_under_xdist(project: pytest.Pytester, checks: str) -> None:
    decorator = f'{{"grad": explainers.gradient, "nan": nan}}, "{checks}"'
    one = outcomes(project, decorator)
    two = outcomes(project, decorator, "-n", "2")
    lines = [
        line for line in two["text"].splitlines() if "test_explainer[" in line and line.startswith("[gw")
    ]
    found = {line.split("[", 2)[2].split("]")[0]: line.split("] ")[-1] for line in lines}
    assert one["exit code"] == two["exit code"] == "1"
    ends = [
        next(line for line in run["text"].splitlines() if line.startswith("saliency sanity:"))
        for run in (one, two)
    ]
    assert ends[0] == ends[1], found


BAD = {
    "no mapping": (lambda: parametrize_with_sanity_checks([explainers.gradient]), "a mapping from names to explainers"),
    "empty": (lambda: parametrize_with_sanity_checks({}), "there is nothing to check"),
    "a name that is none": (lambda: parametrize_with_sanity_checks({3: explainers.gradient}), "not 3"),
    "an unknown check": (
        lambda: parametrize_with_sanity_checks({"g": explainers.gradient}, "model_sensitivty"),
        f"unknown check 'model_sensitivty'; choose from {', '.join(ASSERTED)}; did you mean 'model_sensitivity'?",
    ),
    "no checks": (lambda: parametrize_with_sanity_checks({"g": explainers.gradient}, []), "checks is empty"),
    "a check without an assertion": (
        lambda: parametrize_with_sanity_checks({"g": explainers.gradient}, ["distancing"]),
        "unknown check 'distancing'",
    ),
    "an expected failure of nobody": (
        lambda: parametrize_with_sanity_checks(
            {"gbp": explainers.gradient}, expected_failed_checks={"gpb": {"contract": "…"}}
        ),
        "expected_failed_checks: unknown explainer 'gpb'; choose from gbp; did you mean 'gbp'?",
    ),
    "an expected failure of nothing": (
        lambda: parametrize_with_sanity_checks(
            {"gbp": explainers.gradient}, ["contract"], expected_failed_checks={"gbp": {"consistency": "…"}}
        ),
        "expected_failed_checks['gbp']: unknown check 'consistency'; choose from contract",
    ),
    "an expected failure without a reason": (
        lambda: parametrize_with_sanity_checks(
            {"gbp": explainers.gradient}, expected_failed_checks={"gbp": {"contract": ""}}
        ),
        "must say why it fails, not ''",
    ),
    "expected failures of another form": (
        lambda: parametrize_with_sanity_checks({"gbp": explainers.gradient}, expected_failed_checks={"gbp": "…"}),
        "must map an explainer's name to its failing checks with their reasons",
    ),
    "options of another check": (
        lambda: parametrize_with_sanity_checks({"g": explainers.gradient}, "contract", options={"consistency": {}}),
        "options: unknown check 'consistency'; choose from contract",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_is_refused(kind: str) -> None:
    call, words = BAD[kind]
    with pytest.raises((TypeError, ValueError)) as raised:
        call()
    assert words in str(raised.value)


def test_a_refusal_is_an_error_of_collection(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it=f'{HEADER}    parametrize_with_sanity_checks({{"g": nan}}, "everything")(test_explainer)'
    )
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*unknown check 'everything'; choose from model_sensitivity, *"])


FLOORS = {
    "as many as there are": (["--saliency-min-verdicts", "2"], 0),
    "more than there are": (["--saliency-min-verdicts", "3"], 1),
    "none": ([], 0),
    "more, but only listed": (["--saliency-min-verdicts", "3", "--collect-only"], 0),
}


@pytest.mark.parametrize("processes", ["0", pytest.param("2", marks=pytest.mark.extended)])
@pytest.mark.parametrize(
    "floor",
    [
        "more than there are",
        *(pytest.param(one, marks=pytest.mark.extended) for one in FLOORS if one != "more than there are"),
    ],
)
def test_the_floor_counts_verdicts_that_were_reached(
    project: pytest.Pytester, floor: str, processes: str
) -> None:
    """A pass and an expected failure are verdicts; what was skipped or refused is none."""
    arguments, code = FLOORS[floor]
    found = outcomes(
        project,
        '{"grad": explainers.gradient, "copy": explainers.input_copy, "no": refuses}, ["consistency", "localization"]',
        "-n", processes, *arguments,
    )  # fmt: skip
    assert found["exit code"] == str(code)
    assert ("2 verdicts were reached, and min_verdicts is 3" in found["text"]) == (code == 1)


@pytest.mark.extended
def test_the_floor_is_a_setting_of_the_project(project: pytest.Pytester) -> None:
    project.makepyprojecttoml("[tool.saliency_sanity]\nmin_verdicts = 5\n")
    found = outcomes(project, '{"grad": explainers.gradient}, ["consistency"]')
    assert found["exit code"] == "1"
    found = outcomes(project, '{"grad": explainers.gradient}, ["consistency"]', "--saliency-min-verdicts=0")
    assert found["exit code"] == "0"


def test_the_contract_is_asked_once_in_a_process(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many checks an explainer has; a counter in the explainer tells."""
    project.makepyfile(
        test_it="""
        import json, pathlib
        from pytest_saliency_sanity import explainers, parametrize_with_sanity_checks
        from pytest_saliency_sanity.suite import evaluation

        asked = []
        real = evaluation.ask_contract
        evaluation.ask_contract = lambda explainer, name, *rest: asked.append(name) or real(explainer, name, *rest)

        both = {"one": explainers.gradient, "two": explainers.sobel}

        @parametrize_with_sanity_checks(both, ["consistency", "contract"])
        def test_explainer(explainer, sanity_check, saliency_case):
            sanity_check(explainer, saliency_case)

        @parametrize_with_sanity_checks({"one": explainers.gradient}, ["target_sensitivity"])
        def test_again(explainer, sanity_check, saliency_case):
            sanity_check(explainer, saliency_case)
            pathlib.Path("asked.json").write_text(json.dumps(asked))
        """
    )
    monkeypatch.setattr(evaluation, "ask_contract", evaluation.ask_contract)  # what is run sets it
    project.runpytest().assert_outcomes(passed=5)
    assert sorted(json.loads((project.path / "asked.json").read_text())) == ["one", "two"]
