"""The saliency_* fixtures, `saliency_case`, and the assertions with the case filled in."""

from __future__ import annotations

import pytest

# A stand-in for the checks: it hands back what it was called with, and no torch is imported.
CHECKS = """
    import pytest
    import pytest_saliency_sanity

    def check(explainer, model, inputs=None, targets=None, *, labels=None, seed=None):
        return dict(locals())

    def check_unlabeled(explainer, model, inputs=None, targets=None, *, name=None):
        return dict(locals())

    def assertion(explainer, model, inputs=None, **options):
        return {"explainer": explainer, "model": model, "inputs": inputs, **options}

    @pytest.fixture(autouse=True)
    def _stand_ins(monkeypatch):
        for name in ("model_sensitivity", "target_sensitivity"):
            monkeypatch.setitem(vars(pytest_saliency_sanity), f"check_{name}", check)
        monkeypatch.setitem(vars(pytest_saliency_sanity), "check_contract", check_unlabeled)
        for name in ("model_sensitive", "target_sensitive", "contract"):
            monkeypatch.setitem(vars(pytest_saliency_sanity), f"assert_{name}", assertion)
"""
OVERRIDES = """
    @pytest.fixture(scope="module")
    def saliency_model(): return "the model"

    @pytest.fixture
    def saliency_inputs(tmp_path): return "the inputs"

    @pytest.fixture(scope="session")
    def saliency_targets(): return "the targets"

    @pytest.fixture
    def saliency_labels(): return "the labels"

    @pytest.fixture
    def saliency_train_set(): raise RuntimeError("the train set takes an hour to load")

    @pytest.fixture
    def saliency_regions(): raise RuntimeError("the regions are not drawn yet")
"""
ALL = "'model': 'the model', 'inputs': 'the inputs', 'targets': 'the targets', 'labels': 'the labels'"


@pytest.fixture
def bare(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project that overrides nothing."""
    pytester.makeconftest(CHECKS)
    return pytester


@pytest.fixture
def complete(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with a model and data, some of which cannot be loaded."""
    pytester.makeconftest(CHECKS + OVERRIDES)
    return pytester


def run(pytester: pytest.Pytester, *tests: str) -> pytest.RunResult:
    pytester.makepyfile("\n".join(tests))
    return pytester.runpytest()


@pytest.mark.parametrize("name", ["assert_model_sensitive", "assert_target_sensitive"])
def test_everything_from_the_case(complete: pytest.Pytester, name: str) -> None:
    run(complete, f"def test_it({name}): assert {name}('e') == {{'explainer': 'e', {ALL}}}").assert_outcomes(
        passed=1
    )


def test_only_what_the_check_takes(complete: pytest.Pytester) -> None:
    run(
        complete,
        "def test_it(assert_contract): assert assert_contract('e') == "
        "{'explainer': 'e', 'model': 'the model', 'inputs': 'the inputs', 'targets': 'the targets'}",
    ).assert_outcomes(passed=1)


@pytest.mark.parametrize("call", ["('e', 'mine')", "('e', model='mine')", "(model='mine', explainer='e')"])
def test_a_model_of_one_s_own(complete: pytest.Pytester, call: str) -> None:
    run(
        complete,
        f"def test_it(assert_model_sensitive): assert assert_model_sensitive{call} == "
        f"{{'explainer': 'e', {ALL}, 'model': 'mine'}}",
    ).assert_outcomes(passed=1)


@pytest.mark.parametrize("call", ["('e', None, 'mine')", "('e', inputs='mine')"])
def test_targets_and_labels_belong_to_their_inputs(complete: pytest.Pytester, call: str) -> None:
    run(
        complete,
        f"def test_it(assert_model_sensitive): assert assert_model_sensitive{call} == "
        "{'explainer': 'e', 'model': 'the model', 'inputs': 'mine'}",
    ).assert_outcomes(passed=1)


def test_the_channel_axis_belongs_to_its_inputs(pytester: pytest.Pytester) -> None:
    axis = """
    @pytest.fixture
    def saliency_channel_axis(): return -1
"""
    pytester.makeconftest(CHECKS.replace("seed=None)", "seed=None, channel_axis=None)") + OVERRIDES + axis)
    run(
        pytester,
        "def test_it(assert_model_sensitive, assert_contract):",
        "    assert assert_model_sensitive('e')['channel_axis'] == -1",
        "    assert assert_model_sensitive('e', channel_axis=1)['channel_axis'] == 1",
        "    assert assert_model_sensitive('e', inputs='mine').get('channel_axis') is None",
        "    assert 'channel_axis' not in assert_contract('e')  # which does not take it here",
    ).assert_outcomes(passed=1)


def test_what_is_given_stays(complete: pytest.Pytester) -> None:
    run(
        complete,
        "def test_it(assert_model_sensitive):",
        "    assert assert_model_sensitive('e', targets='mine', labels='too', seed=3) == {",
        f"        'explainer': 'e', {ALL}, 'targets': 'mine', 'labels': 'too', 'seed': 3}}",
    ).assert_outcomes(passed=1)


def test_an_explainer_may_be_named(complete: pytest.Pytester) -> None:
    run(
        complete,
        "def test_it(assert_contract): assert assert_contract('e', name='mine')['name'] == 'mine'",
    ).assert_outcomes(passed=1)


def test_without_overrides_only_the_model_is_needed(bare: pytest.Pytester) -> None:
    run(
        bare,
        "def test_it(assert_model_sensitive): assert assert_model_sensitive('e', 'mine') == "
        "{'explainer': 'e', 'model': 'mine', 'inputs': None, 'targets': None, 'labels': None}",
    ).assert_outcomes(passed=1)


def test_no_model(bare: pytest.Pytester) -> None:
    result = run(bare, "def test_it(assert_model_sensitive):", "    assert_model_sensitive('e')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       assert_model_sensitive('e')",
            "E       TypeError: there is no model: pass one, or define the fixture saliency_model in *",
            "test_no_model.py:2: TypeError",
        ]
    )
    assert (
        result.stdout.str().count("Error") == 3
    )  # the message, its place, the short summary: no frames between


def test_an_unknown_option(bare: pytest.Pytester) -> None:
    result = run(bare, "def test_it(assert_contract):", "    assert_contract('e', 'm', label=1)")
    result.stdout.fnmatch_lines(
        [
            "E       TypeError: assert_contract: got an unexpected keyword argument 'label'; "
            "it takes explainer, model, inputs, targets, name",
            "test_an_unknown_option.py:2: TypeError",
        ]
    )


def test_the_case_looks_up_what_is_used_and_keeps_it(complete: pytest.Pytester) -> None:
    run(
        complete,
        "import dataclasses, pytest",
        "from pytest_saliency_sanity import Case",
        "def test_it(saliency_case):",
        "    assert isinstance(saliency_case, Case)",
        "    assert repr(saliency_case) == 'Case(...)'",
        "    assert saliency_case.inputs == 'the inputs'",
        "    assert saliency_case.make_model is None",
        "    assert repr(saliency_case) == \"Case(inputs='the inputs', make_model=None, ...)\"",
        "    with pytest.raises(RuntimeError, match='takes an hour'):",
        "        saliency_case.train_set",
        "    with pytest.raises(dataclasses.FrozenInstanceError):",
        "        saliency_case.inputs = 1",
        "    with pytest.raises(AttributeError, match='has no attribute .input.'):",
        "        saliency_case.input",
    ).assert_outcomes(passed=1)


def test_a_failing_test_shows_the_case_without_looking_anything_up(complete: pytest.Pytester) -> None:
    result = run(complete, "def test_it(saliency_case):", "    assert saliency_case is None")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("saliency_case = Case(...)")


def test_a_fixture_of_the_project_that_fails_says_so(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        CHECKS + "\n    @pytest.fixture\n    def saliency_inputs(): raise OSError('no photographs here')"
    )
    result = run(pytester, "def test_it(assert_model_sensitive): assert_model_sensitive('e', 'm')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("E*OSError: no photographs here")


def test_a_parametrized_override_may_be_asked_for_by_name(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        CHECKS
        + "\n    @pytest.fixture(params=['a', 'b'])\n    def saliency_model(request): return request.param"
    )
    run(
        pytester,
        "def test_it(assert_model_sensitive, saliency_model):",
        "    assert assert_model_sensitive('e')['model'] == saliency_model",
    ).assert_outcomes(passed=2)


def test_in_a_class_and_a_module_of_its_own(complete: pytest.Pytester) -> None:
    run(
        complete,
        "import pytest",
        "class TestOther:",
        "    @pytest.fixture",
        "    def saliency_model(self): return 'other'",
        "    def test_it(self, assert_model_sensitive):",
        "        assert assert_model_sensitive('e')['model'] == 'other'",
        "def test_it(assert_model_sensitive):",
        "    assert assert_model_sensitive('e')['model'] == 'the model'",
    ).assert_outcomes(passed=2)


def test_they_say_what_they_are(bare: pytest.Pytester) -> None:
    run(
        bare,
        "def test_it(assert_contract, assert_model_sensitive, assert_target_sensitive):",
        "    for name, function in locals().copy().items():",
        "        assert repr(function).startswith(f'<function {name} at ')",
        "        assert name in function.__doc__",
    ).assert_outcomes(passed=1)


def test_they_are_listed(pytester: pytest.Pytester) -> None:
    lines = pytester.runpytest("--fixtures").stdout.str()
    for text in (
        "assert_contract(explainer, model=None, inputs=None, targets=None, channel_axis=None, embed=None, ...):",
        "does the map change when the weights are re-initialized, from the top layer down?",
        "The model whose explanations are audited; None until a conftest.py overrides it.",
    ):
        assert text in lines
