"""Flags in place of code: models, weights, inputs, ids, replay lines, and what is refused."""

from __future__ import annotations

import os
import re
import shlex
import sys
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pytest_saliency_sanity.plugin.reporting.reporter import RANDOM
from pytest_saliency_sanity.suite.claims import known_axioms
from pytest_saliency_sanity.suite.command_line import Flags, load
from pytest_saliency_sanity.suite.models_by_name import UNKNOWN

NETWORK = """
    import torch
    from torch import nn

    def network(width=8):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(8 * 64, 5),
        )

    built = network()

    def images():
        return torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
"""


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with a module, and a file of inputs."""
    pytester.makepyfile(networks=NETWORK)
    pytester.syspathinsert()
    inputs = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    np.savez(pytester.path / "inputs.npz", inputs=inputs.numpy())
    return pytester


FLAGS = ("--saliency-model", "networks:network", "--saliency-inputs", "inputs.npz")


def lines(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("saliency::")]


def test_each_check_is_an_item_with_an_id(folder: pytest.Pytester) -> None:
    folder.makepyfile(test_other="def test_other(): pass")
    both = (
        "--saliency-explainer",
        "explainers:gradient",
        "--saliency-explainer",
        'explainers:smoothgrad{"samples": 3}',
    )
    result = folder.runpytest(*both, *FLAGS, "-k", "consistency or contract or localization", "-v")
    assert sorted(line.rsplit(maxsplit=2)[0].split(" ")[0] for line in lines(result)) == [
        f"saliency::explainers:{name}::{check}"
        for name in ("gradient", "smoothgrad")
        for check in ("consistency", "contract", "localization")
    ]
    result.assert_outcomes(passed=4, skipped=2)
    assert "test_other" not in result.stdout.str()


def test_named_paths_run_beside_them(folder: pytest.Pytester) -> None:
    folder.makepyfile(test_other="def test_other(): pass")
    result = folder.runpytest(
        "--saliency-explainer", "explainers:gradient", *FLAGS, "-k", "contract or other", "test_other.py"
    )
    result.assert_outcomes(passed=2)


def test_a_failure_says_how_it_is_replayed_and_the_line_does_so(folder: pytest.Pytester) -> None:
    flags = (
        "--saliency-explainer",
        'explainers:noisy_sobel{"noise": 0.1}',
        *FLAGS,
        "-k",
        "model_sensitivity",
    )
    first = folder.runpytest(*flags)
    first.assert_outcomes(failed=1)
    # On CI, pytest's summary prints a message in full once more.
    (replay,) = set(re.findall(r"^replay: (.*)$", first.stdout.str(), re.M))
    words = shlex.split(replay)
    assert words[:2] == ["pytest", "--saliency-explainer"]
    again = folder.runpytest(*words[1:])
    again.assert_outcomes(failed=1)
    told = [[line for line in run.outlines if line.startswith("FAIL ")] for run in (first, again)]
    assert told[0] == told[1] != []


@pytest.mark.extended
def test_the_same_under_xdist(folder: pytest.Pytester) -> None:
    flags = ("--saliency-explainer", "explainers:sobel", *FLAGS)
    one, two = folder.runpytest(*flags), folder.runpytest_subprocess(*flags, "-n", "2")
    assert one.ret == two.ret == pytest.ExitCode.TESTS_FAILED
    ends = [
        [line for line in run.outlines if line.startswith(("saliency sanity:", "FAIL "))]
        for run in (one, two)
    ]
    assert ends[0] == ends[1]


def _seconds_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.extended
@pytest.mark.parametrize("processes", ["", "-n 2"])
def test_the_line_of_the_manual_in_an_empty_folder(pytester: pytest.Pytester, processes: str) -> None:
    pytest.importorskip("captum")
    line = "--saliency-explainer captum:InputXGradient --saliency-model torchvision:resnet18"
    before = _seconds_of_children()
    result = pytester.runpytest_subprocess(*line.split(), *processes.split(), "-v")
    assert (
        _seconds_of_children() - before < 360
    )  # of processors, which other programs on the machine do not prolong
    found = re.findall(
        r"^(?:\[gw\d\].*(PASSED|SKIPPED|FAILED) )?saliency::captum:InputXGradient::(\w+) *(PASSED|SKIPPED|FAILED)?",
        result.stdout.str(),
        re.M,
    )
    outcomes = {check: before or after for before, check, after in found if before or after}
    skipped = {"data_sensitivity", "localization", "occlusion_sensitivity", "insertion_deletion", "parity"}
    passed = {
        "contract",
        "consistency",
        "model_sensitivity",
        "target_sensitivity",
        *known_axioms("captum:InputXGradient"),
    }
    assert outcomes == {**dict.fromkeys(skipped, "SKIPPED"), **dict.fromkeys(passed, "PASSED")}
    assert result.ret == pytest.ExitCode.OK
    assert "7 on a model whose weights are random: a pass says little" in result.stdout.str()


REFUSED = {
    "no explainer": (
        ["--saliency-model", "torchvision:resnet18"],
        "--saliency-model needs --saliency-explainer",
    ),
    "no model": (["--saliency-explainer", "captum:Saliency"], "--saliency-explainer needs --saliency-model"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_flags_that_miss_one_another_are_refused(pytester: pytest.Pytester, kind: str) -> None:
    arguments, words = REFUSED[kind]
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {words}*"])


GRADIENT = ["--saliency-explainer", "explainers:gradient"]
UNUSABLE = {
    "an explainer that is not there": (
        ["--saliency-explainer", "explainers:gradeint", *FLAGS],
        "--saliency-explainer: 'explainers:gradeint': *has no 'gradeint'; did you mean gradient*",
    ),
    "an option that it does not have": (
        [*GRADIENT, "--saliency-explainer", 'captum:IntegratedGradients{"steps": 3}', *FLAGS],
        "--saliency-explainer: IntegratedGradients(steps=3) has no option 'steps'; choose from *n_steps*",
    ),
    "a model that is not there": (
        [*GRADIENT, "--saliency-model", "networks:netwrk"],
        "--saliency-model: 'networks:netwrk': 'networks' has no 'netwrk'; did you mean network*",
    ),
    "a module that is not there": (
        [*GRADIENT, "--saliency-model", "nowhere:network"],
        "--saliency-model: 'nowhere:network': No module named 'nowhere'",
    ),
    "a model that is not built": (
        [*GRADIENT, "--saliency-model", 'networks:network{"width": "eight"}'],
        "--saliency-model: TypeError: *",
    ),
    "weights that are not there": (
        [*GRADIENT, *FLAGS, "--saliency-weights", "none.pt"],
        "--saliency-weights: there is no file 'none.pt'",
    ),
    "inputs that are not there": (
        [*GRADIENT, *FLAGS[:2], "--saliency-inputs", "none.npz"],
        "--saliency-inputs: there is no file or folder 'none.npz'",
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_had_is_one_usage_error(folder: pytest.Pytester, kind: str) -> None:
    flags, words = UNUSABLE[kind]
    if "captum" in str(flags):
        pytest.importorskip("captum")
    result = folder.runpytest(*flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {words}"])
    assert not lines(result)


@pytest.mark.extended
def test_it_is_one_usage_error_under_xdist_as_well(folder: pytest.Pytester) -> None:
    flags, words = UNUSABLE["a model that is not there"]
    result = folder.runpytest_subprocess(*flags, "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    told = [line for line in [*result.errlines, *result.outlines] if "netwrk" in line]
    assert [fnmatch(line, f"ERROR: {words}") for line in told] == [True]
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_module_beside_what_was_typed_is_found(pytester: pytest.Pytester) -> None:
    """Though `pytest`, unlike `python -m pytest`, does not put the folder on the path."""
    pytester.makepyfile(networks=NETWORK)
    inputs = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    np.savez(pytester.path / "inputs.npz", inputs=inputs.numpy())
    program = str(Path(sys.executable).with_name("pytest"))
    done = pytester.run(program, "--saliency-explainer", "explainers:gradient", *FLAGS, "-k", "contract")
    done.assert_outcomes(passed=1, deselected=done.parseoutcomes()["deselected"])


def test_random_weights_are_told_at_the_end(folder: pytest.Pytester) -> None:
    flags = ["--saliency-explainer", "explainers:gradient", "--saliency-model", "torchvision:squeezenet1_0"]
    result = folder.runpytest(*flags, "-k", "contract")
    result.stdout.fnmatch_lines(
        ["1 on a model whose weights are random: a pass says little; --saliency-weights *"]
    )
    assert UNKNOWN.startswith(RANDOM)


def test_what_is_missing_is_told_by_the_flag_that_gives_it(folder: pytest.Pytester) -> None:
    """Whoever writes no code has no fixture and no case."""
    flags = ("--saliency-explainer", "explainers:sobel", "--saliency-model", "torchvision:squeezenet1_0")
    result = folder.runpytest(*flags, "-k", "consist or data_sens or local or occlusion or parity", "-rs")
    told = result.stdout.str()
    for sentence in (
        "data_sensitivity needs make_model and train_set, which no flag gives: write a test with assert_data_sensitive",
        "localization needs regions, which no flag gives: write a test with assert_localized",
        "parity needs reference, which no flag gives: write a test with assert_parity",
        "occlusion_sensitivity needs --saliency-inputs: the four photographs that stand in are too few for it",
        "1 on stand-in photographs: --saliency-inputs gives others",
    ):
        assert sentence in told, sentence
    assert "fixture" not in told and "the case" not in told


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


def test_what_is_not_known_of_the_model_is_said(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    found = load(Flags(("explainers:gradient",), "torchvision:squeezenet1_1"))
    assert "the model's weights are random" in found.notes[0]
    assert "nothing is known of the model's accuracy" in found.notes[1]
    inputs, labels = torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0])
    torch.save({"x": inputs, "y": labels}, tmp_path / "x.pt")
    assert load(Flags(("explainers:gradient",), f"{__name__}:_network", str(tmp_path / "x.pt"))).notes == ()
