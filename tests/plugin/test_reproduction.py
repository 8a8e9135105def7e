"""What a message prints behind "replay:" gives the same verdict, bit for bit, on real checks."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch._dynamo  # noqa: F401  before any inner run, which would import it anew

from pytest_saliency_sanity.planted import planted_images
from tests.manual import ROOT
from tests.test_example_project import OLD_PROCESSOR

CONFTEST = """
    import pytest
    from pytest_saliency_sanity.planted import planted_images
    from tests.planted import planted_cnn

    @pytest.fixture(scope="session")
    def saliency_model():
        return planted_cnn()

    @pytest.fixture(scope="session")
    def saliency_inputs():
        return planted_images(40, seed=1).images
"""
# Each fails, so that its command is printed; before each that is replayed others have run, with draws of their own.
TESTS = """
    import pytest
    import torch
    from pytest_saliency_sanity.explainers import gradient, rise, smoothgrad
    from pytest_saliency_sanity.explainers.controls import sobel

    def scribbled(model, inputs, targets):
        '''Edges and a little of the gradient, with noise of the global generator.'''
        maps = sobel(model, inputs, targets)
        noise = 0.05 * maps.std() * torch.randn_like(maps)
        return maps + noise + 0.01 * gradient(model, inputs, targets)

    def noisy(model, inputs, targets):
        return smoothgrad(model, inputs, targets, samples=2)

    def upside_down(model, inputs, targets):
        return -noisy(model, inputs, targets)

    def test_another_stands_before(assert_model_sensitive):
        torch.manual_seed(1)
        assert_model_sensitive(gradient)

    def test_it_looks_at_the_model(assert_model_sensitive):
        assert_model_sensitive(scribbled)

    @pytest.mark.parametrize("seed", [None, 7])
    def test_it_looks_at_the_target(assert_target_sensitive, seed):
        assert_target_sensitive(scribbled, seed=seed)

    @pytest.mark.parametrize("explainer", [noisy, upside_down])
    def test_two_runs_agree(assert_consistent, explainer):
        assert_consistent(explainer, min_agreement=0.98)

    def test_what_it_points_at_matters(assert_insertion_deletion):
        assert_insertion_deletion(upside_down)

    def test_it_reaches_a_threshold(assert_insertion_deletion):
        assert_insertion_deletion(noisy, min_insertion=0.999)

    def test_hiding_it_matters(assert_occlusion_sensitive):
        assert_occlusion_sensitive(upside_down)
"""
PRINTED = re.compile(r"^(?:E +)?replay: (pytest .*)$", re.M)


class Project:
    """A project with real checks, and the reports of its runs."""

    def __init__(self, project: pytest.Pytester) -> None:
        self.project, self.file = project, project.path / "report.json"

    def verdicts(self, run: Callable[[], str]) -> tuple[list[str], dict[str, str]]:
        """The commands that a run prints, each once, and its verdicts by these, as text without the seconds."""
        self.file.unlink(missing_ok=True)
        output = run()
        found = json.loads(self.file.read_text(encoding="utf-8"))["verdicts"]
        by_command = {one["verdict"]["replay"]: json.dumps(timeless(one)) for one in found}
        assert len(by_command) == len(found)
        return list(dict.fromkeys(PRINTED.findall(output))), by_command

    def here(self, *arguments: str) -> Callable[[], str]:
        """A run in this process."""
        given = (*arguments, f"--saliency-json={self.file}", "-p", "no:cacheprovider")
        return lambda: self.project.runpytest(*given).stdout.str()

    def typed(self, text: str) -> Callable[[], str]:
        """Exactly this text, and the flag of the report, in a shell; `pytest` is that of this Python."""
        programs = self.project.path / "programs"
        programs.mkdir(exist_ok=True)
        (programs / "pytest").write_text(f'#!/usr/bin/env bash\nexec "{sys.executable}" -m pytest "$@"\n')
        (programs / "pytest").chmod(0o755)
        path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        command = ["bash", "-c", f"{text} --saliency-json={shlex.quote(str(self.file))}"]

        def run() -> str:
            where = self.project.path
            return subprocess.run(
                command, cwd=where, env={**os.environ, **path}, capture_output=True, text=True, timeout=600
            ).stdout

        return run


def timeless(value: Any) -> Any:
    """The JSON without what a clock says, and without who paid for the controls, which the tests of a process share."""
    if isinstance(value, dict):
        left_out = {name for name in value if name.endswith("seconds")} | {"control_cost"}
        return {name: timeless(one) for name, one in value.items() if name not in left_out}
    return [timeless(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def real(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_it=TESTS)
    return Project(pytester)


def test_a_replay_gives_the_same_verdict(real: Project) -> None:
    (command,), found = real.verdicts(real.here("-k", "looks_at_the_model or stands_before"))
    again = real.verdicts(real.here(*shlex.split(command)[1:]))
    assert again == ([command], {command: found[command]})


def outcome(text: str) -> tuple[str, str]:
    verdict = json.loads(text)["verdict"]
    return verdict["outcome"], verdict["reason"]


def assert_each_replays(real: Project, printed: list[str], found: dict[str, str]) -> None:
    for command in printed:
        assert real.verdicts(real.typed(command)) == ([command], {command: found[command]}), command


@pytest.mark.extended
@pytest.mark.parametrize(
    "flags", ["", "-n 2", "--saliency-seed=5 --saliency-profile=smoke --saliency-inconclusive=fail"]
)
def test_each_printed_line_gives_the_same_verdict(real: Project, flags: str) -> None:
    printed, found = real.verdicts(real.typed(f"pytest {flags}"))
    assert len(printed) >= 6, printed
    assert_each_replays(real, printed, found)


@pytest.mark.extended
def test_each_printed_line_gives_the_same_outcome_on_another_machine(
    real: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose processor computes otherwise."""
    printed, found = real.verdicts(real.typed("pytest"))
    for name, value in OLD_PROCESSOR.items():
        monkeypatch.setenv(name, value)
    for command in printed:
        (again,) = real.verdicts(real.typed(command))[1].values()
        assert outcome(again) == outcome(found[command]), command


@pytest.mark.extended
def test_workers_give_the_same_verdicts(real: Project) -> None:
    one, two = real.verdicts(real.typed("pytest")), real.verdicts(real.typed("pytest -n 2"))
    assert (sorted(one[0]), one[1]) == (sorted(two[0]), two[1])


@pytest.mark.extended
@pytest.mark.parametrize("workers", ["", "-n 2"])
def test_explainers_of_flags_give_the_same_verdict(real: Project, workers: str) -> None:
    np.savez(real.project.path / "images.npz", inputs=planted_images(40, seed=1).images.numpy())
    flags = "--saliency-model tests.planted:planted_cnn --saliency-inputs images.npz"
    explainers = "--saliency-explainer explainers:guided_backprop --saliency-explainer 'explainers:rise{\"masks\": 20}'"
    printed, found = real.verdicts(real.typed(f"pytest {explainers} {flags} {workers}"))
    assert len(printed) >= 3, printed
    assert_each_replays(real, printed, found)


def test_a_difference_is_found(tmp_path: Path) -> None:
    verdict = {"verdict": {"statistic": 0.1, "evidence": {"cost": {"calls": 3, "total_seconds": 0.2}}}}
    slower = {"verdict": {"statistic": 0.1, "evidence": {"cost": {"calls": 3, "total_seconds": 0.4}}}}
    other = {"verdict": {"statistic": np.nextafter(0.1, 1), "evidence": {"cost": {"calls": 3}}}}
    assert timeless(verdict) == timeless(slower) != timeless(other)
