"""The example project, run as README and manual say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_saliency_sanity.report.baseline import Baseline
from tests import machine
from tests.manual import WHOLE

OLD_PROCESSOR = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
ROOT = Path(__file__).parents[1]
COMMAND = "pytest example_project"
SUMMARY = "saliency sanity: 23 passed, 0 failed, 8 failed as expected, 0 inconclusive, 0 errors"
# What each command selects, and what it is said to print; some pages show the same.
SHOWN = list(
    dict.fromkeys(
        re.findall(
            r'`pytest example_project -k "?([^"`]+?)"? --runxfail`\s+prints\n\n```text\n(E .*?)```',
            WHOLE,
            re.S,
        )
    )
)


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs the example's tests; the networks that it trains are shared, with other xdist workers too."""
    shared = tmp_path_factory.getbasetemp().parent / f"example_networks-{machine.fingerprint()}"
    command = [sys.executable, "-m", *COMMAND.split(), "-p", "no:cacheprovider"]

    def output(*arguments: str) -> str:
        given = [*command, f"--saliency-cache={shared}", *arguments]
        return subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=600).stdout

    return output


TRAINS = "outline_shows"  # four networks, for a minute


@pytest.mark.first  # it takes long
def test_known_failures_print_what_is_shown(run: Callable[..., str]) -> None:
    """But for the one that trains; that one and all honest explainers are in the extended test below."""
    shown = {selected: text for selected, text in SHOWN if selected != TRAINS}
    chosen = " or ".join(f"({selected})" for selected in (*shown, "gradcam and looks_at_the_model"))
    output = run("--xfail-tb", "-k", chosen)
    assert re.search(rf"=+ 1 passed, \d+ deselected, {len(shown)} xfailed in .*=+", output), output
    assert "REGRESSION" not in output and "NOT COMPARABLE" not in output, output
    for text in shown.values():
        assert_printed(text, output)


@pytest.mark.extended
@pytest.mark.first  # it takes the longest
def test_it_prints_what_is_shown(run: Callable[..., str]) -> None:
    """Honest explainers pass, and the known failures, which are expected, are those that README and manual show."""
    output = run("--xfail-tb")
    assert SUMMARY in output, output
    assert re.search(r"=+ \d+ passed, 8 xfailed in .*=+", output), output
    for _, shown in SHOWN:
        assert_printed(shown, output)


@pytest.mark.extended
def test_each_command_selects_one_test(run: Callable[..., str]) -> None:
    chosen = " or ".join(f"({selected})" for selected, _ in SHOWN)
    assert f"{len(SHOWN)}/" in run("-k", chosen, "--collect-only", "-q").splitlines()[-1]


def test_its_baseline_is_of_all_its_verdicts() -> None:
    baseline = Baseline.read(ROOT / "example_project" / "saliency.json")
    assert len(baseline.records) == 31
    assert {one.counted for one in baseline.records} == {"pass", "xfail"}


@pytest.mark.extended
@pytest.mark.parametrize("seed", [1, 2])
def test_the_baseline_holds_for_a_network_of_another_seed(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setenv("DIGIT_READER_SEED", str(seed))
    output = run()
    assert SUMMARY in output, output
    assert "REGRESSION" not in output and "NOT COMPARABLE" not in output, output
    assert "other weights" in output  # something drifts, and nothing fails


@pytest.mark.extended
def test_the_baseline_holds_on_other_arithmetic(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That of an old processor, on which the digit reader itself is trained to other weights."""
    for name, value in OLD_PROCESSOR.items():
        monkeypatch.setenv(name, value)
    output = run(f"--saliency-cache={tmp_path}")
    assert SUMMARY in output, output
    assert "REGRESSION" not in output and "NOT COMPARABLE" not in output, output


@pytest.mark.extended
@pytest.mark.parametrize("selected, shown", SHOWN, ids=[selected for selected, _ in SHOWN])
def test_each_command_prints_its_failure(run: Callable[..., str], selected: str, shown: str) -> None:
    output = run("-k", selected, "--runxfail")
    assert re.search(r"=+ 1 failed, \d+ deselected in .*=+", output), output
    assert_printed(shown, output)


def assert_printed(shown: str, output: str) -> None:
    for line in shown.splitlines():
        # Digits differ with the processor's arithmetic, and the width of columns with them; words do not.
        pattern = re.sub(r"(?:\\-)?\d+\\\.\d+", r"-?\\d+\\.\\d+", re.escape(line.rstrip()))
        pattern = re.sub(r"(?:\\ )+", " +", pattern)
        assert re.search(rf"^{pattern}\s*$", output, re.M), (line, output)


def test_every_failure_that_is_shown_has_its_command() -> None:
    """And one command prints one failure, on whichever page."""
    assert {shown for _, shown in SHOWN} == set(re.findall(r"```text\n(E .*?)```", WHOLE, re.S))
    assert len(SHOWN) == len({selected for selected, _ in SHOWN}) >= 5
    assert len(re.findall(r"--runxfail`\s+prints\n\n```text\nE ", WHOLE)) == WHOLE.count("```text\nE ")
