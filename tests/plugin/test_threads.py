"""Workers whose torch has more threads than there are cores are told of at the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_saliency_sanity.plugin import threads

# A module in torch's place: what counts is what it says of its threads.
TORCH = "def get_num_threads(): return {count}\n"
TESTS = """
    import pytest
    {imported}
    from judging import judge

    @pytest.mark.parametrize("number", range(4))
    def test_it(number):
        judge("pass", explainer=f"explainer {{number}}")
"""
CORES = threads.cores()


def run(project: pytest.Pytester, count: int, *arguments: str, imported: str = "import torch") -> str:
    (project.path / "torch.py").write_text(TORCH.format(count=count))
    project.makeini("[pytest]\npythonpath = .")
    project.makepyfile(test_it=TESTS.format(imported=imported))
    result = project.runpytest_subprocess(*arguments)
    result.assert_outcomes(passed=4)
    return result.stdout.str()


def test_too_many_threads_are_told_of(project: pytest.Pytester) -> None:
    said = (
        f"2 workers computed with {4 * CORES} threads on {CORES} cores, which slows all of them down; set "
        f"OMP_NUM_THREADS={max(CORES // 2, 1)} in the environment of the run"
    )
    assert said in run(project, 2 * CORES, "-n2", "--dist=load", "--maxschedchunk=1").splitlines()


@pytest.mark.parametrize(
    "count, arguments, imported",
    [
        pytest.param(
            CORES // 2 or 1,
            ["-n2"] if CORES > 1 else ["-n1"],
            "import torch",
            marks=pytest.mark.extended,
        ),
        pytest.param(8 * CORES, ["-n1"], "import torch", marks=pytest.mark.extended),
        (8 * CORES, [], "import torch"),
        (8 * CORES, ["-n2"], ""),
    ],
    ids=["a core each", "one worker", "no workers", "no torch"],
)
def test_nothing_is_said_otherwise(
    project: pytest.Pytester, count: int, arguments: list[str], imported: str
) -> None:
    assert "computed with" not in run(project, count, *arguments, imported=imported)


def test_workers_that_audited_nothing_do_not_count(project: pytest.Pytester) -> None:
    (project.path / "torch.py").write_text(TORCH.format(count=8 * CORES))
    project.makeini("[pytest]\npythonpath = .")
    project.makepyfile(test_it="import torch\ndef test_a(): pass\ndef test_b(): pass")
    result = project.runpytest_subprocess("-n2")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*computed with*")


def test_the_line() -> None:
    assert threads.line([2, 2], 4) == threads.line([16], 4) == threads.line([], 1) == ""
    assert threads.line([4, 4, 4, 4], 4).startswith("4 workers computed with 16 threads on 4 cores")
    assert threads.line([2, 2, 2], 2).endswith("set OMP_NUM_THREADS=1 in the environment of the run")


@pytest.mark.extended
def test_torchs_own_number_is_read() -> None:
    code = (
        "import torch; torch.set_num_threads(3)\n"
        "from pytest_saliency_sanity.plugin.threads import of_torch; print(of_torch())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"


def test_the_cores_are_those_that_may_be_used() -> None:
    assert 1 <= CORES <= 4096
